import { type ErrorCode, TollkeeperError } from "../errors.js";

/** What can be wrong with one key while the store is there and serves all others. */
const OF_ONE_KEY: readonly ErrorCode[] = ["ERR_STORE_CONFLICT", "ERR_STORE_FOREIGN"];

/** Units of a key that are shown at most: it may be an address, or a secret. */
const SHOWN = 8;

/** Whether an error is of one key alone: the store has answered, and is no worse for the others. */
export function isOfOneKey(error: unknown): boolean {
  return error instanceof TollkeeperError && OF_ONE_KEY.includes(error.code);
}

/** An error that the script has answered for a key (see `script.ts`); undefined if it is none of its own. */
export function keyFault(
  answer: Error,
  key: string,
  { url, prefix }: { url: string; prefix: string },
): TollkeeperError | undefined {
  const [, word, detail = ""] = /^(FOREIGN|KIND) (.+)$/.exec(answer.message) ?? [];
  switch (word) {
    case "FOREIGN":
      return foreign(detail, key, url, prefix, answer);
    case "KIND":
      return conflict(detail.split(","), url, prefix, answer);
    default:
      return undefined;
  }
}

function foreign(type: string, key: string, url: string, prefix: string, cause: Error): TollkeeperError {
  const what = type === "hash" ? "a hash of somebody else's" : `a ${type}`;
  const name = `{${prefix}:${key.slice(0, Math.min(SHOWN, Math.floor(key.length / 2)))}…}`;
  return new TollkeeperError(
    "ERR_STORE_FOREIGN",
    `Redis at ${url} holds ${what} under ${name}, where the count of a key belongs; the outage policy decides on that ` +
      `key: reset it, or delete what is there (redis-cli --scan --type ${type} --pattern '{${prefix}:*}')`,
    { cause },
  );
}

/** Without the key: a limit that two apps count otherwise is the same for all of them. */
function conflict([limit, here, there]: readonly string[], url: string, prefix: string, cause: Error): TollkeeperError {
  return new TollkeeperError(
    "ERR_STORE_CONFLICT",
    `the limit ${limit} is a ${here} here, and counted as a ${there} in Redis at ${url} under the prefix ${prefix}; the ` +
      "outage policy decides on keys so counted: give the limit another name, or the app another prefix",
    { cause },
  );
}
