import { TollkeeperError } from "../errors.js";

/** A server that is reached over the network, as ioredis takes it. */
interface Node {
  readonly host: string;
  readonly port: number;
}

/** A server of this host, as ioredis takes it. */
interface Socket {
  readonly path: string;
}

/** Where Redis is: one server, a master that Sentinels know by name, or a Cluster. */
export type Address = {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: boolean;
} & (
  | { readonly kind: "server"; readonly node: Node | Socket; readonly db: number }
  | {
      readonly kind: "sentinel";
      readonly nodes: readonly Node[];
      readonly master: string;
      readonly db: number;
      readonly sentinelPassword: string | undefined;
    }
  | { readonly kind: "cluster"; readonly nodes: readonly Node[] }
);

type Problem = (reason: string) => TollkeeperError;

const MAY_BE =
  "redis://[user:password@]host[:6379][/db], rediss:// for TLS, or valkey:// and valkeys:// alike, " +
  "unix://[user:password@]/path[?db=1], " +
  "redis-sentinel://[user:password@]host[:26379],host,…/master[/db], " +
  "redis-cluster://[user:password@]host[:6379],host,… or nodes of a Cluster as redis://host:port,redis://host:port,…";

/**
 * Reads the address of a Redis.
 *
 * @param option What to call it in messages; its password is not shown in them.
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function parseAddress(text: unknown, option: string): Address {
  const problem = (reason: string) =>
    new TollkeeperError("ERR_OPTION_INVALID", `${option} can't be used: ${reason}; it may be ${MAY_BE}`);
  if (typeof text !== "string" || text === "") throw problem(`it is ${text === "" ? "empty" : typeof text}`);
  try {
    return addressOf(text, problem);
  } catch (error) {
    if (error instanceof TollkeeperError) throw error;
    // What Node says shows the text, and with it a password.
    throw problem(error instanceof URIError ? "it has a % that begins no code, as %25 does" : "it is not a URL");
  }
}

function addressOf(text: string, problem: Problem): Address {
  if (/^rediss?-sentinel:/.test(text)) return sentinels(text, problem);
  const [, secure, rest] = /^redis(s?)-cluster:\/\/(.*)$/.exec(text) ?? [];
  if (rest !== undefined) {
    const parts = rest.split(",").map((part) => `redis${secure}://${part.trim()}`);
    return clusterOf(parts, problem);
  }
  const parts = text.split(",");
  const [first = "", ...others] = parts;
  return others.length > 0 ? clusterOf(parts, problem) : { kind: "server", ...serverOf(first.trim(), problem) };
}

/** The address of a Cluster, of that of one of its nodes, which names the others; undefined if it can't be one. */
export function asCluster(address: Address): Address | undefined {
  if (address.kind !== "server" || address.db !== 0) return undefined;
  const { username, password, tls, node } = address;
  if ("path" in node) return undefined;
  return { kind: "cluster", username, password, tls, nodes: [node] };
}

function clusterOf(parts: readonly string[], problem: Problem): Address {
  const urls = parts.map((part) => serverOf(part.trim(), problem));
  const [first] = urls;
  if (first === undefined) throw problem("it names no node");
  const { tls } = first;
  if (urls.some((url) => url.tls !== tls)) throw problem("some nodes are rediss:// and some redis://");
  if (urls.some((url) => url.db !== 0)) throw problem("a Cluster has no databases but 0");
  const login = urls.find((url) => url.password !== undefined) ?? first;
  const nodes = urls.map(({ node }) => {
    if ("path" in node) throw problem("a node of a Cluster has no Unix socket that the others could name");
    return node;
  });
  return { kind: "cluster", username: login.username, password: login.password, tls, nodes };
}

/** The URL of an address, without its user and passwords. */
export function urlOf(address: Address): string {
  const secure = address.tls ? "s" : "";
  const database = (db: number) => (db === 0 ? "" : `/${db}`);
  const list = (nodes: readonly Node[]) => nodes.map(({ host, port }) => `${host}:${port}`).join(",");
  switch (address.kind) {
    case "server": {
      const { node, db } = address;
      if ("path" in node) return `unix://${node.path}${db === 0 ? "" : `?db=${db}`}`;
      return `redis${secure}://${list([node])}${database(db)}`;
    }
    case "sentinel":
      return `redis${secure}-sentinel://${list(address.nodes)}/${address.master}${database(address.db)}`;
    case "cluster":
      return `redis${secure}-cluster://${list(address.nodes)}`;
  }
}

