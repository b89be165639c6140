import { Fraction, larger, smaller } from "./fraction.js";
import type { Answer, Ask, Slot, Standing } from "./slot.js";

/** A bucket as a vector's tiers have it. */
export interface BucketRule {
  name: string;
  type: "bucket";
  limit: number;
  windowSeconds: number;
  burst: number;
  blockSeconds?: number;
}

/** A token short of, or beyond, what decides: a thousandth, below which conversions may round. */
const FINE = Fraction.of(0.001);

/** Tokens of one bucket. */
export class Bucket implements Slot {
  readonly rule: BucketRule;
  readonly capacity: Fraction;
  readonly #perMs: Fraction;
  readonly #first: Fraction;
  #available: Fraction;
  /** Up to when `#available` has refilled, in ms since the epoch; for a blocked one it lies ahead. */
  #at: number;
  /** Whether a change of tier has rounded what whole units hold. */
  #rounded = false;

  /** A bucket of a new key. */
  constructor(rule: BucketRule, now: number) {
    this.rule = rule;
    const limit = Fraction.of(rule.limit);
    this.capacity = limit.times(Fraction.of(rule.burst));
    this.#perMs = limit.over(Fraction.of(rule.windowSeconds).times(Fraction.of(1000)));
    this.#first = smaller(limit, this.capacity);
    this.#available = this.#first;
    this.#at = now;
  }

  /**
   * The same fraction of another bucket: full stays full, and half of it half. A block goes on for what is left of it;
   * where the other knows none, as a debt that lets nothing pass for as long.
   */
  convertedTo(rule: BucketRule, now: number): Bucket {
    const converted = new Bucket(rule, now);
    if (this.capacity.isZero || converted.capacity.isZero) return converted;
    if (this.isBlocked(now)) {
      if (rule.blockSeconds === undefined) converted.#available = tokensIn(this.#at - now, converted.#perMs).negated();
      else converted.#at = this.#at;
      return converted;
    }
    const isSame = sameRule(this.rule, rule);
    const available = this.#availableAt(now);
    converted.#available = isSame ? available : available.times(converted.capacity).over(this.capacity);
    converted.#rounded = this.#rounded || !isSame;
    return converted;
  }

  answer({ now, cost }: Ask): Answer {
    if (cost.isZero) return { waitMs: 0, hangsOnRounding: false };
    if (this.capacity.isZero) return { waitMs: Number.POSITIVE_INFINITY, hangsOnRounding: false };
    if (this.isBlocked(now))
      return { waitMs: this.#at - now + this.#refillMs(cost, this.#first), hangsOnRounding: false };
    const available = this.#availableAt(now);
    const missing = cost.minus(available);
    const hangsOnRounding = this.#rounded && !missing.isAbove(FINE) && !missing.negated().isAbove(FINE);
    if (!missing.isAbove(Fraction.ZERO)) return { waitMs: 0, hangsOnRounding };
    const { blockSeconds } = this.rule;
    const blockMs = blockSeconds === undefined ? undefined : blockSeconds * 1000;
    const waitMs =
      blockMs === undefined ? this.#refillMs(cost, available) : blockMs + this.#refillMs(cost, this.#first);
    return { waitMs, hangsOnRounding };
  }

  spend({ now, cost }: Ask): void {
    if (!cost.isZero) this.#add(cost.negated(), now); // What costs nothing passes during a block, which goes on.
  }

  deny(now: number): void {
    const { blockSeconds } = this.rule;
    if (blockSeconds === undefined || this.capacity.isZero || this.isBlocked(now)) return;
    this.#at = now + blockSeconds * 1000;
    this.#available = this.#first;
  }

  /**
   * Gives tokens back, never past full, or takes some, even past empty; a blocked one it leaves alone. `counted` is what
   * the bucket holds by which they were counted: they are the same fraction of this one.
   */
  correct(tokens: Fraction, counted: Fraction, now: number): void {
    if (this.isBlocked(now) || this.capacity.isZero || counted.isZero) return;
    this.#rounded ||= this.capacity.isAbove(counted) || counted.isAbove(this.capacity);
    this.#add(tokens.times(this.capacity).over(counted), now);
  }

  #add(tokens: Fraction, now: number): void {
    this.#available = smaller(this.capacity, this.#availableAt(now).plus(tokens));
    this.#at = now;
  }

  standing(now: number): Standing {
    const available = this.#availableAt(now);
    if (this.capacity.isZero) return { remaining: 0, resetMs: Number.POSITIVE_INFINITY };
    const full = this.#refillMs(this.capacity, available);
    if (this.isBlocked(now)) return { remaining: 0, resetMs: this.#at - now + full };
    return { remaining: milliOf(larger(available, Fraction.ZERO)), resetMs: full };
  }

  /** Whether a denial keeps everything away from it. */
  isBlocked(now: number): boolean {
    return this.#at > now;
  }

  #availableAt(now: number): Fraction {
    if (this.isBlocked(now)) return this.#available;
    return smaller(this.capacity, this.#available.plus(tokensIn(now - this.#at, this.#perMs)));
  }

  /** Milliseconds in which what is there grows to what is asked for. */
  #refillMs(asked: Fraction, available: Fraction): number {
    return larger(asked.minus(available), Fraction.ZERO).over(this.#perMs).ceil();
  }
}

/** Rounded down to a thousandth. */
export function milliOf(tokens: Fraction): number {
  return tokens.times(Fraction.of(1000)).floor() / 1000;
}

function tokensIn(ms: number, perMs: Fraction): Fraction {
  return perMs.times(Fraction.of(ms));
}

function sameRule(one: BucketRule, other: BucketRule): boolean {
  return one.limit === other.limit && one.windowSeconds === other.windowSeconds && one.burst === other.burst;
}
