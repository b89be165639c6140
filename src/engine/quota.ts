import { MAX_AMOUNT } from "./amount.js";
import { type Period, type PeriodName, periodAt } from "./period.js";

/**
 * A quota of tokens per calendar period in UTC; what is spent is counted in thousandths of a token, and is below 0 where a
 * key was granted more than it has used.
 */
export class Quota {
  readonly type = "quota";
  /** Highest cost that can ever pass, in thousandths; 0 if none can. */
  readonly maxCostMilli: number;
  readonly initial = 0;
  readonly period: PeriodName;
  /** Day of the week or month, or month of the year, with which a period begins; 1 for the others. */
  readonly anchor: number;
  /** The period looked up last, since nearly every look-up falls into the same one. */
  #last: Period = { startMs: 0, endMs: 0 };

  constructor(limitMilli: number, period: PeriodName, anchor: number) {
    this.maxCostMilli = limitMilli;
    this.period = period;
    this.anchor = anchor;
  }

  /** The period that holds `nowMs`. */
  periodOf(nowMs: number): Period {
    if (nowMs < this.#last.startMs || nowMs >= this.#last.endMs) {
      this.#last = periodAt(nowMs, this.period, this.anchor);
    }
    return this.#last;
  }

  /** What is still spent at `nowMs` of what was spent at `atMs`: nothing once a new period has begun. */
  rolled(spent: number, atMs: number, nowMs: number): number {
    return this.hasEnded(atMs, nowMs) ? 0 : spent;
  }

  /** Whether the period that holds `atMs` is over at `nowMs`. */
  hasEnded(atMs: number, nowMs: number): boolean {
    return atMs < this.periodOf(nowMs).startMs;
  }

  /** The wait until a call of `costMilli` passes: 0 if it passes now, infinite if it never does. */
  waitMs(spent: number, costMilli: number, nowMs: number): number {
    return spent + costMilli > this.maxCostMilli ? this.resetMs(nowMs) : 0;
  }

  /** What is spent after `deltaMilli` more, or less, tokens; never less than if nothing were used of what was granted. */
  charged(spent: number, deltaMilli: number, grantedMilli = 0): number {
    return Math.min(MAX_AMOUNT, Math.max(0 - grantedMilli, spent + deltaMilli));
  }

  /** What is spent less what was taken ahead of it; what is not known to be granted is not. */
  deducted(spent: number, heldMilli: number): number {
    return spent < 0 ? spent - heldMilli : Math.max(0, spent - heldMilli);
  }

  /** Tokens left, in thousandths. */
  remainingMilli(spent: number): number {
    return Math.max(0, this.maxCostMilli - spent);
  }

  /** The time until the period ends; infinite if that brings nothing, or never comes. */
  resetMs(nowMs: number): number {
    return this.maxCostMilli === 0 ? Number.POSITIVE_INFINITY : this.periodOf(nowMs).endMs - nowMs;
  }

  /**
   * What is spent under this quota by a key that came from another at `atMs`: all of it if both count the same period,
   * nothing otherwise.
   */
  converted(spent: number, from: Quota, atMs: number, nowMs: number): number {
    return this.goesOn(from, atMs, nowMs) ? spent : 0;
  }

  /** Whether this quota's period at `nowMs` is the one that another counted at `atMs`. */
  goesOn(from: Quota, atMs: number, nowMs: number): boolean {
    return from.periodOf(atMs).startMs === this.periodOf(nowMs).startMs;
  }
}
