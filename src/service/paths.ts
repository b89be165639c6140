import type { FastifyInstance } from "fastify";
import FindMyWay from "find-my-way";

/** Methods that a route may take, in the order in which `Allow` names them. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/**
 * The paths of an app, and which methods each takes.
 *
 * Fastify can be asked too, but takes the path for a route: a caller's `:id(` would become a regular expression. Here it
 * is only ever looked up, as the app's own router does it.
 */
export class Paths {
  readonly #router: FindMyWay.Instance<FindMyWay.HTTPVersion.V1>;
  readonly #methods = new Map<string, Set<string>>();

  /**
   * Of the routes that are registered from now on.
   *
   * @param maxParamLength As of the app's router, in UTF-16 units.
   */
  constructor(app: FastifyInstance, maxParamLength: number) {
    this.#router = FindMyWay({ maxParamLength });
    app.addHook("onRoute", ({ method, url }) => {
      for (const each of [method].flat()) this.#add(each, url);
    });
  }

  /** What a call's address may be called with; nothing if there is nothing there. */
  methodsAt(url: string): string[] {
    const found = this.#router.find("GET", url)?.store as Set<string> | null | undefined;
    return found ? METHODS.filter((method) => found.has(method)) : [];
  }

  #add(method: string, path: string): void {
    // Plugins answer preflights at every path, which makes none of them a path of the app.
    if (!METHODS.includes(method)) return;
    let methods = this.#methods.get(path);
    if (methods === undefined) {
      methods = new Set();
      this.#methods.set(path, methods);
      this.#router.on("GET", path, () => undefined, methods);
    }
    methods.add(method);
  }
}
