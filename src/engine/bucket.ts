import { greatestCommonDivisor, MAX_AMOUNT, MAX_CAPACITY, SCALED_CAPACITY } from "./amount.js";

/**
 * A token bucket in exact integers.
 *
 * What is spent is counted in a unit of the bucket's own, so small that a millisecond refills a whole number of units
 * (`perMs`) and a thousandth of a token costs a whole number of them (`perMilli`). So no rate, however uneven, ever
 * rounds. The unit is then halved as long as the capacity stays within 2^40, which leaves a change of tier, the one
 * operation that has to round, an error of 2^-39 of the capacity, and room for debts.
 */
export class Bucket {
  readonly type = "bucket";
  /** Units refilled in a millisecond. */
  readonly perMs: number;
  /** Units that a thousandth of a token costs. */
  readonly perMilli: number;
  /** Units that the bucket can hold. */
  readonly capacity: number;
  /** Units spent in a bucket at its first call, which finds `limit` tokens in it and not more of the capacity. */
  readonly initial: number;
  /** Highest cost that can ever pass, in thousandths; 0 if none can: such a bucket never has anything to be spent. */
  readonly maxCostMilli: number;

  /** All three in thousandths: tokens, seconds, and the factor by which the capacity exceeds the limit. */
  constructor(limitMilli: number, windowMs: number, burstMilli: number) {
    const divisor = greatestCommonDivisor(limitMilli, windowMs);
    const perMilli = windowMs / divisor;
    // Thousandths of a thousandth are exact below 2^53 × 1000 only in wide integers.
    this.maxCostMilli = Number((BigInt(limitMilli) * BigInt(burstMilli)) / 1000n);
    const units = this.maxCostMilli * perMilli;
    if (units > MAX_CAPACITY) {
      throw new RangeError(
        `limit × burst × window is too fine to count exactly: ${units} units, at most ${MAX_CAPACITY}; ` +
          "choose a rounder limit or a shorter window",
      );
    }
    if (units === 0 && limitMilli > 0) {
      throw new RangeError("limit × burst is less than 0.001: nothing would fit in; choose a larger limit or burst");
    }
    let scale = 1;
    while (units > 0 && units * scale * 2 <= SCALED_CAPACITY) scale *= 2;
    this.perMs = (limitMilli / divisor) * scale;
    this.perMilli = perMilli * scale;
    this.capacity = units * scale;
    this.initial = Math.max(0, this.maxCostMilli - limitMilli) * this.perMilli;
  }

  /** What is still spent after `elapsedMs` of refill. */
  refilled(spent: number, elapsedMs: number): number {
    // A product beyond 2^53 is inexact but larger than any amount, so the bucket is full all the same.
    return Math.max(0, spent - elapsedMs * this.perMs);
  }

  /** The wait until a call of `costMilli` passes: 0 if it passes now, infinite if it never does. */
  waitMs(spent: number, costMilli: number): number {
    const missing = spent + costMilli * this.perMilli - this.capacity;
    return missing > 0 ? Math.ceil(missing / this.perMs) : 0;
  }

  /** What is spent after `deltaMilli` more, or less, of the tokens of a bucket, which are the same fraction of this one. */
  charged(spent: number, deltaMilli: number, from: Bucket = this): number {
    return Math.min(MAX_AMOUNT, Math.max(0, spent + this.unitsOf(deltaMilli, from)));
  }

  /** Thousandths of a bucket's tokens in units of this one: what is charged is rounded up, what is given back down. */
  unitsOf(deltaMilli: number, from: Bucket): number {
    if (from.maxCostMilli === 0) return 0; // Of nothing there is no fraction.
    if (from.maxCostMilli === this.maxCostMilli) return deltaMilli * this.perMilli;
    const units = BigInt(Math.abs(deltaMilli)) * BigInt(this.capacity);
    const whole = BigInt(from.maxCostMilli);
    // Beyond 2^53 these are inexact, but larger than any amount.
    return deltaMilli < 0 ? -Number(units / whole) : Number((units + whole - 1n) / whole);
  }

  /** Tokens left, in thousandths, rounded down. */
  remainingMilli(spent: number): number {
    return Math.floor(Math.max(0, this.capacity - spent) / this.perMilli);
  }

  /** The time until the bucket is full; infinite if it never has anything. */
  resetMs(spent: number): number {
    return this.perMs === 0 ? Number.POSITIVE_INFINITY : Math.ceil(spent / this.perMs);
  }

  /**
   * The same fraction spent, in units of this bucket, of what was spent in another; rounded up. What is spent at a key's
   * first call if that one never had anything.
   */
  converted(spent: number, from: Bucket): number {
    if (from.capacity === 0) return this.initial;
    if (from.capacity === this.capacity) return spent;
    const capacity = BigInt(from.capacity);
    const units = (BigInt(spent) * BigInt(this.capacity) + capacity - 1n) / capacity;
    return Math.min(MAX_AMOUNT, Number(units));
  }
}
