import { type ErrorCode, TollkeeperError } from "../errors.js";

/** Whether a store can't be used until somebody changes a right, a setting, or what is installed here. */
export function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return error instanceof TollkeeperError && REFUSALS.includes(String(code));
}

const REFUSALS = ["ERR_STORE_REFUSED", "ERR_STORE_UNSUITABLE", "ERR_PACKAGE_MISSING"];

/** What an error says, what it means, and what mends it; the first that fits. */
const MEANINGS: readonly (readonly [says: RegExp, code: ErrorCode, told: (text: string) => string])[] = [
  [
    /WRONGPASS|NOAUTH|invalid password|AUTH .*(called|failed)/i,
    "ERR_STORE_REFUSED",
    (text) => `refuses the user or password (${text}); correct them in the URL, the client, or what gives them`,
  ],
  [
    /NOPERM|user executing the script|ACL failure|No permissions to access/,
    "ERR_STORE_REFUSED",
    (text) => `does not let this user do it (${text}); ${grantFor(text)}`,
  ],
  // What ioredis says of a command that it was not to keep for later.
  [/enableOfflineQueue/, "ERR_STORE_UNAVAILABLE", (text) => `is not connected just now (${text})`],
  [
    /certificate/i,
    "ERR_STORE_REFUSED",
    (text) =>
      `shows a certificate that is not trusted (${text}); ` +
      "give its authority as storage.tls.ca, or in NODE_EXTRA_CA_CERTS",
  ],
  [
    /cluster support disabled/i,
    "ERR_STORE_UNSUITABLE",
    (text) => `is no Cluster (${text}); give the address of one server`,
  ],
  [
    /No such master/,
    "ERR_STORE_UNSUITABLE",
    (text) => `has Sentinels that know no such master (${text}); correct its name in the URL`,
  ],
  [/DB index/i, "ERR_STORE_FAILED", (text) => `answered: ${text}; correct the database in the URL or the client`],
  [
    /max number of clients|max clients/i,
    "ERR_STORE_UNAVAILABLE",
    (text) => `takes no more connections (${text}); raise maxclients, or see who holds so many`,
  ],
  [
    /UNKILLABLE/,
    "ERR_STORE_FAILED",
    (text) => `is kept busy by a script that has written and can't be stopped (${text}); wait, or SHUTDOWN NOSAVE`,
  ],
  [
    /killed by user|BUSY/i,
    "ERR_STORE_FAILED",
    (text) =>
      `had a script stopped for taking too long (${text}); see what else keeps it busy, or raise busy-reply-threshold`,
  ],
  [/\bOOM\b/, "ERR_STORE_FAILED", (text) => `is out of memory (${text}); raise maxmemory, or free some`],
  [/LOADING/, "ERR_STORE_UNAVAILABLE", (text) => `is still reading its data (${text}); wait until it has`],
  [
    /MASTERDOWN/,
    "ERR_STORE_UNAVAILABLE",
    (text) => `is a replica that has lost its master (${text}); give the address of the master, or of its Sentinels`,
  ],
  [
    /MISCONF/,
    "ERR_STORE_FAILED",
    (text) => `refuses to write, since it can't save to its disk (${text}); see its log, and the room on the disk`,
  ],
  [
    /NOREPLICAS/,
    "ERR_STORE_FAILED",
    (text) =>
      `refuses to write, since too few replicas follow it (${text}); bring them back, or lower min-replicas-to-write`,
  ],
  [
    /READONLY/,
    "ERR_STORE_FAILED",
    (text) => `is a replica, which can't be written to (${text}); give the address of its master, or of its Sentinels`,
  ],
  [
    /CLUSTERDOWN/,
    "ERR_STORE_FAILED",
    (text) => `is a Cluster that serves no calls now (${text}); see CLUSTER INFO for slots that nobody has`,
  ],
  [
    /TRYAGAIN/,
    "ERR_STORE_UNAVAILABLE",
    (text) => `is moving the slot of a key (${text}); it is asked again, and nothing needs to be done`,
  ],
  [
    /NOSCRIPT/,
    "ERR_STORE_FAILED",
    (text) => `forgot a script just when it was called (${text}); see who calls SCRIPT FLUSH, or restarts it`,
  ],
  [/EXECABORT/, "ERR_STORE_FAILED", (text) => `gave up a transaction (${text}); what it refused first says why`],
  [
    // Every error that a server answers begins with a word in capitals; what the client meets on its own never does.
    /^(ERR|(?!E)[A-Z]{4,}) /,
    "ERR_STORE_FAILED",
    (text) => `answered: ${text}`,
  ],
];

/** An error of ioredis or of the server in our words, with what mends it where that can be told: more if it has never worked. */
export function translated(error: unknown, url: string, isNew: boolean): TollkeeperError {
  if (error instanceof TollkeeperError) return error;
  conceal(error);
  const text = textOf(error);
  const [, code, told] = MEANINGS.find(([says]) => says.test(text)) ?? [];
  if (code !== undefined && told !== undefined) {
    return new TollkeeperError(code, `Redis at ${url} ${told(text)}`, { cause: error });
  }
  return new TollkeeperError(
    "ERR_STORE_UNAVAILABLE",
    `Redis at ${url} can't be reached: ${text}${isNew ? hintOf(text, url) : ""}`,
    { cause: error },
  );
}

/** What was answered is no answer of our scripts: `what` of it. Whether anything was written nobody knows then. */
export function strange(url: string, what: string): TollkeeperError {
  return new TollkeeperError(
    "ERR_STORE_FAILED",
    `Redis at ${url} answered something else than was asked, ${what}; see what stands between, and whether the app has ` +
      "ioredis transform replies",
  );
}

/** Of the command that failed, ioredis notes the arguments: a password, or keys, which whoever logs an error would write down. */
function conceal(error: unknown): void {
  if (error instanceof Error && "command" in error) delete error.command;
}

/** What is to be granted for an error of a missing right. */
function grantFor(text: string): string {
  const [, command] = /to run the '([^']+)' command/.exec(text) ?? [];
  if (command !== undefined) return `grant +${command}`;
  if (/channel/.test(text)) return "grant the channel with &{<prefix>}:*";
  if (/key/.test(text)) return "grant the keys with ~{<prefix>:* ~{<prefix>}:*";
  return "grant the command";
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
  if (/ENOENT/.test(text)) return "; check the path in the URL";
  if (/EACCES/.test(text)) return "; let this user write to the socket: see unixsocketperm of the server";
  if (/sentinels are/.test(text)) return "; check their addresses in the URL, and whether they speak TLS";
  if (/ENOTFOUND|EAI_AGAIN/.test(text)) return "; check the host in the URL";
  if (/^(redis\+)?unix:/.test(url)) return "";
  const isSecure = /^(rediss|valkeys)/.test(url);
  if (isSecure && /wrong version number|SSL|TLS|ECONNRESET|ETIMEDOUT|closed/i.test(text)) {
    return "; if the server speaks no TLS, the URL begins with redis:, and a client has no tls";
  }
  if (!isSecure && /ECONNRESET|EPIPE|closed/i.test(text)) {
    return "; if the server speaks TLS, the URL begins with rediss:, or a client has tls";
  }
  return "";
}
