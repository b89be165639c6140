import { TollkeeperError } from "../errors.js";

/** How long, in ms, credentials are waited for. */
const CREDENTIALS_MS = 5000;

/** Who to be, on a connection that is made now. */
export interface Credentials {
  /** The one of the URL, or of the client, if left out. */
  username?: string;
  /** As Redis has it. */
  password: string;
}

/** As ioredis takes it; either may be left out. */
type PartialCredentials = Partial<Record<"username" | "password", string | null | undefined>>;

/** The user and password to connect with: asked for anew for each connection, where they may change. */
export class Login {
  readonly #own: () => PartialCredentials;
  readonly #credentials: (() => Credentials | Promise<Credentials>) | undefined;
  #given: PartialCredentials = {};
  #asking: Promise<void> | undefined;

  /** @param own Those that hold where no credentials are given. */
  constructor(own: () => PartialCredentials, credentials: (() => Credentials | Promise<Credentials>) | undefined) {
    this.#own = own;
    this.#credentials = credentials;
  }

  /** Those that are known. */
  get present(): { username?: string; password?: string } {
    const { username, password } = { ...this.#own(), ...this.#given };
    return { ...(username ? { username } : {}), ...(password ? { password } : {}) };
  }

  /**
   * Asks for them anew.
   *
   * @throws {TollkeeperError} `ERR_STORE_REFUSED` if there are none, or none within 5 s
   */
  renew(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /**
   * Has a node of a Cluster read them from here. From it ioredis makes connections of its own, to ask for the slots, say, long
   * after the node was connected to: each reading asks anew, for the next one.
   *
   * @param tell Told if there are none.
   */
  leadInto(options: PartialCredentials, tell: (error: unknown) => void): void {
    for (const name of ["username", "password"] as const) {
      const own = options[name];
      const get = () => {
        if (this.#credentials !== undefined) this.renew().catch(tell);
        return this.present[name] ?? own;
      };
      Object.defineProperty(options, name, { enumerable: true, configurable: true, get });
    }
  }

  async #ask(): Promise<void> {
    const credentials = this.#credentials;
    if (credentials === undefined) return;
    try {
      this.#given = checked(await within(CREDENTIALS_MS, credentials));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new TollkeeperError("ERR_STORE_REFUSED", `there is no password for Redis: ${why}`, { cause });
    }
  }
}

function checked(given: Credentials): Credentials {
  if (typeof given !== "object" || given === null) throw new TypeError(`they are of type ${typeof given}`);
  const { username, password } = given;
  if (typeof password !== "string") throw new TypeError(`it gave a password of type ${typeof password}`);
  if (username === undefined) return { password };
  if (typeof username !== "string") throw new TypeError(`it gave a username of type ${typeof username}`);
  return { username, password };
}

/** What is never answered would leave a connection unmade, and nobody the wiser. */
async function within<T>(ms: number, ask: () => T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`storage.credentials gave none within ${ms} ms`)), ms);
    timer.unref();
  });
  try {
    return await Promise.race([ask(), late]);
  } finally {
    clearTimeout(timer);
  }
}
