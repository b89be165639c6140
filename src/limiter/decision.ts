import { toMilli } from "../engine/amount.js";
import type { Tier } from "../engine/tier.js";
import { ADJUST, type Engine, OUTCOME, RESULT } from "../engine/types.js";
import { TollkeeperError } from "../errors.js";

/** Where one limit stands after a decision. */
export interface LimitState {
  name: string;
  /** Tokens of one window or period, as configured. */
  limit: number;
  /** Tokens left, rounded down to a thousandth; never below 0. */
  remaining: number;
  /** Milliseconds until the bucket is full, or the quota's period ends. */
  resetMs: number;
}

/** What a correction needs to know of the call that it corrects. */
export interface Charge {
  readonly engine: Engine;
  readonly clock: () => number;
  readonly key: string;
  readonly tierId: number;
  readonly tier: Tier;
}

/** The answer to one call. A denial is an answer like any other; what is not read costs nothing. */
export class Decision {
  /** Whether the call may go on; if not, nothing was spent. */
  readonly allowed: boolean;
  readonly #charge: Charge;
  readonly #outcome: number;
  readonly #nowMs: number;
  readonly #costMilli: number;
  readonly #spent: readonly number[];
  #open: boolean;

  /** Made by a limiter; copies what the engine's result holds. `settles` is false for a peek. */
  constructor(charge: Charge, outcome: number, costMilli: number, settles: boolean) {
    const { result } = charge.engine;
    this.#charge = charge;
    this.#outcome = outcome;
    this.#costMilli = costMilli;
    this.#nowMs = result[RESULT.NOW] as number;
    const spent: number[] = [];
    for (let index = 0; index < charge.tier.limits.length; index++) {
      spent.push(result[RESULT.SPENT + index] as number);
    }
    this.#spent = spent;
    this.allowed = (outcome & OUTCOME.LIMIT_MASK) === 0;
    this.#open = settles && this.allowed;
  }

  /** The tier that decided. */
  get tier(): string {
    return this.#charge.tier.name;
  }

  /** Tokens that the call cost, or would have. */
  get cost(): number {
    return this.#costMilli / 1000;
  }

  /** The limit that denied, with the longest wait if several did; null when allowed. */
  get deniedBy(): string | null {
    return this.#deniedBy?.name ?? null;
  }

  /** Milliseconds, rounded up, until the same call would pass; 0 when allowed. */
  get retryAfterMs(): number {
    const index = (this.#outcome & OUTCOME.LIMIT_MASK) - 1;
    return this.#deniedBy?.rule.waitMs(this.#spent[index] as number, this.#costMilli, this.#nowMs) ?? 0;
  }

  /** Every limit of the tier, after the call; empty when unlimited. */
  get limits(): LimitState[] {
    return this.#charge.tier.limits.map(({ name, limit, rule }, index) => {
      const spent = this.#spent[index] as number;
      return {
        name,
        limit,
        remaining: rule.remainingMilli(spent) / 1000,
        resetMs: rule.type === "bucket" ? rule.resetMs(spent) : rule.resetMs(this.#nowMs),
      };
    });
  }

  /** Whether the key found no room in the table and shared the overflow bucket of its tier. */
  get overflowed(): boolean {
    return (this.#outcome & OUTCOME.OVERFLOW) !== 0;
  }

  /**
   * Gives the cost back to each bucket, never past full, and to each quota whose period still lasts.
   *
   * @param part `"quotas"` gives back to the quotas only: the call failed, but it did take its place in the rate.
   * @returns Whether it did: once for an allowed decision, never for a denial or a peek.
   */
  refund(part: "all" | "quotas" = "all"): boolean {
    return this.#correct(-this.#costMilli, part === "quotas" ? ADJUST.QUOTAS_ONLY : 0);
  }

  /**
   * Corrects an estimate: what the call really cost, below the cost it was charged gives the rest back, above it
   * charges the rest, even past empty.
   *
   * @param actual Tokens, from 0, at most three decimals.
   * @returns Whether it did: a decision is refunded or settled once.
   * @throws {TollkeeperError} `ERR_COST_INVALID`
   */
  settle(actual: number): boolean {
    const actualMilli = typeof actual === "number" ? toMilli(actual) : Number.NaN;
    if (Number.isNaN(actualMilli)) throw invalidCost(actual);
    return this.#correct(actualMilli - this.#costMilli, 0);
  }

  /** The same fields as read one by one, for logs. */
  toJSON(): Record<string, unknown> {
    const { allowed, deniedBy, retryAfterMs, tier, cost, limits } = this;
    return { allowed, deniedBy, retryAfterMs, tier, cost, limits };
  }

  get #deniedBy() {
    return this.#charge.tier.limits[(this.#outcome & OUTCOME.LIMIT_MASK) - 1];
  }

  #correct(deltaMilli: number, flags: number): boolean {
    if (!this.#open) return false;
    this.#open = false;
    const { engine, key, tierId, clock } = this.#charge;
    if (deltaMilli !== 0) {
      engine.adjust(key, tierId, deltaMilli, this.#nowMs, flags | (this.#outcome & ADJUST.OVERFLOW), clock());
    }
    return true;
  }
}

/** A cost that is none. */
export function invalidCost(cost: unknown): TollkeeperError {
  const shown = typeof cost === "number" ? String(cost) : typeof cost;
  return new TollkeeperError("ERR_COST_INVALID", `cost is ${shown}; it may be a number from 0 with at most three decimals`);
}
