/** What was served, of one account, meter, plan and hour, or of several hours together: whole numbers that only grow. */
export type Served = readonly [calls: number, unitsMilli: number, denied: number, refundedMilli: number];

/** What one process has counted in a cell since that began, in all: however often it is told, it is there once. */
export interface ToldCell {
  readonly meter: string;
  readonly plan: string;
  /** Names the process, and which of its beginnings; no other cell of the same place ever has the same. */
  readonly process: string;
  readonly served: Served;
  /** Whether this server has said before that it has something of it. */
  readonly isKnown: boolean;
}

/** Cells of one account and hour, at most {@link MAX_TOLD}, each of a place of its own. */
export interface ToldHour {
  readonly account: string;
  /** Whole hours since the epoch. */
  readonly hour: number;
  readonly cells: readonly ToldCell[];
}

/** Cells that are told of one account and hour at once. */
export const MAX_TOLD = 100;

/** What a store has of an account, meter and plan, in an hour, a day or a month, of all processes. */
export interface StoredSum {
  /** The first hour. */
  readonly hour: number;
  readonly meter: string;
  readonly plan: string;
  readonly served: Served;
  /** How often something has come after the day was closed. */
  readonly revision: number;
}

/** Which sums are wanted: those of all months, of the days of the month that begins with an hour, or of a day's hours. */
export interface WantedSums {
  readonly account: string;
  readonly of: "months" | "days" | "hours";
  /** The first hour of the month or day; of no meaning for all months. */
  readonly hour: number;
}

/** What a process says of itself when it has written. */
export interface ProcessReport {
  readonly process: string;
  /** The server that it has told all that it holds; empty if none yet. */
  readonly server: string;
  /** Whether it says so for the first time there. */
  readonly joins: boolean;
  /** Of the hours before this one everything is written. */
  readonly pastHour: number;
  /** What is not, in calls and in thousandths. */
  readonly unwrittenCalls: number;
  readonly unwrittenMilli: number;
  /** Those that are to be known to all from now on. */
  readonly meters: readonly string[];
  readonly plans: readonly string[];
  /** Of how many names it knows, of meters, plans and months together. */
  readonly knownNames: number;
}

/** What the store says to that. */
export interface ReportAnswer {
  readonly server: string;
  /** False if it is another than was meant, or has forgotten this process: then nothing was taken down. */
  readonly isKnown: boolean;
  /** All names that are kept, if they are not as many as are known. */
  readonly names: StoredNames | undefined;
}

/** What anything was ever counted of. */
export interface StoredNames {
  readonly meters: readonly string[];
  readonly plans: readonly string[];
  /** The first hour of each month. */
  readonly months: readonly number[];
}

/** A process as the others see it. */
export interface OtherProcess {
  readonly process: string;
  /** When it has written last, in ms since the epoch by the store's clock. */
  readonly writtenMs: number;
  readonly pastHour: number;
  readonly unwrittenCalls: number;
  readonly unwrittenMilli: number;
}

/**
 * Where many processes keep what was served. Each tells in all what it has counted, and the store keeps the larger of each
 * number, for each process and cell; the sums of days and months change by the same differences, at the same moment.
 *
 * All of it rejects with what {@link UsageStore.translated} puts into words. Nothing is sent twice, or kept to be sent later.
 */
export interface UsageStore {
  /** Begins to connect. */
  open(): void;
  /**
   * Tells of cells. Of each hour, in order: how many of its cells that are known the store did not have; or why it could not be
   * written, and then nothing of it was.
   *
   * @param nowMs When this is, in ms since the epoch.
   */
  write(hours: readonly ToldHour[], nowMs: number): Promise<(number | Error)[]>;
  /** Has accounts found that have something in the month that begins with an hour. */
  index(month: number, accounts: readonly string[], nowMs: number): Promise<void>;
  /** Takes down how far a process is. */
  report(report: ProcessReport): Promise<ReportAnswer>;
  /** What the others have reported within a day. */
  others(process: string): Promise<OtherProcess[]>;
  /** Forgets a process that has written all and ends. */
  leave(process: string): Promise<void>;
  /** The sums that are wanted of each, in order, or why they could not be read. */
  read(wanted: readonly WantedSums[]): Promise<(StoredSum[] | Error)[]>;
  /** At most `max` accounts that have something in any of some months, in the order of UTF-16 units, after the one named. */
  accounts(months: readonly number[], after: string | undefined, max: number): Promise<string[]>;
  /** An error in our words. */
  translated(error: unknown): Error;
  close(): void;
}

/** For how long sums are kept. */
export interface UsageRetention {
  readonly hourDays: number;
  readonly dayDays: number;
  readonly months: number;
}

/** Hours of a day. */
const DAY = 24;
const HOUR_MS = 3_600_000;

/** The first hour of the day that holds one. */
export function dayOf(hour: number): number {
  return hour - (hour % DAY);
}

/** The first hour of the month that holds one, or of one so many months later. */
export function monthOf(hour: number, later = 0): number {
  const date = new Date(hour * HOUR_MS);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + later) / HOUR_MS;
}
