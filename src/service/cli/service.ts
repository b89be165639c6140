import { VERSION } from "../version.js";
import { CommandError, UsageError } from "./exit.js";
import { type Output, patiently } from "./output.js";

/** How long, in ms, a running service may take to answer. */
const TIMEOUT_MS = 10_000;

/** Options of every command that asks a running service. */
export interface ServiceOptions {
  url?: string;
}

/** Whether a running service is to be asked, since somebody has said where it is, or shown a key. */
export function isAsked(url: string | undefined, environment: NodeJS.ProcessEnv): boolean {
  return [url, environment["TOLLKEEPER_URL"], environment["TOLLKEEPER_API_KEY"]].some((value) => value);
}

/** A running service, asked by its management API. */
export class ServiceClient {
  readonly #base: URL;
  readonly #key: string;
  readonly #output: Output;

  /**
   * The key is taken from the environment alone: arguments are seen by everybody on the machine.
   *
   * @throws {UsageError} if there is no key, or the address is none.
   */
  constructor(url: string | undefined, environment: NodeJS.ProcessEnv, output: Output) {
    const { HOST, PORT, TOLLKEEPER_URL, TOLLKEEPER_API_KEY: key } = environment;
    const address = url ?? (TOLLKEEPER_URL || `http://${reachable(HOST || "127.0.0.1")}:${PORT || "8080"}`);
    if (!URL.canParse(address) || !/^https?:/.test(address)) {
      throw new UsageError(`the address is ${JSON.stringify(address)}; it may be one such as http://127.0.0.1:8080`);
    }
    if (!key)
      throw new UsageError("TOLLKEEPER_API_KEY is not set; it may be a key with the scope that the command needs");
    // What refuses such a field shows it, and a key with it.
    if (!/^[!-~]+$/.test(key))
      throw new UsageError("TOLLKEEPER_API_KEY has a sign in it that no key has, such as a space or the end of a line");
    this.#base = new URL(address);
    this.#key = key;
    this.#output = output;
  }

  /** Every item of a list, page by page. */
  async all<T>(path: string, query = ""): Promise<T[]> {
    const items: T[] = [];
    let after: string | null = "";
    while (after !== null) {
      const next: string = after === "" ? "" : `after=${encodeURIComponent(after)}`;
      const search = [query, next].filter((part) => part !== "").join("&");
      const page: { items: T[]; next: string | null } = await this.call(
        "GET",
        search === "" ? path : `${path}?${search}`,
      );
      items.push(...page.items);
      after = page.next;
    }
    return items;
  }

  /**
   * Asks the service; it may take `timeoutMs` to answer.
   *
   * @throws {UsageError} if a name in the path is `.` or `..`, which an address takes for a way to another route.
   * @throws {CommandError} if the service can't be reached, or refuses; the code is that of its problem document.
   */
  async call<T>(method: string, path: string, body?: unknown, timeoutMs = TIMEOUT_MS): Promise<T> {
    const dots = (path.split("?", 1)[0] ?? "").split("/").find((part) => part === "." || part === "..");
    if (dots !== undefined) throw new UsageError(`${dots} is no name`);
    const url = new URL(this.#base.pathname.replace(/\/$/, "") + path, this.#base);
    const headers: Record<string, string> = { "x-api-key": this.#key, "user-agent": `tollkeeper/${VERSION}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    const asked = fetch(url, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
      redirect: "error",
    });
    const response = await patiently(this.#output, `waiting for ${url.origin}`, asked).catch((cause: unknown) => {
      throw new CommandError("unreachable", `${url.origin} can't be reached: ${reasonOf(cause, timeoutMs)}`, { cause });
    });
    const text = await response.text();
    const answer = parsed(text);
    if (response.ok) return answer as T;
    const { code = "unexpected_answer", detail } = (answer ?? {}) as { code?: string; detail?: string };
    throw new CommandError(code, `${method} ${path}: ${response.status}, ${detail ?? "not an answer of this service"}`);
  }
}

/** The host of a service that listens on one, in an address: where it listens on all, this machine's own. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

function parsed(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown, timeoutMs: number): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  if (name === "TimeoutError") return `no answer within ${timeoutMs / 1000} s`;
  return cause?.code ?? cause?.message ?? message;
}
