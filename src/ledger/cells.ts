import type { Engine } from "../engine/engine.js";

/** Meters that are declared at once; all who ever did where the cells last may have declared 256 different ones. */
export const MAX_METERS = 32;
/** Plans that are told apart where the cells last; one more is the empty text, for all that come when there are so many. */
export const MAX_PLANS = 2_047;
/** The account of what found no room, which no caller can have. */
export const OVERFLOW_ACCOUNT = "";
/** The plan of those that come when there are {@link MAX_PLANS}. */
export const OVERFLOW_PLAN = "";

/** How much has been served to an account: of one meter, under one plan, in one hour or in several that were merged. */
export interface Cell {
  /** Whose usage; {@link OVERFLOW_ACCOUNT} for what found no room. */
  account: string;
  /** What was sold. */
  meter: string;
  /** Under which plan; {@link OVERFLOW_PLAN} for those that were too many. */
  plan: string;
  /** The first hour that it is of, in whole hours since the epoch. */
  hour: number;
  /** How many hours it is of, from `hour` on: 1, those of a day once these were merged, or those of a month (UTC). */
  hours: number;
  /** Calls that were served. */
  calls: number;
  /** What they cost, in thousandths of a token, less what was given back. */
  unitsMilli: number;
  /** Calls that were denied. */
  denied: number;
  /** What was charged and then given back, in thousandths. */
  refundedMilli: number;
  /** How often something has come after its day was closed; 0 in memory. */
  revision: number;
}

/** Which cells are wanted. */
export interface CellQuery {
  /** One account; all if left out. */
  account?: string | undefined;
  /** The first hour: of cells whose `hour` is not before it. */
  fromHour: number;
  /** The first hour no more: of cells whose `hour` is before it. */
  toHour: number;
  /** What is added up, of an account, meter and plan: nothing, the hours of a day (UTC), or all that is wanted. */
  by?: "hour" | "day" | "range" | undefined;
  /** The account after which to go on: {@link CellPage.next} of the page before. */
  after?: string | undefined;
  /** So many cells are enough, at least 1. A page ends with an account, so it may be more. */
  max: number;
}

/** Some of the cells that are wanted. */
export interface CellPage {
  /**
   * By account, in the order of UTF-16 units; of an account by hour, and of an hour in the order in which meters were
   * declared and plans first counted. By `range` all have the hours of the query.
   */
  cells: Cell[];
  /** After which account the next page goes on; undefined if this was the last. */
  next: string | undefined;
}

/** What a ledger holds now. */
export interface CellStats {
  /** Cells in memory. */
  cells: number;
  /** Cells that memory may hold. */
  maxCells: number;
  /** Accounts whose names are in memory. */
  accounts: number;
  /** Calls, served and denied, that are in memory only: what a process that is killed now would take along. */
  unwrittenCalls: number;
  /** Thousandths of a token that are in memory only. */
  unwrittenMilli: number;
  /** The first hour of which something is in memory only; undefined if nothing is. */
  oldestUnwrittenHour: number | undefined;
  /** Calls counted for {@link OVERFLOW_ACCOUNT} since memory was full. */
  overflow: number;
  /** What was cut since a cell can hold no more, 2^32 calls or 2^53 thousandths: how often that was. */
  saturated: number;
  /** Calls, served and denied, of hours that were let go since they are older than is kept. */
  forgottenCalls: number;
}

/** For how long cells are kept; what is older is merged into what is coarser, or let go. */
export interface Retention {
  /** Days of which each hour is known: 62 by default, over Redis 14. */
  hourDays: number;
  /** Days that are known as such: 400 by default. In memory there are hours only. */
  dayDays: number;
  /** Months: 36 by default. */
  months: number;
}

/** How cells are opened. */
export interface CellsOptions {
  /** What is sold, 1 to {@link MAX_METERS} names; who joins the cells of a table may add some. */
  meters: readonly string[];
  /** Cells that memory may hold: 1,000,000 by default. The first to open them decides. */
  maxCells?: number | undefined;
  /** For how long they are kept. The first to open them decides. */
  retention?: Partial<Retention> | undefined;
}

export const RETENTION: Retention = { hourDays: 62, dayDays: 400, months: 36 };
/** Over Redis, where hours lie in memory, and those of each process by themselves. */
export const REDIS_RETENTION: Retention = { ...RETENTION, hourDays: 14 };
export const MAX_CELLS = 1_000_000;

/**
 * Usage, counted by account, meter, plan and hour. It belongs to the table of a limiter: all threads that share the table
 * share it, it lasts where the table does, and is written with it.
 *
 * The sum of cells over two ranges of hours that meet is that of the range of both, whatever is merged or written meanwhile.
 */
export interface Cells {
  readonly kind: Engine["kind"] | "redis";
  /** Whether they are written to a file, or to Redis. */
  readonly isDurable: boolean;
  /** The number that stands for a meter in {@link count}; -1 if it was not declared. */
  meterId(name: string): number;
  /** The number that stands for a plan in {@link count}; that of {@link OVERFLOW_PLAN} if there are too many. */
  planId(name: string): number;
  /**
   * Counts. All numbers are whole and not below 0; `hour` is below 2^22.
   *
   * @throws {TollkeeperError} `ERR_KEY_INVALID` if the account is no string of 1 to 512 UTF-16 units, `ERR_LIMITER_CLOSED`
   */
  count(
    account: string,
    meter: number,
    plan: number,
    hour: number,
    calls: number,
    unitsMilli: number,
    denied: number,
    refundedMilli: number,
  ): void;
  /** A page of cells, read off the event loop. Each is in one page, with all that was counted before this was asked. */
  read(query: CellQuery): Promise<CellPage>;
  /** At most `max` accounts that have cells, in the order of UTF-16 units, after the one named `after`. */
  accounts(after: string | undefined, max: number): Promise<string[]>;
  /** Every meter that was ever declared where the cells last. */
  meters(): string[];
  /** Every plan that was ever counted where the cells last. */
  plans(): string[];
  /**
   * Writes what is in memory only, with what the limiter has to write, closes the days that are over, and merges or lets go
   * what is older than is kept. An hour is over ten minutes after its end.
   *
   * @param nowMs In ms since the epoch.
   */
  flush(nowMs: number): Promise<void>;
  stats(): CellStats;
  /** What other processes have not written, where they count apart; those that have not said so of the hours before one. */
  others?(hour: number): Promise<OtherCells>;
  /** Lets go. What is not written is when the limiter is closed. */
  close(): void | Promise<void>;
}

/** What other processes hold, as they have said last. */
export interface OtherCells {
  /** Those that may hold something of the hours asked about. */
  waitingFor: { process: string; writtenMs: number }[];
  /** Calls, and thousandths, that they could not write. */
  unwrittenCalls: number;
  unwrittenMilli: number;
}
