import type { Tiers } from "../engine/spec.js";
import { optionInvalid } from "../errors.js";
import type { Host } from "../limiter/host.js";
import { MAX_CELLS, MAX_METERS, type Retention } from "./cells.js";
import { checkMeters } from "./query.js";

/** A limiter beside whose keys usage is counted. */
export interface CountedLimiter {
  /** Which engine decides. */
  readonly engine: string;
  /** The tiers in force. */
  readonly tiers: Tiers;
}

/** How a ledger is opened. */
export interface LedgerOptions {
  /**
   * What `createLimiter` returned: usage is counted beside its keys, by all threads that share its table, and lasts where it
   * does: in its file, in its Redis, with all that share that, or as long as the process.
   */
  limiter: CountedLimiter;
  /** What is sold, 1 to 32 names, such as of routes. */
  meters: readonly string[];
  /** How much usage, in ms, a crash may forget where there is a file or Redis: 10 to 60,000, 1,000 by default. */
  flushMs?: number | undefined;
  /** Cells in memory at once, 1 to 64,000,000; 1,000,000 by default. What finds no room is counted for no account: `""`. */
  maxCells?: number | undefined;
  /** For how many days hours (62, over Redis 14) and days are kept (400), and for how many months (36). */
  retention?: Partial<Retention> | undefined;
  /** Told of each failed write, which is tried again; of one to Redis once a minute. By default a process warning. */
  onError?: ((error: unknown) => void) | undefined;
  /** Milliseconds since the epoch, for tests; the limiter's by default. */
  clock?: (() => number) | undefined;
}

const NAMES = ["limiter", "meters", "flushMs", "maxCells", "retention", "onError", "clock"];
const KEPT = { hourDays: 400, dayDays: 4000, months: 1200 };

/**
 * What a limiter has for a ledger, once the options are checked.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkedHost(options: LedgerOptions): Host {
  if (typeof options !== "object" || options === null) throw optionInvalid("options", options, "an object");
  const unknown = Object.keys(options).find((option) => !NAMES.includes(option));
  if (unknown !== undefined) throw optionInvalid(unknown, "unknown", `one of ${NAMES.join(", ")}`);
  const { limiter, meters, flushMs, maxCells, retention = {}, onError, clock } = options;
  const { host } = (limiter ?? {}) as { host?: Host };
  if (host === undefined) throw optionInvalid("limiter", limiter, "what createLimiter returned");
  checkMeters(meters, MAX_METERS, (was, mayBe) => optionInvalid("meters", was, mayBe));
  checkWhole("flushMs", flushMs, 10, 60_000);
  checkWhole("maxCells", maxCells, 1, 64 * MAX_CELLS);
  checkRetention(retention);
  for (const [name, value] of Object.entries({ onError, clock })) {
    if (value !== undefined && typeof value !== "function") throw optionInvalid(name, value, "a function");
  }
  return host;
}

function checkRetention(retention: Partial<Retention>): void {
  if (typeof retention !== "object" || retention === null) {
    throw optionInvalid("retention", retention, "{ hourDays, dayDays, months }");
  }
  for (const [name, value] of Object.entries(retention)) {
    const most = KEPT[name as keyof Retention];
    if (most === undefined) throw optionInvalid(`retention.${name}`, "unknown", "hourDays, dayDays or months");
    checkWhole(`retention.${name}`, value, 1, most);
  }
}

function checkWhole(name: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return;
  throw optionInvalid(name, value, `a whole number, ${least} to ${most}`);
}
