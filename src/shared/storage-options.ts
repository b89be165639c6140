import type { ConnectionOptions } from "node:tls";
import { optionInvalid, TollkeeperError } from "../errors.js";
import { addressOfClient, checkClient, type RedisClient } from "../store/given-client.js";
import type { Credentials } from "../store/login.js";
import { type Address, parseAddress, urlOf } from "../store/redis-url.js";
import type { OutagePolicies, OutagePolicy } from "./outage-policy.js";

/** Storage that replicas share, in Redis 6.2 or later, or Valkey. */
export interface RedisStorage {
  /** Redis, or what speaks like it. */
  type: "redis";
  /**
   * `redis://[user:password@]host[:6379][/db]`, `rediss://` for TLS,
   * `redis-sentinel://[user:password@]host[:26379],host,…/master[/db][?sentinelPassword=…]`, `rediss-sentinel://` for
   * TLS to servers and Sentinels, or one or more nodes of a Cluster, `redis-cluster://host:port,host:port`,
   * `rediss-cluster://…`, or `redis://host:port,redis://host:port`; a single `redis://` that is one is found out;
   * `valkey://` and `valkeys://` for `redis://` and `rediss://`; `unix://[user:password@]/path[?db=1]` for a socket.
   */
  url?: string;
  /**
   * In place of a URL, a `Redis` or `Cluster` of ioredis 5 or 6 that the app has made: it says where Redis is and who to be.
   * Connections of the limiter's own are made beside it, so it may be in any state and used for anything; it is never
   * changed or closed. Once the app ends it, Redis counts as away until the app has it connect again. It may not have a
   * `keyPrefix`.
   */
  client?: RedisClient;
  /** Whether tokens are taken ahead (`"leased"`, the default) or every call asks Redis (`"exact"`). */
  mode?: "leased" | "exact";
  /** How long, in ms, tokens taken ahead may be handed out: 10 to 5,000, 1,000 by default. */
  leaseMs?: number;
  /** How long, in ms, a call waits for Redis at most: 1 to 10,000, 50 by default. */
  timeoutMs?: number;
  /**
   * What decides while Redis is away, for all limits or for each type: `"share"`, the default, this replica's part of
   * the limit; `"open"`, nothing; `"closed"`, no call is decided and `consume` throws `ERR_STORE_UNAVAILABLE`.
   */
  onOutage?: OutagePolicy | Partial<OutagePolicies>;
  /**
   * What the names of all keys begin with: 1 to 64 letters, digits, `_`, `-`, `.`; the limiter's name by default, or
   * `tollkeeper`. Replicas share what they count if they have the same, and count apart otherwise.
   */
  prefix?: string;
  /** Node's own options for TLS, such as `ca`, where the URL is `rediss://`; a client has its own. */
  tls?: ConnectionOptions;
  /**
   * Who to be, in place of the user and password of the URL or client: asked anew before each connection, for those that
   * change. Connections that there are stay. What it throws, or a wait of more than 5 s, is told to `onStorageError`, and
   * it is asked again.
   */
  credentials?: () => Credentials | Promise<Credentials>;
  /**
   * Whether a Redis is used whose `maxmemory-policy` lets it throw keys away, and with them what callers have used:
   * `false` by default, and then it is refused with `ERR_STORE_UNSUITABLE`.
   */
  allowEviction?: boolean;
}

const OPTIONS = [
  "type",
  "url",
  "client",
  "mode",
  "leaseMs",
  "timeoutMs",
  "onOutage",
  "prefix",
  "tls",
  "credentials",
  "allowEviction",
];
/** No two prefixes of this form can make one name of two keys. */
export const PREFIX = /^[\w.-]{1,64}$/;
export const PREFIX_MAY_BE = "1 to 64 letters, digits, _, - and .";
const POLICIES = ["share", "open", "closed"];
const MAY_BE = '"share", "open" or "closed"';

