import { TollkeeperError } from "../errors.js";
import { MAX_AMOUNT } from "./amount.js";
import type { Quota } from "./quota.js";

/**
 * What one quota of a key was granted, in thousandths. Of the quota's amount it is taken off, which is below 0 while less
 * is used than was granted.
 */
export interface Credit {
  /** What was granted in the present period, and what was kept of earlier ones; at most {@link MAX_AMOUNT}. */
  readonly grantedMilli: number;
  /** How much of that outlasts the period, if it is not used. What the quota allows by itself is used before it. */
  readonly keptMilli: number;
}

/** What each slot of a key was granted; undefined where nothing was. */
export type Credits = (Credit | undefined)[];

/** With so much more, of which what is kept outlasts the period; undefined if that is too much. */
export function withGrant(credit: Credit | undefined, milli: number, keeps: boolean): Credit | undefined {
  const grantedMilli = (credit?.grantedMilli ?? 0) + milli;
  if (grantedMilli > MAX_AMOUNT) return undefined;
  return { grantedMilli, keptMilli: (credit?.keptMilli ?? 0) + (keeps ? milli : 0) };
}

/** What is left of it in the period after one that ended with so much spent; undefined if nothing is. */
export function carried({ keptMilli }: Credit, rule: Quota, spent: number): Credit | undefined {
  const leftMilli = Math.min(keptMilli, rule.remainingMilli(spent));
  return leftMilli === 0 ? undefined : { grantedMilli: leftMilli, keptMilli: leftMilli };
}

/** More than can be counted of one key. */
export function grantTooLarge(): TollkeeperError {
  return new TollkeeperError(
    "ERR_GRANT_INVALID",
    `a key can be granted at most ${MAX_AMOUNT / 1000} tokens of one quota`,
  );
}

/** What is spent of a quota of which nothing is used. */
export function unused(credit: Credit | undefined): number {
  return 0 - (credit?.grantedMilli ?? 0);
}