/**
 * The address as it may be shown, also one that can't be used: a password may hold what should have been written as `%40`
 * or the like, so all up to the last `@` of each part is hidden.
 */
export function redactedUrl(text: string): string {
  return text
    .split(/,(?=[^,/@]*:\/\/)/)
    .map((part) => part.replace(/\/\/.*@/s, "//***@").replaceAll(/(password=)[^&]*/gi, "$1***"))
    .join(",");
}

/** Whether TLS is spoken, by the scheme of a server's URL. */
const SCHEMES: ReadonlyMap<string, boolean> = new Map([
  ["redis", false],
  ["rediss", true],
  ["valkey", false],
  ["valkeys", true],
]);

function serverOf(text: string, problem: Problem) {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1];
  if (scheme === "unix" || scheme === "redis+unix") return socketOf(text, problem);
  const tls = SCHEMES.get(scheme ?? "");
  if (tls === undefined) throw problem(scheme === undefined ? "it has no scheme" : `its scheme is ${scheme}:`);
  if (!URL.canParse(text)) throw problem("it is not a URL");
  const url = new URL(text);
  if (url.hostname === "") throw problem("it names no host");
  if (url.search !== "") throw problem("it has parameters after a ?");
  return { ...loginOf(url), tls, node: nodeOf(url.host, 6379), db: databaseOf(url.pathname, problem) };
}

/** The URL of a Unix socket, as redis-py and ioredis take it; the database has no place but behind a `?`. */
function socketOf(text: string, problem: Problem) {
  // A user and password stand before no host, which is no URL to Node.
  const [, login = "", path, query = ""] = /^[a-z+]+:\/\/(?:([^/]*)@)?(\/[^?]*)?(\?.*)?$/.exec(text) ?? [];
  if (path === undefined || path.endsWith("/")) {
    throw problem("it names no socket by its whole path, as unix:///run/redis.sock does");
  }
  const url = new URL(`redis://${login === "" ? "" : `${login}@`}host${path}${query}`);
  const other = [...url.searchParams.keys()].find((name) => name !== "db");
  if (other !== undefined) throw problem(`it has the parameter ${other} after the ?, where only db may be`);
  return {
    ...loginOf(url),
    tls: false,
    node: { path: decodeURIComponent(path) },
    db: databaseOf(url.searchParams.get("db") ?? "", problem),
  };
}

function sentinels(text: string, problem: Problem): Address {
  const [, secure, login = "", hosts, path = "", query = ""] =
    /^redis(s?)-sentinel:\/\/(?:([^@/]*)@)?([^/?@]+)(\/[^?]*)?(\?.*)?$/.exec(text) ?? [];
  if (hosts === undefined) throw problem("it names no Sentinel");
  const [, master = "", db] = path.split("/");
  if (master === "") throw problem("it does not name the master that the Sentinels watch");
  const url = new URL(`redis://${login === "" ? "" : `${login}@`}host/${query}`);
  const nodes = hosts.split(",").map((host) => nodeOf(host.trim(), 26379));
  if (nodes.some(({ host, port }) => host === "" || !(port > 0 && port < 65_536))) {
    throw problem(`its Sentinels are ${hosts}`);
  }
  return {
    kind: "sentinel",
    ...loginOf(url),
    tls: secure === "s",
    nodes,
    master: decodeURIComponent(master),
    db: databaseOf(`/${db ?? ""}`, problem),
    sentinelPassword: url.searchParams.get("sentinelPassword") ?? undefined,
  };
}

function loginOf({ username, password }: URL) {
  return {
    username: username === "" ? undefined : decodeURIComponent(username),
    password: password === "" ? undefined : decodeURIComponent(password),
  };
}

function nodeOf(host: string, port: number): Node {
  const [, bracketed, plain, own] = /^(?:\[(.+)\]|([^:]*))(?::(\d+))?$/.exec(host) ?? [];
  return { host: bracketed ?? plain ?? "", port: own === undefined ? port : Number(own) };
}

function databaseOf(path: string, problem: Problem): number {
  const db = path.replace(/^\//, "");
  if (!/^\d{0,5}$/.test(db)) throw problem(`its database is ${db}`);
  return Number(db);
}
