import { TollkeeperError } from "../errors.js";

/** The oldest Redis whose scripts may read the time and then write, and that is still mended when a fault is found. */
const OLDEST = [6, 2] as const;

const ALLOW_EVICTION = "storage.allowEviction (RATE_LIMIT_REDIS_ALLOW_EVICTION)";

/** What makes a server unsuitable: it can't be used, or will cost somebody their quota. */
export interface Unsuitability {
  readonly error: TollkeeperError;
  readonly fatal: boolean;
}

/**
 * What is wrong with a server, by its own account.
 *
 * @param info The fields of `INFO`.
 */
export function unsuitabilitiesOf(
  info: ReadonlyMap<string, string>,
  { url, mayBeCluster, allowEviction }: { url: string; mayBeCluster: boolean; allowEviction: boolean },
): Unsuitability[] {
  const found: Unsuitability[] = [];
  const add = (fatal: boolean, message: string) => {
    found.push({ fatal, error: new TollkeeperError("ERR_STORE_UNSUITABLE", `Redis at ${url} ${message}`) });
  };
  const version = info.get("redis_version") ?? "unknown";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    add(true, `is version ${version}; it may be ${OLDEST.join(".")} or later, or Valkey: upgrade the server`);
  }
  if (info.get("redis_mode") === "sentinel") {
    add(true, "is a Sentinel; give its address as redis-sentinel://host:port/master");
  }
  if (info.get("redis_mode") === "cluster" && !mayBeCluster) {
    add(
      true,
      "is a node of a Cluster, which has no databases but 0; leave the database out of its address, or give an ioredis Cluster",
    );
  }
  if (info.get("role") === "slave") {
    add(true, "is a replica, which can't be written to; give the address of its master, or of its Sentinels");
  }
  const policy = info.get("maxmemory_policy");
  if (policy !== undefined && policy !== "noeviction") {
    add(
      !allowEviction,
      `has maxmemory-policy ${policy}, under which it forgets what callers have used; ` +
        "set it to noeviction: redis-cli CONFIG SET maxmemory-policy noeviction" +
        (allowEviction ? "" : `, or take the risk with ${ALLOW_EVICTION}`),
    );
  }
  return found;
}
