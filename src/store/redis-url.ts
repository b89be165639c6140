import { TollkeeperError } from "../errors.js";

/** A server, as ioredis takes it. */
interface Node {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is: one server, a master that Sentinels know by name, or a Cluster. */
export type Address = {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: boolean;
} & (
  | { readonly kind: "server"; readonly node: Node; readonly db: number }
  | {
      readonly kind: "sentinel";
      readonly nodes: readonly Node[];
      readonly master: string;
      readonly db: number;
      readonly sentinelPassword: string | undefined;
    }
  | { readonly kind: "cluster"; readonly nodes: readonly Node[] }
);

const MAY_BE =
  "redis://[user:password@]host[:6379][/db], rediss:// for TLS, " +
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
  if (/^rediss?-sentinel:/.test(text)) return sentinels(text, problem);
  const [, secure, rest] = /^redis(s?)-cluster:\/\/(.*)$/.exec(text) ?? [];
  if (rest !== undefined)
    return clusterOf(
      rest.split(",").map((part) => `redis${secure}://${part.trim()}`),
      problem,
    );
  const urls = text.split(",").map((part) => serverOf(part.trim(), problem));
  const [first] = urls;
  if (first === undefined) throw problem("it is empty");
  const { username, password, tls, node, db } = first;
  if (urls.length === 1) return { kind: "server", username, password, tls, node, db };
  return clusterOf(text.split(","), problem);
}

/** The address of a Cluster, of that of one of its nodes, which names the others; undefined if it can't be one. */
export function asCluster(address: Address): Address | undefined {
  if (address.kind !== "server" || address.db !== 0) return undefined;
  const { username, password, tls, node } = address;
  return { kind: "cluster", username, password, tls, nodes: [node] };
}

function clusterOf(parts: readonly string[], problem: (reason: string) => TollkeeperError): Address {
  const urls = parts.map((part) => serverOf(part.trim(), problem));
  const [first] = urls;
  if (first === undefined) throw problem("it names no node");
  const { tls } = first;
  if (urls.some((url) => url.tls !== tls)) throw problem("some nodes are rediss:// and some redis://");
  if (urls.some((url) => url.db !== 0)) throw problem("a Cluster has no databases but 0");
  const login = urls.find((url) => url.password !== undefined) ?? first;
  return { kind: "cluster", username: login.username, password: login.password, tls, nodes: urls.map((u) => u.node) };
}

/** The URL of a Redis as it may be shown or logged: `***` in place of user and password. */
export function redactedUrl(text: string): string {
  return text.replaceAll(/\/\/[^@/,]*@/g, "//***@").replace(/(sentinelPassword=)[^&]*/, "$1***");
}

function serverOf(text: string, problem: (reason: string) => TollkeeperError) {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1];
  if (scheme !== "redis" && scheme !== "rediss") {
    throw problem(scheme === undefined ? "it has no scheme" : `its scheme is ${scheme}:`);
  }
  if (!URL.canParse(text)) throw problem("it is not a URL");
  const url = new URL(text);
  if (url.hostname === "") throw problem("it names no host");
  if (url.search !== "") throw problem("it has parameters after a ?");
  return {
    ...loginOf(url),
    tls: scheme === "rediss",
    node: nodeOf(url.host, 6379),
    db: databaseOf(url.pathname, problem),
  };
}

function sentinels(text: string, problem: (reason: string) => TollkeeperError): Address {
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

function databaseOf(path: string, problem: (reason: string) => TollkeeperError): number {
  const db = path.replace(/^\//, "");
  if (!/^\d{0,5}$/.test(db)) throw problem(`its database is ${db}`);
  return Number(db);
}
