import { greatestCommonDivisor, MAX_AMOUNT, MAX_BLOCK, MAX_CAPACITY, SCALED_CAPACITY } from "./amount.js";

/**
 * A token bucket in exact integers.
 *
 * What is spent is counted in a unit of the bucket's own, so small that a millisecond refills a whole number of units
 * (`perMs`) and a thousandth of a token costs a whole number of them (`perMilli`). So no rate, however uneven, ever
 * rounds. The unit is then halved as long as the capacity stays within 2^40, which leaves a change of tier, the one
 * operation that has to round, an error of 2^-39 of the capacity, and room for debts; and as far as a block fits into an
 * amount.
 *
 * One that `isBlocking` is blocked by a denial: an amount above {@link MAX_AMOUNT} says for how many units more, which go by
 * as others are refilled. After them it is that of a new key.
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
  /** Units that a block takes to go by; 0 if a denial begins none. */
  readonly block: number;

  /** All four in thousandths: tokens, seconds, the factor by which the capacity exceeds the limit, and seconds of a block. */
  constructor(limitMilli: number, windowMs: number, burstMilli: number, blockMs = 0) {
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
    const perMs = limitMilli / divisor;
    if (blockMs * perMs > MAX_BLOCK) throw new BlockTooLong(Math.floor(MAX_BLOCK / perMs));
    let scale = 1;
    while (units > 0 && units * scale * 2 <= SCALED_CAPACITY && blockMs * perMs * scale * 2 <= MAX_BLOCK) scale *= 2;
    this.perMs = perMs * scale;
    this.block = blockMs * this.perMs;
    this.perMilli = perMilli * scale;
    this.capacity = units * scale;
    this.initial = Math.max(0, this.maxCostMilli - limitMilli) * this.perMilli;
  }

  /** Whether a denial begins a block. */
  get isBlocking(): boolean {
    return this.block > 0;
  }

  /** For how many whole ms more the bucket is blocked; 0 if it is not. */
  blockLeftMs(spent: number): number {
    return spent > MAX_AMOUNT ? Math.ceil((spent - MAX_AMOUNT) / this.perMs) : 0;
  }

  /** The amount that says that the bucket is blocked for so many ms more, from 1; as many as an amount can say. */
  blockedFor(leftMs: number): number {
    return MAX_AMOUNT + Math.min(leftMs, Math.floor(MAX_BLOCK / this.perMs)) * this.perMs;
  }

  /** What is still spent after `elapsedMs` of refill. */
  refilled(spent: number, elapsedMs: number): number {
    // A product beyond 2^53 is inexact but larger than any amount, so the bucket is full all the same.
    const left = spent - elapsedMs * this.perMs;
    if (spent <= MAX_AMOUNT || left > MAX_AMOUNT) return Math.max(0, left);
    return Math.max(0, this.initial - (MAX_AMOUNT - left));
  }

  /**
   * The wait until a call of `costMilli` passes: 0 if it passes now, infinite if it never does. Of one that would begin a block,
   * until it passes after that.
   */
  waitMs(spent: number, costMilli: number): number {
    const left = this.block === 0 ? 0 : Math.max(0, this.afterDenial(spent, costMilli) - MAX_AMOUNT);
    const missing = (left > 0 ? this.initial : spent) + costMilli * this.perMilli - this.capacity;
    return left > 0 || missing > 0 ? Math.ceil((left + Math.max(0, missing)) / this.perMs) : 0;
  }

  /**
   * What is spent after a call of `costMilli` was denied, be it by another limit: what was, unless it is for want of room
   * here that this bucket is blocked from now on.
   */
  afterDenial(spent: number, costMilli: number): number {
    if (this.block === 0 || costMilli === 0 || spent > MAX_AMOUNT) return spent;
    return spent + costMilli * this.perMilli > this.capacity ? MAX_AMOUNT + this.block : spent;
  }

  /**
   * What is spent after `deltaMilli` more, or less, of the tokens of a bucket, which are the same fraction of this one. A block
   * stays as it is.
   */
  charged(spent: number, deltaMilli: number, from: Bucket = this): number {
    if (spent > MAX_AMOUNT) return spent;
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
    if (this.perMs === 0) return Number.POSITIVE_INFINITY;
    return Math.ceil((spent > MAX_AMOUNT ? spent - MAX_AMOUNT + this.initial : spent) / this.perMs);
  }

  /**
   * The same fraction spent, in units of this bucket, of what was spent in another; rounded up. What is spent at a key's
   * first call if that one never had anything. What is left of a block is left of it here; in a bucket that blocks nobody it is a
   * debt.
   */
  converted(spent: number, from: Bucket): number {
    if (from.capacity === 0) return this.initial;
    if (spent > MAX_AMOUNT && this.capacity > 0) {
      const leftMs = from.blockLeftMs(spent);
      return this.isBlocking ? this.blockedFor(leftMs) : Math.min(MAX_AMOUNT, this.capacity + leftMs * this.perMs);
    }
    if (from.capacity === this.capacity) return spent;
    const capacity = BigInt(from.capacity);
    const units = (BigInt(spent) * BigInt(this.capacity) + capacity - 1n) / capacity;
    return Math.min(MAX_AMOUNT, Number(units));
  }
}

/** A block that no amount can say. */
export class BlockTooLong extends RangeError {
  /** The longest that could be said, in ms. */
  readonly mostMs: number;

  constructor(mostMs: number) {
    super(`a block of this bucket may last ${mostMs} ms at most`);
    this.mostMs = mostMs;
  }
}
