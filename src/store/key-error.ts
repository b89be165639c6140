import { named } from "../engine/tier.js";
import { type ErrorCode, TollkeeperError } from "../errors.js";
import { conflict, type StoreRef } from "./limit-kinds.js";
import { nameOf } from "./wire.js";

/** What can be wrong with one key while the store is there and serves all others. */
const OF_ONE_KEY: readonly ErrorCode[] = ["ERR_STORE_CONFLICT", "ERR_STORE_FOREIGN"];

/** What the store answers to what it does not do. */
const REFUSALS: readonly ErrorCode[] = ["ERR_STORE_REFUSED", "ERR_STORE_FAILED"];

/** Units of a key that are shown at most: it may be an address, or a secret. */
const SHOWN = 8;

/** Whether an error is of one key alone: the store has answered, and is no worse for the others. */
export function isOfOneKey(error: unknown): boolean {
  return error instanceof TollkeeperError && OF_ONE_KEY.includes(error.code);
}

/**
 * Whether the store has answered that it does not do it, for want of a right or of room: nothing was written then. What the
 * store has said is the cause; an answer that was not understood has none, and may have been written before.
 */
export function isRefusal(error: unknown): boolean {
  return error instanceof TollkeeperError && REFUSALS.includes(error.code) && error.cause !== undefined;
}

/** An error that the script has answered for a key (see `script.ts`); undefined if it is none of its own. */
export function keyFault(answer: Error, key: string, storeRef: StoreRef): TollkeeperError | undefined {
  const [, word, detail = ""] = /^(FOREIGN|KIND) (.+)$/.exec(answer.message) ?? [];
  switch (word) {
    case "FOREIGN":
      return foreign(detail, key, storeRef, answer);
    case "KIND": {
      const [limit = "", here = "", there = ""] = detail.split(",");
      return conflict(limit, here, `counted as ${named(there)} in a key that the outage policy decides on`, storeRef, {
        cause: answer,
      });
    }
    default:
      return undefined;
  }
}

function foreign(type: string, key: string, { url, prefix }: StoreRef, cause: Error): TollkeeperError {
  const what = type === "hash" ? "a hash of somebody else's" : `a ${type}`;
  const start = nameOf(prefix, key.slice(0, Math.min(SHOWN, Math.floor(key.length / 2)))).slice(0, -1);
  return new TollkeeperError(
    "ERR_STORE_FOREIGN",
    `Redis at ${url} holds ${what} under ${start}…}, where the count of a key belongs; the outage policy decides on that ` +
      `key: reset it, or delete what is there (redis-cli --scan --type ${type} --pattern '${start}*}')`,
    { cause },
  );
}
