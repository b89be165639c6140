import type { Cells } from "./cells.js";
import type { Division } from "./hours.js";

/** How much was used: whole numbers, and tokens to a thousandth. */
export interface UsageSum {
  /** Calls that were served. */
  calls: number;
  /** Tokens that they cost, less what was given back. */
  units: number;
  /** Calls that were denied. */
  denied: number;
  /** Tokens that were charged and then given back. */
  refunded: number;
}

/** What was used in one period. */
export interface UsageRow extends UsageSum {
  /** When it begins, in ISO 8601: with the period, or with the report. */
  from: string;
  /** When it ends, likewise. Hours that are older than is kept are merged, and have a row of their own length. */
  to: string;
  /** Whose usage, where the report is of one account or tells them apart. */
  account?: string;
  /** What was sold, where the report tells that apart. */
  meter?: string;
  /** Under which plan, likewise. */
  plan?: string;
  /** How often something has come after its day was closed, by which who has read it before sees that it has changed. */
  revision: number;
}

/** The most that may be missing after a crash. */
export interface UsageBound {
  /** Calls, served and denied. */
  calls: number;
  /** Tokens. */
  units: number;
}

/** What is known of the numbers of an answer. */
export interface UsageKnown {
  /** Whether every hour asked about is closed, ten minutes after its end; over Redis also written by all processes. */
  complete: boolean;
  /**
   * What of all that is counted is not written to the file yet; it is in the numbers. Nothing where there is no file. Over Redis, what
   * processes could not write, as they have said last: it is not in the numbers; one that was killed takes along what it counted in its last `flushMs`.
   */
  bound: UsageBound;
  /** Over Redis: who has not said to have written all of the hours that are over. */
  waitingFor?: WaitingFor[];
}

/** A process that a report may lack something of. */
export interface WaitingFor {
  /** The name that it has given itself. */
  process: string;
  /** When it has written last, in ISO 8601. Who has not for a day is forgotten. */
  since: string;
}

/** What was used from one hour to another. */
export interface UsageReport extends UsageKnown {
  /** In ISO 8601. */
  from: string;
  /** Likewise; not itself a part of it. */
  to: string;
  /** What a row is of. */
  by: Division;
  /** By account where these are told apart, then by time, meter and plan. */
  rows: UsageRow[];
  /** What to give as `after` for the next page; null if this is the last. */
  next: string | null;
}

/** What one account has used in all. */
export interface AccountSum extends UsageSum {
  /** Whose usage; `""` for what found no room. */
  account: string;
}

/** Who has used most from one hour to another. */
export interface UsageTop extends UsageKnown {
  /** In ISO 8601. */
  from: string;
  /** Likewise; not itself a part of it. */
  to: string;
  /** By what they are the largest. */
  by: "units" | "calls";
  /** The largest first; of equal ones by name. */
  rows: AccountSum[];
}

/** Some accounts. */
export interface AccountPage {
  /** In the order of UTF-16 units; `""` stands for what found no room. */
  accounts: string[];
  /** What to give as `after` for the next page; null if this is the last. */
  next: string | null;
}

/** Calls that were counted. */
export interface CountedCalls {
  /** Such as have used something. */
  served: number;
  /** Such as were denied. */
  denied: number;
  /** Such as got everything back. */
  refunded: number;
}

/** The same of one meter. */
export interface MeterCalls extends CountedCalls {
  /** What was sold. */
  meter: string;
}

/** What a ledger holds, and has counted. */
export interface LedgerStats {
  /** Cells in memory: of an account, meter, plan and hour each. */
  cells: number;
  /** Cells that memory may hold. */
  maxCells: number;
  /** What is in memory only, where there is a file. */
  unwritten: UsageBound;
  /** Calls that found no room, and are counted for the account `""`. */
  overflow: number;
  /** Calls that are counted no more, because their cell was full. */
  saturated: number;
  /** Calls of hours that are older than is kept. */
  forgotten: number;
  /** Calls counted in this thread since it was opened, by meter. */
  counted: MeterCalls[];
}

/** What may be missing after a crash. */
export function boundOf(cells: Cells): UsageBound {
  if (!cells.isDurable) return { calls: 0, units: 0 };
  const { unwrittenCalls, unwrittenMilli } = cells.stats();
  return { calls: unwrittenCalls, units: unwrittenMilli / 1000 };
}

/** What cells hold, and what was counted in them. */
export function statsOf(cells: Cells, counted: LedgerStats["counted"]): LedgerStats {
  const { cells: held, maxCells, overflow, saturated, forgottenCalls } = cells.stats();
  return { cells: held, maxCells, unwritten: boundOf(cells), overflow, saturated, forgotten: forgottenCalls, counted };
}
