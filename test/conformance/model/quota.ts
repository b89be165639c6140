import { milliOf } from "./bucket.js";
import { type Calendar, type Span, spanOf } from "./calendar.js";
import { Fraction, larger, smaller } from "./fraction.js";
import type { Answer, Ask, Slot, Standing } from "./slot.js";

/** A quota as a vector's tiers have it. */
export interface QuotaRule {
  name: string;
  type: "quota";
  limit: number;
  period: Calendar["period"];
  anchorDay?: number;
  anchorMonth?: number;
  overage?: { max: number };
}

/** What is used of one quota. */
export class Quota implements Slot {
  readonly rule: QuotaRule;
  readonly #limit: Fraction;
  /** The limit and what is allowed beyond it. */
  readonly #most: Fraction;
  #span: Span;
  /** Below 0 where more was granted than used. */
  #used = Fraction.ZERO;
  /** All that there is beside the limit: no refund gives back more. */
  #granted = Fraction.ZERO;
  /** Of what was granted, what the period's end takes nothing of. */
  #kept = Fraction.ZERO;

  constructor(rule: QuotaRule, now: number) {
    this.rule = rule;
    this.#limit = Fraction.of(rule.limit);
    this.#most = this.#limit.plus(Fraction.of(rule.overage?.max ?? 0));
    this.#span = spanOf(calendarOf(rule), now);
  }

  /** The start of the period that it counts, in ms since the epoch. */
  get start(): number {
    return this.#span.start;
  }

  /** What was used of the same period, under another limit. */
  convertedTo(rule: QuotaRule, now: number): Quota {
    const converted = new Quota(rule, now);
    if (converted.start === this.start) {
      converted.#used = this.#used;
      converted.#granted = this.#granted;
      converted.#kept = this.#kept;
    } else {
      converted.#kept = smaller(this.#kept, larger(this.#most.minus(this.#used), Fraction.ZERO));
      converted.#granted = converted.#kept;
      converted.#used = converted.#kept.negated();
    }
    return converted;
  }

  answer({ now, cost }: Ask): Answer {
    const isAllowed = cost.isZero || !this.#used.plus(cost).isAbove(this.#most);
    const isHopeless = this.#most.isZero;
    const waitMs = isAllowed ? 0 : isHopeless ? Number.POSITIVE_INFINITY : this.#span.end - now;
    return { waitMs, hangsOnRounding: false };
  }

  spend({ cost }: Ask): void {
    this.add(cost);
  }

  deny(): void {
    // A quota keeps nothing of a denial.
  }

  /** Uses tokens of its period, or gives some back; no more than were used. */
  add(tokens: Fraction): void {
    this.#used = larger(this.#used.plus(tokens), this.#granted.negated());
  }

  /** Has tokens of the caller's own be there beside the limit; those to be kept outlast the period. */
  grant(tokens: Fraction, keep: boolean): void {
    this.#used = this.#used.minus(tokens);
    this.#granted = this.#granted.plus(tokens);
    if (keep) this.#kept = this.#kept.plus(tokens);
  }

  standing(now: number): Standing {
    const resetMs = this.#most.isZero ? Number.POSITIVE_INFINITY : this.#span.end - now;
    const standing = { remaining: milliOf(larger(this.#limit.minus(this.#used), Fraction.ZERO)), resetMs };
    if (this.rule.overage === undefined) return standing;
    return { ...standing, overage: milliOf(larger(this.#used.minus(this.#limit), Fraction.ZERO)) };
  }
}

function calendarOf({ period, anchorDay = 1, anchorMonth = 1 }: QuotaRule): Calendar {
  switch (period) {
    case "week":
    case "month":
      return { period, anchorDay };
    case "year":
      return { period, anchorMonth };
    default:
      return { period };
  }
}
