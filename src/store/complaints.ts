import { type ErrorCode, TollkeeperError } from "../errors.js";

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
  if (info.get("redis_mode") === "sentinel") {
    complain(true, "is a Sentinel; give its address as redis-sentinel://host:port/master");
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

/** An error of ioredis or of the server in our words, with what mends it where that can be told: more if it has never worked. */
export function translated(error: unknown, url: string, isNew: boolean): TollkeeperError {
  if (error instanceof TollkeeperError) return error;
  const text = textOf(error);
  const say = (code: ErrorCode, what: string) => new TollkeeperError(code, `Redis at ${url} ${what}`, { cause: error });
  if (/WRONGPASS|NOAUTH|invalid password|AUTH .*(called|failed)/i.test(text)) {
    return say("ERR_STORE_REFUSED", `refuses the user or password (${text}); correct them in the URL`);
  }
  // In a script Redis 7.0 and 7.2 say it in words.
  if (/NOPERM|user executing the script|ACL failure/.test(text)) {
    return say("ERR_STORE_REFUSED", `does not let this user do it (${text}); grant +@all on its keys and channel`);
  }
  if (/certificate/i.test(text)) {
    return say(
      "ERR_STORE_REFUSED",
      `shows a certificate that is not trusted (${text}); ` +
        "give its authority as storage.tls.ca, or in NODE_EXTRA_CA_CERTS",
    );
  }
  if (/cluster support disabled/i.test(text)) {
    return say("ERR_STORE_UNSUITABLE", `is no Cluster (${text}); give the address of one server`);
  }
  if (/No such master/.test(text)) {
    return say("ERR_STORE_UNSUITABLE", `has Sentinels that know no such master (${text}); correct its name in the URL`);
  }
  if (/DB index/i.test(text)) {
    return say("ERR_STORE_FAILED", `answered: ${text}; correct the database in the URL`);
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
  return say("ERR_STORE_UNAVAILABLE", `can't be reached: ${text}${isNew ? hintOf(text, url) : ""}`);
}

/** What ioredis says, with what it had heard last from a node or a Sentinel. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Of a host with several addresses, all of which failed.
  if (error instanceof AggregateError) return error.errors.map(textOf).join(", ");
  const { lastNodeError } = error as { lastNodeError?: unknown };
  return lastNodeError === undefined ? error.message : textOf(lastNodeError);
}

function hintOf(text: string, url: string): string {
  if (/sentinels are/.test(text)) return "; check their addresses in the URL, and whether they speak TLS";
  if (/ENOTFOUND|EAI_AGAIN/.test(text)) return "; check the host in the URL";
  const isSecure = url.startsWith("rediss");
  if (isSecure && /wrong version number|SSL|TLS|ECONNRESET|ETIMEDOUT|closed/i.test(text)) {
    return "; if the server speaks no TLS, the URL begins with redis:";
  }
  if (!isSecure && /ECONNRESET|EPIPE|closed/i.test(text)) {
    return "; if the server speaks TLS, the URL begins with rediss:";
  }
  return "";
}
