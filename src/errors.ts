import { inspect } from "node:util";

/**
 * Every code that a {@link TollkeeperError} can carry, with what it means. `docs/errors.md` explains each; a test
 * holds the two together.
 */
export const ERROR_CODES = {
  ERR_OPTION_INVALID: "an option of createLimiter or of the plugin is of the wrong type or out of range",
  ERR_TIERS_INVALID: "the tiers can't be used as they are",
  ERR_TIER_UNKNOWN: "no tier of that name",
  ERR_KEY_INVALID: "a key is a string of 1 to 512 UTF-16 units",
  ERR_OVERRIDES_INVALID: "a caller's own limits can't be used as they are",
  ERR_TOO_MANY_LIMITS: "more different sets of limits are in use at once than the engine can tell apart",
  ERR_COST_INVALID:
    "a cost is a number from 0 with at most three decimals, or such numbers by name of the tier's limits",
  ERR_COST_EXCEEDS_CAPACITY: "the cost is more than a limit of the tier can ever hold",
  ERR_GRANT_INVALID: "tokens can't be granted so",
  ERR_TABLE_FULL: "a key to be granted tokens is new, and there is no room for it",
  ERR_CLOCK_INVALID: "the clock gave something else than milliseconds since 1970",
  ERR_NAME_CONFLICT: "a limiter of that name is open with another configuration",
  ERR_LIMITER_CLOSED: "the limiter is closed",
  ERR_ENGINE_FAILED: "the native engine met a fault of its own",
  ERR_NATIVE_MISSING: "the native binary is not there, or can't be loaded",
  ERR_NAME_NEEDS_NATIVE: "a limiter with a name needs the native engine in a worker thread",
  ERR_STORAGE_NEEDS_NATIVE: "file storage needs the native engine",
  ERR_STORAGE_FOREIGN: "the storage file was not written by tollkeeper",
  ERR_STORAGE_VERSION: "the storage file is of another format version",
  ERR_STORAGE_CORRUPT: "the storage file is damaged",
  ERR_STORAGE_LOCKED: "the storage file is open elsewhere",
  ERR_STORAGE_FULL: "the storage file holds more keys than maxKeys",
  ERR_STORAGE_REPLACED: "the storage file was removed, cut short or replaced while open",
  ERR_STORAGE_EXPOSED: "the storage file was open to others than its owner",
  ERR_STORAGE_IO: "the storage file can't be read or written",
  ERR_PACKAGE_MISSING: "a package that the app has to bring is not installed",
  ERR_STORE_UNAVAILABLE: "the store shared by the replicas can't be asked just now",
  ERR_STORE_REFUSED: "the store refuses the user, the password or the right",
  ERR_STORE_UNSUITABLE: "the store is of a version or set-up that can't be relied on",
  ERR_STORE_FAILED: "the store answered with an error",
  ERR_STORE_CONFLICT: "under the same prefix a limit of that name is of another kind",
  ERR_STORE_FOREIGN: "the store holds something else under the name of a key",
  ERR_RECORDS_LOST: "some of the accounts and API keys are lost where they are kept",
  ERR_PRICE_INVALID: "a price can't be used as it is",
  ERR_USAGE_INVALID: "usage can't be counted or priced so",
  ERR_RECORD_INVALID: "no record can have that name or value",
  ERR_METER_UNKNOWN: "the ledger has no meter of that name",
  ERR_REPORT_INVALID: "a report of usage can't be asked for so",
  ERR_LEDGER_CLOSED: "the ledger is closed",
} as const;

/** A stable code of a {@link TollkeeperError}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Misuse or a fault, never a denial: a denial is a {@link Decision}. `code` is stable, `message` is for people. */
export class TollkeeperError extends Error {
  /** Stable: what went wrong, for programs. */
  readonly code: ErrorCode;

  /** @param message What was wrong, what it was and what it may be. */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "TollkeeperError";
    this.code = code;
  }

  /** Whether it is one, of whichever copy of this package: the ESM and the CommonJS build are two. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a class derived from this one asks for itself
    return isOfCopy(error, TollkeeperError, this);
  }
}

/**
 * What `error instanceof asked` says for one of our classes or a class derived from it. One process may hold several
 * copies of ours, the ESM and the CommonJS build to begin with, so an error is known by its name and code.
 */
export function isOfCopy(error: unknown, own: new (...args: never) => Error, asked: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  if (asked === own && name === own.name && typeof code === "string" && code.startsWith("ERR_")) return true;
  return Function.prototype[Symbol.hasInstance].call(asked as typeof own, error);
}

/** What was given, as text; a text in quotes if it would be taken for a number or a word that was not given. */
export function unmistaken(was: unknown): string {
  const isMistakable =
    typeof was === "string" && (!Number.isNaN(Number(was)) || ["true", "false", "null", "undefined"].includes(was));
  return isMistakable ? JSON.stringify(was) : String(was);
}

/**
 * An option that can't be used.
 *
 * @param option Its path, such as `storage.url`.
 * @param was What was given; shown as text.
 * @param mayBe What may be given.
 */
export function optionInvalid(option: string, was: unknown, mayBe: string): TollkeeperError {
  const isObject = typeof was === "object";
  const shown = isObject ? inspect(was, { depth: 1, breakLength: Number.POSITIVE_INFINITY }) : unmistaken(was);
  return new TollkeeperError("ERR_OPTION_INVALID", `${option} is ${shown}; it may be ${mayBe}`);
}
