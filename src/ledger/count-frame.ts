/** What a ledger's row of numbers holds where; see `src/engine/frame.ts`. It has {@link COUNT_FRAME.ROWS}, of which one is used. */
export const COUNT_FRAME = {
  METER: 0,
  PLAN: 1,
  HOUR: 2,
  CALLS: 3,
  /** After a call: one of {@link COUNTED}. */
  CODE: 4,
  UNITS: 5,
  DENIED: 6,
  REFUNDED: 7,
  ROW: 8,
  ROWS: 64,
} as const;

/** How a count ended. */
export const COUNTED = {
  DONE: 0,
  /** A quarter of the room is left. */
  SCARCE: 1,
  /** There was none: it was counted without its account. */
  OVERFLOW: 2,
  ACCOUNT_INVALID: -1,
  KIND_UNKNOWN: -3,
  FAILED: -5,
  CLOSED: -6,
} as const;