/**
 * Refuses storage options that can't be.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkRedis(storage: RedisStorage): void {
  const { url, client, mode, leaseMs, timeoutMs, onOutage, prefix, tls, credentials, allowEviction } = storage;
  const unknown = Object.keys(storage).find((option) => !OPTIONS.includes(option));
  if (unknown !== undefined) throw optionInvalid(`storage.${unknown}`, "unknown", `one of ${OPTIONS.join(", ")}`);
  if (client === undefined && url === undefined) {
    throw optionInvalid("storage.url", url, "the URL of a Redis, or storage.client be an ioredis client");
  }
  if (client === undefined) parseAddress(url, "storage.url");
  else checkGiven(client, storage);
  if (mode !== undefined && mode !== "leased" && mode !== "exact") {
    throw optionInvalid("storage.mode", mode, '"leased" or "exact"');
  }
  checkWhole("storage.leaseMs", leaseMs, 10, 5000);
  checkWhole("storage.timeoutMs", timeoutMs, 1, 10_000);
  if (prefix !== undefined && !(typeof prefix === "string" && PREFIX.test(prefix))) {
    throw optionInvalid("storage.prefix", prefix, PREFIX_MAY_BE);
  }
  if (tls !== undefined && (typeof tls !== "object" || tls === null))
    throw optionInvalid("storage.tls", tls, "an object");
  if (credentials !== undefined && typeof credentials !== "function") {
    throw optionInvalid("storage.credentials", typeof credentials, "a function that gives { username, password }");
  }
  if (allowEviction !== undefined && typeof allowEviction !== "boolean") {
    throw optionInvalid("storage.allowEviction", allowEviction, "true or false");
  }
  checkPolicy(onOutage);
}

/**
 * Where Redis is, and as what it may be told of.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function placeOf({ url, client }: Pick<RedisStorage, "url" | "client">): Place {
  if (client === undefined) {
    const address = parseAddress(url, "storage.url");
    return { address, url: String(url) };
  }
  const address = addressOfClient(client);
  return { address, client, url: urlOf(address) };
}

interface Place {
  readonly address: Address;
  readonly url: string;
  readonly client?: RedisClient;
}

/** The policy for each type of limit. */
export function policiesOf(onOutage: RedisStorage["onOutage"]): OutagePolicies {
  const policyOf = (type: keyof OutagePolicies) =>
    (typeof onOutage === "string" ? onOutage : onOutage?.[type]) ?? "share";
  return { bucket: policyOf("bucket"), quota: policyOf("quota"), concurrency: policyOf("concurrency") };
}

/** Two places, or two ways to speak to one, would leave it open which is meant. */
function checkGiven(client: unknown, { url, tls }: RedisStorage): void {
  for (const [option, value] of Object.entries({ url, tls })) {
    if (value === undefined) continue;
    const message = `storage.${option} and storage.client are both given; it may be either`;
    throw new TollkeeperError(
      "ERR_OPTION_INVALID",
      option === "tls" ? `${message}: a client has its own tls` : message,
    );
  }
  checkClient(client, "storage.client");
}

function checkPolicy(onOutage: unknown): void {
  if (onOutage === undefined || (typeof onOutage === "string" && POLICIES.includes(onOutage))) return;
  if (typeof onOutage !== "object" || onOutage === null) {
    throw optionInvalid(
      "storage.onOutage",
      onOutage,
      `${MAY_BE}, or an object of one for bucket, quota and concurrency`,
    );
  }
  for (const [type, policy] of Object.entries(onOutage)) {
    if (type !== "bucket" && type !== "quota" && type !== "concurrency") {
      throw optionInvalid(`storage.onOutage.${type}`, "unknown", "bucket, quota or concurrency");
    }
    if (!POLICIES.includes(policy)) throw optionInvalid(`storage.onOutage.${type}`, policy, MAY_BE);
  }
}

function checkWhole(option: string, value: unknown, least: number, most: number): void {
  if (value === undefined || (Number.isInteger(value) && Number(value) >= least && Number(value) <= most)) return;
  throw optionInvalid(option, value, `whole milliseconds, ${least} to ${most}`);
}
