/** What a row of {@link LedgerPage.numbers} holds where. */
export const LEDGER_ROW = {
  /** Index of {@link LedgerPage.accounts}. */
  ACCOUNT: 0,
  /** The number of the meter, and of the plan. */
  METER: 1,
  PLAN: 2,
  HOUR: 3,
  HOURS: 4,
  CALLS: 5,
  UNITS: 6,
  DENIED: 7,
  REFUNDED: 8,
  REVISION: 9,
  LENGTH: 10,
} as const;

/** Which cells are wanted of a ledger of the binding. */
export interface LedgerQuery {
  account: string | undefined;
  fromHour: number;
  toHour: number;
  by: string;
  after: string | undefined;
  max: number;
}

/** Some of the cells that are wanted. */
export interface LedgerPage {
  accounts: string[];
  numbers: Float64Array;
  next?: string | undefined;
}

/** What a ledger of the binding holds. */
export interface LedgerCounts {
  cells: number;
  maxCells: number;
  accounts: number;
  unwrittenCalls: number;
  unwrittenMilli: number;
  oldestUnwrittenHour?: number | undefined;
  overflow: number;
  saturated: number;
  forgottenCalls: number;
}

/** How a ledger of the binding is opened. */
export interface LedgerSettings {
  meters: readonly string[];
  maxCells: number;
  retention: { hourDays: number; dayDays: number; months: number };
}

/** A ledger of the binding, as an engine hands it out: its errors have their code at the beginning of the message. */
export interface LedgerHandle {
  counter(frame: Float64Array): (account: string) => void;
  meterId(name: string): number;
  planId(name: string): number;
  meters(): string[];
  plans(): string[];
  read(query: LedgerQuery): Promise<LedgerPage>;
  accounts(after: string | undefined, max: number): Promise<string[]>;
  /** Only writes if no instant is told. */
  flush(nowMs: number | undefined): Promise<void>;
  stats(): LedgerCounts;
  close(): void;
}
