import type { Fraction } from "./fraction.js";

/** What one call asks of a slot. */
export interface Ask {
  /** In ms since the epoch. */
  now: number;
  cost: Fraction;
}

/** How a slot would answer one call. */
export interface Answer {
  /** Milliseconds until it would pass: 0 if it does, infinite if no wait helps. */
  waitMs: number;
  /** Whether so little decides that a counter of whole units may see it the other way. */
  hangsOnRounding: boolean;
}

/** Where a slot stands. */
export interface Standing {
  /** Tokens left, rounded down to a thousandth. */
  remaining: number;
  /** As `LimitState.resetMs`; infinite if it never ends. */
  resetMs: number;
  /** Tokens used beyond the limit, of a quota with overage. */
  overage?: number;
}

/** What a key has spent of one limit, counted exactly. */
export interface Slot {
  answer(ask: Ask): Answer;
  /** Spends what it has answered that it would. */
  spend(ask: Ask): void;
  /** What a denial by this slot leaves behind. */
  deny(now: number): void;
  standing(now: number): Standing;
}
