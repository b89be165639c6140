import { TollkeeperError } from "../errors.js";
import type { Address } from "./redis-url.js";

/**
 * What is used of an ioredis client that an app has made: a `Redis` or a `Cluster` of ioredis 5 or 6, connected or not. It
 * says where Redis is and who to be; connections of our own are made beside it, so that none of its options, and nothing
 * else it does, has a say in how we speak.
 */
export interface RedisClient {
  /** Whether it has been ended. */
  readonly status: string;
  /** Where Redis is, and who to be. */
  readonly options: object;
  /** Makes another like it. */
  duplicate(...overrides: never[]): object;
  /** Tells of its end, and of its coming back. */
  on(event: "end" | "connecting", listener: () => void): unknown;
  /** Takes a listener away. */
  off(event: "end" | "connecting", listener: () => void): unknown;
}

const MAY_BE = "a Redis or Cluster of ioredis 5 or 6";

/** Methods without which a client is none of ioredis. */
const METHODS = ["duplicate", "connect", "disconnect", "defineCommand", "sendCommand", "on", "off"] as const;

/**
 * Refuses what is no client of ioredis, by what it has: an app's copy of ioredis is another than ours.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkClient(client: unknown, option: string): asserts client is RedisClient {
  const refuse = (was: string, mayBe = MAY_BE) =>
    new TollkeeperError("ERR_OPTION_INVALID", `${option} is ${was}; it may be ${mayBe}`);
  if (typeof client !== "object" || client === null) throw refuse(client === null ? "null" : `a ${typeof client}`);
  const own: Partial<Seen> = client;
  const missing = METHODS.find((method) => typeof own[method] !== "function");
  if (typeof own.isOpen === "boolean" && missing !== undefined) throw refuse("a client of node-redis");
  const isOurs = typeof own.nodes === "function" || typeof own.connector?.connect === "function";
  if (missing !== undefined || typeof own.status !== "string" || !own.options || !isOurs) {
    const lacks = missing === undefined ? "the connections of ioredis" : `${missing}()`;
    throw refuse(`an object of the class ${client.constructor?.name ?? "none"}, without ${lacks}`);
  }
  const prefix = own.options.keyPrefix || own.options.redisOptions?.keyPrefix;
  if (prefix) {
    throw refuse(
      `a client with the keyPrefix ${prefix}, which names of channels would go without`,
      'one with none, such as client.duplicate({ keyPrefix: "", lazyConnect: true }); storage.prefix tells apps apart',
    );
  }
}

/** Where a client connects to, as far as it says so, for messages. */
export function addressOfClient(client: RedisClient): Address {
  const { username, password, tls, path, host = "localhost", port = 6379, db = 0, sentinels, name } = optionsOf(client);
  const common = { username: username ?? undefined, password: password ?? undefined, tls: tls !== undefined };
  if ("nodes" in client) {
    const { startupNodes } = client as unknown as { startupNodes: readonly unknown[] };
    return { ...common, kind: "cluster", nodes: startupNodes.map((node) => nodeOf(node, 6379)) };
  }
  if (sentinels?.length) {
    const master = name ?? "";
    return {
      ...common,
      kind: "sentinel",
      nodes: sentinels.map((node) => nodeOf(node, 26379)),
      master,
      db,
      sentinelPassword: undefined,
    };
  }
  return { ...common, kind: "server", node: path ? { path } : { host, port }, db };
}

/** The user and password of a client as they are now: who has them change sets its options. */
export function loginOfClient(client: RedisClient) {
  const { username, password } = optionsOf(client);
  return { username, password };
}

/** What a client may have, or something that was taken for one. */
type Seen = Record<(typeof METHODS)[number] | "nodes" | "isOpen" | "status", unknown> & {
  readonly connector?: { readonly connect?: unknown };
  readonly options: Options & { readonly redisOptions?: Options };
};

/** The options of each connection of a client. */
export interface Options {
  readonly username?: string | null;
  readonly password?: string | null;
  readonly tls?: object;
  readonly path?: string | null;
  readonly host?: string;
  readonly port?: number;
  readonly db?: number;
  readonly sentinels?: readonly unknown[] | null;
  readonly name?: string | null;
  readonly keyPrefix?: string;
}

export function optionsOf(client: RedisClient): Options {
  const { redisOptions = {}, ...own } = client.options as Seen["options"];
  return "nodes" in client ? redisOptions : own;
}

/** A node as ioredis is given it: a port, a URL, or an object. */
function nodeOf(node: unknown, usual: number): { host: string; port: number } {
  if (typeof node === "string" && URL.canParse(node)) {
    const { hostname, port } = new URL(node);
    return { host: hostname, port: Number(port || usual) };
  }
  const { host = "localhost", port } = typeof node === "object" && node !== null ? (node as Options) : {};
  return { host, port: Number(port ?? (typeof node === "object" ? usual : node)) };
}
