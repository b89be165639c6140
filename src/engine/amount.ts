/** The most that any limit can hold, in its own units; what a bucket or quota holds and a cost add up exactly. */
export const MAX_CAPACITY = 2 ** 51;

/** How many units a bucket is given if it can do with fewer: fine enough to convert, with room for debts. */
export const SCALED_CAPACITY = 2 ** 40;

/**
 * The largest amount spent that is kept: a debt beyond it is cut to it. It is at least twice what a limit holds, and
 * 4,096 times what one holds that counts in fewer than 2^40 units.
 */
export const MAX_AMOUNT = 2 ** 52;

/**
 * The longest block, in a bucket's units: an amount above {@link MAX_AMOUNT} is no debt, and says for how many units more
 * the bucket is blocked. So every amount is a safe integer.
 */
export const MAX_BLOCK = MAX_AMOUNT - 1;

/** The greatest common divisor of two whole numbers above 0. */
export function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** A number in thousandths, or NaN if it is not finite, below 0, has more than three decimals or is too large. */
export function toMilli(value: number): number {
  if ((value | 0) === value && value >= 0) return value * 1000; // Nearly every cost, without a division.
  const milli = Math.round(value * 1000);
  return milli >= 0 && milli <= Number.MAX_SAFE_INTEGER && milli / 1000 === value ? milli : Number.NaN;
}

/** Whether a value is a number from 0 with at most three decimals, as costs and limits are. */
export function isThousandths(value: unknown): value is number {
  return typeof value === "number" && !Number.isNaN(toMilli(value));
}
