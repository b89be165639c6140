import { TollkeeperError } from "../errors.js";

/** The oldest Redis whose scripts may read the time and then write, and that is still mended when a fault is found. */
const OLDEST = [6, 2] as const;

/** Something about a server that keeps it from being used, or will cost somebody their quota. */
export interface Complaint {
  readonly error: TollkeeperError;
  readonly fatal: boolean;
}

/**
 * What is wrong with a server, by its own account.
 *
 * @param info The fields of `INFO`.
 */
export function complaintsOf(
  info: ReadonlyMap<string, string>,
  { url, isCluster }: { url: string; isCluster: boolean },
): Complaint[] {
  const complaints: Complaint[] = [];
  const complain = (fatal: boolean, message: string) => {
    complaints.push({ fatal, error: new TollkeeperError("ERR_STORE_UNSUITABLE", `Redis at ${url} ${message}`) });
  };
  const version = info.get("redis_version") ?? "unknown";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    complain(true, `is version ${version}; it may be ${OLDEST.join(".")} or later, or Valkey: upgrade the server`);
  }
  if (info.get("redis_mode") === "cluster" && !isCluster) {
    complain(true, "is a node of a Cluster; give the addresses of two or more of its nodes, separated by commas");
  }
  if (info.get("role") === "slave") {
    complain(true, "is a replica, which can't be written to; give the address of its master, or of its Sentinels");
  }
  const policy = info.get("maxmemory_policy");
  if (policy !== undefined && policy !== "noeviction") {
    complain(
      false,
      `has maxmemory-policy ${policy}, under which it forgets what callers have used; ` +
        "set it to noeviction: redis-cli CONFIG SET maxmemory-policy noeviction",
    );
  }
  return complaints;
}

/** An error of ioredis or of the server in our words, with what mends it where that can be told. */
export function translated(error: unknown, url: string): TollkeeperError {
  if (error instanceof TollkeeperError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const say = (code: "ERR_STORE_REFUSED" | "ERR_STORE_FAILED" | "ERR_STORE_UNAVAILABLE", what: string) =>
    new TollkeeperError(code, `Redis at ${url} ${what}`, { cause: error });
  if (/WRONGPASS|NOAUTH|invalid password|AUTH .*(called|failed)/i.test(text)) {
    return say("ERR_STORE_REFUSED", `refuses the user or password (${text}); correct them in the URL`);
  }
  if (/NOPERM/.test(text)) {
    return say("ERR_STORE_REFUSED", `does not let this user do it (${text}); grant +@all on its keys and channel`);
  }
  if (/killed by user|BUSY/i.test(text)) {
    return say(
      "ERR_STORE_FAILED",
      `had a script stopped for taking too long (${text}); see what else keeps it busy, or raise busy-reply-threshold`,
    );
  }
  if (/^OOM/.test(text)) {
    return say("ERR_STORE_FAILED", `is out of memory (${text}); raise maxmemory`);
  }
  if (/^(ERR|READONLY|MISCONF|WRONGTYPE|EXECABORT|CLUSTERDOWN)/.test(text)) {
    return say("ERR_STORE_FAILED", `answered: ${text}`);
  }
  return say("ERR_STORE_UNAVAILABLE", `can't be reached: ${text}`);
}
