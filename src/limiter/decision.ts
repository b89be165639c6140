import { Concurrency } from "../engine/concurrency.js";
import { type Cost, type CostMilli, costAt, isFree, negated, sum } from "../engine/cost.js";
import { ADJUST, FRAME, type Frame, OUTCOME } from "../engine/frame.js";
import type { TierSpec } from "../engine/spec.js";
import type { TierLimit } from "../engine/tier.js";
import { optionInvalid } from "../errors.js";
import type { BoundTier } from "./bound-tier.js";
import { milliOf, sumOf, tokensOf } from "./costs.js";

// Own constants of a module, as in limiter.ts.
const { NOW, CODE, BEHIND, SPENT } = FRAME;
const { LIMIT_MASK, OVERFLOW, BEHIND: IS_BEHIND } = OUTCOME;

/** Where one limit stands after a decision. */
export interface LimitState {
  /** As configured. */
  name: string;
  /** Tokens of one window or period, or places, as configured. */
  limit: number;
  /** Tokens or free places left, rounded down to a thousandth; never below 0. Of a quota with overage up to its limit. */
  remaining: number;
  /**
   * Milliseconds until the bucket is full, the quota's period ends, or the first place is free again at the latest; infinite if
   * that is never, or the limit is 0.
   */
  resetMs: number;
  /** Tokens of the period that were used beyond the limit; there only where the quota has overage. */
  overage?: number;
}

const NONE: readonly string[] = [];
/** Amounts that have a field each. */
const NARROW = 4;

/**
 * The answer to one call. A denial is an answer like any other; what is not read costs nothing.
 *
 * @example
 * ```ts
 * import { createLimiter } from "tollkeeper";
 *
 * const limiter = createLimiter({
 *   tiers: { free: { limits: [{ name: "minute", type: "bucket", limit: 2, windowSeconds: 60, burst: 1 }] } },
 *   clock: () => 0,
 * });
 * limiter.consume("acct:42", "free", 2);
 *
 * const { allowed, deniedBy, retryAfterMs, limits } = limiter.consume("acct:42", "free");
 * console.log(allowed, deniedBy, retryAfterMs); // false minute 30000
 * console.log(limits); // [ { name: 'minute', limit: 2, remaining: 0, resetMs: 60000 } ]
 * await limiter.close();
 * ```
 *
 * One is made for every call, so it is one flat object: its private fields are TypeScript's and not the language's, the
 * amounts are not in an array, and fields are declared only, or each would first be made as `undefined`. Each of these
 * would double what a `Decision` costs.
 */
export class Decision {
  /** Whether the call may go on; if not, nothing was spent. */
  declare readonly allowed: boolean;
  /** @internal */
  declare protected readonly boundTier: BoundTier;
  /** @internal */
  declare protected readonly key: string;
  declare private readonly outcome: number;
  /** @internal */
  declare protected costMilli: CostMilli;
  declare private readonly nowMs: number;
  /** How long the key stands still: its last instant lies so far ahead of the clock. */
  declare private readonly behindMs: number;
  declare private readonly spent0: number;
  declare private readonly spent1: number;
  declare private readonly spent2: number;
  declare private readonly spent3: number;
  /** Those of the fifth limit and later ones; there only under a tier that has so many, and so no field as a rule. */
  declare private more?: readonly number[];
  /** Whether it can still be refunded or settled. */
  declare private open: boolean;
  /** There only once it was undone: its cost is then no part of what is spent. */
  declare private isUndone?: boolean;
  /** There only once it was refunded or settled, or was to be charged more though it was denied: what it has cost in the end. */
  declare private netMilli?: CostMilli;

  /**
   * Made by a limiter; copies a row of the engine's frame, which begins at `at`. `spends` is false for a peek.
   *
   * @internal
   */
  constructor(boundTier: BoundTier, key: string, frame: Frame, at: number, costMilli: CostMilli, spends: boolean) {
    const outcome = (frame[at + CODE] as number) | 0; // A whole number to V8, too.
    this.boundTier = boundTier;
    this.key = key;
    this.outcome = outcome;
    this.costMilli = costMilli;
    this.nowMs = frame[at + NOW] as number;
    this.behindMs = (outcome & IS_BEHIND) === 0 ? 0 : (frame[at + BEHIND] as number);
    this.spent0 = frame[at + SPENT] as number;
    this.spent1 = frame[at + SPENT + 1] as number;
    this.spent2 = frame[at + SPENT + 2] as number;
    this.spent3 = frame[at + SPENT + 3] as number;
    this.allowed = (outcome & LIMIT_MASK) === 0;
    this.open = spends && this.allowed;
    if (boundTier.tier.isWide) this.readMore(frame, at + SPENT + NARROW);
  }

  /** The tier that decided. */
  get tier(): string {
    return this.boundTier.tier.name;
  }

  /** The tier as configured: one object for as long as the tiers are not reloaded. */
  get tierSpec(): TierSpec {
    return this.boundTier.tier.spec;
  }

  /** When it was decided, in ms since the epoch by the limiter's clock: the latest that the key has seen of it. */
  get atMs(): number {
    return this.nowMs;
  }

  /** What the limiter's clock said, in ms since the epoch: before `atMs` where the key stands still, and what waits count from. */
  get clockMs(): number {
    return this.nowMs - this.behindMs;
  }

  /**
   * Tokens that the call cost, or would have, and what was charged since; by name of the limit if it was given or charged so:
   * then every limit of the tier has its cost.
   */
  get cost(): Cost {
    return tokensOf(this.costMilli, this.boundTier);
  }

  /** The limit that denied, with the longest wait if several did; null when allowed. */
  get deniedBy(): string | null {
    return this.denier?.name ?? null;
  }

  /**
   * Milliseconds, rounded up, until the same call would pass, at the latest where calls that run deny it; 0 when allowed,
   * infinite if no wait helps.
   */
  get retryAfterMs(): number {
    const { denier } = this;
    if (denier === undefined) return 0;
    const index = (this.outcome & LIMIT_MASK) - 1;
    return this.behindMs + denier.rule.waitMs(this.spent(index), costAt(this.costMilli, index), this.nowMs);
  }

  /**
   * Whether the denial may end before the limit has refilled or its period is over: other replicas hold tokens that may
   * come back. `retryAfterMs` is then when these have come back or are used up. False where one process decides alone.
   */
  get isProvisional(): boolean {
    return false;
  }

  /** Every limit of the tier, after the call; empty when unlimited. */
  get limits(): LimitState[] {
    const { limits } = this.boundTier.tier;
    // Of its length from the start: an array that grows is made for more than four.
    const states = new Array<LimitState>(limits.length);
    for (let index = 0; index < limits.length; index++) {
      const { name, limit, overageMilli } = limits[index] as TierLimit;
      const state = { name, limit, remaining: this.remainingOf(index), resetMs: this.resetMsOf(index) };
      states[index] = overageMilli === undefined ? state : { ...state, overage: this.overageOf(index) };
    }
    return states;
  }

  /**
   * `limits[index].remaining`, for whoever writes them for every call and wants no objects.
   *
   * @internal
   */
  remainingOf(index: number): number {
    const { rule, overageMilli = 0 } = this.boundTier.tier.limits[index] as TierLimit;
    return Math.max(0, rule.remainingMilli(this.spent(index)) - overageMilli) / 1000;
  }

  /**
   * `limits[index].overage`, likewise; 0 where the limit has none.
   *
   * @internal
   */
  overageOf(index: number): number {
    const { rule, overageMilli } = this.boundTier.tier.limits[index] as TierLimit;
    if (overageMilli === undefined) return 0;
    return Math.max(0, this.spent(index) - (rule.maxCostMilli - overageMilli)) / 1000;
  }

  /**
   * `limits[index].resetMs`, likewise.
   *
   * @internal
   */
  resetMsOf(index: number): number {
    const { rule } = this.boundTier.tier.limits[index] as TierLimit;
    return this.behindMs + (rule.type === "quota" ? rule.resetMs(this.nowMs) : rule.resetMs(this.spent(index)));
  }

  /** Shadow limits of the tier that would have denied the call, had they been in force. */
  get shadowDenials(): readonly string[] {
    return NONE;
  }

  /** Whether the key found no room in the table and shared the overflow bucket of its tier. */
  get overflowed(): boolean {
    return (this.outcome & OVERFLOW) !== 0;
  }

  /** Whether it holds a place of a limit of concurrency, which {@link release} would give back or which has timed out since. */
  get holdsPlace(): boolean {
    return false;
  }

  /**
   * Gives back the places that the call has taken of limits of concurrency, now that it runs no more. Neither `refund` nor
   * `settle` does.
   *
   * @returns Whether it freed any: once for an allowed decision, never after the place has timed out or the key was reset, nor
   * after `close`; false where the tier has no such limit.
   * @throws {TollkeeperError} `ERR_CLOCK_INVALID`
   *
   * @example
   * ```ts
   * import { createLimiter } from "tollkeeper";
   *
   * const limiter = createLimiter({
   *   tiers: { free: { limits: [{ name: "parallel", type: "concurrency", limit: 10, timeoutSeconds: 60 }] } },
   * });
   * const decision = limiter.consume("acct:42", "free");
   * try {
   *   if (decision.allowed) await fetch("data:,work");
   * } finally {
   *   console.log(decision.release()); // true
   * }
   * await limiter.close();
   * ```
   */
  release(): boolean {
    return false;
  }

  /**
   * Gives the cost back to each bucket, never past full, and to each quota whose period still lasts; and what was charged
   * since.
   *
   * @param part `"quotas"` gives back to the quotas only: the call failed, but it did take its place in the rate.
   * @returns Whether it did: once for an allowed decision, never for a denial or a peek, nor after `close`.
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_CLOCK_INVALID`
   *
   * @example
   * ```ts
   * import { createLimiter } from "tollkeeper";
   *
   * const limiter = createLimiter({
   *   tiers: { free: { limits: [{ name: "day", type: "quota", limit: 100, period: "day" }] } },
   * });
   * const decision = limiter.consume("acct:42", "free", 10);
   *
   * console.log(decision.refund(), decision.refund()); // true false
   * console.log(limiter.peek("acct:42", "free").limits[0]?.remaining); // 100
   * await limiter.close();
   * ```
   */
  refund(part: "all" | "quotas" = "all"): boolean {
    if (part !== "all" && part !== "quotas") {
      throw optionInvalid("part", part, '"all" or "quotas"');
    }
    const nowMs = this.correctableAt();
    if (nowMs === undefined) return this.unlessAllowed(0);
    this.open = false;
    this.netMilli = 0;
    this.correct(negated(this.costMilli), part === "quotas" ? ADJUST.QUOTAS_ONLY : 0, nowMs);
    return true;
  }

  /**
   * Charges more, as the call goes on: any number of times, until it is settled or refunded, even past empty. The rest is as
   * of {@link settle}.
   *
   * @param more Tokens, from 0, at most three decimals; or such a number for each limit, by its name.
   * @returns Whether it did: never for a denial or a peek, nor after `settle`, `refund` or `close`.
   * @throws {TollkeeperError} `ERR_COST_INVALID`, `ERR_CLOCK_INVALID`
   *
   * @example An answer of a language model, token by token.
   * ```ts
   * import { createLimiter } from "tollkeeper";
   *
   * const minute = { type: "bucket", windowSeconds: 60, burst: 1 } as const;
   * const limiter = createLimiter({
   *   tiers: {
   *     free: { limits: [{ ...minute, name: "requests", limit: 60 }, { ...minute, name: "tokens", limit: 20_000 }] },
   *   },
   *   clock: () => 0,
   * });
   * const decision = limiter.consume("acct:42", "free", { requests: 1 });
   * for (const part of ["Once", "upon", "a", "time"]) decision.charge({ tokens: part.length });
   *
   * console.log(decision.cost); // { requests: 1, tokens: 13 }
   * console.log(limiter.peek("acct:42", "free", 0).limits[1]?.remaining); // 19987
   * await limiter.close();
   * ```
   */
  charge(more: Cost): boolean {
    return this.chargeMilli(milliOf(more, this.boundTier));
  }

  /**
   * Corrects an estimate: what the call really cost, below the cost it was charged gives the rest back, above it
   * charges the rest, even past empty. A debt counts up to 4,096 times what the limit holds; twice, for the few limits
   * that need very fine units.
   *
   * @param actual Tokens in all, from 0, at most three decimals; or such a number for each limit, by its name, and 0 for one
   * that is left out.
   * @returns Whether it did: a decision is refunded or settled once.
   * @throws {TollkeeperError} `ERR_COST_INVALID`, `ERR_CLOCK_INVALID`
   *
   * @example
   * ```ts
   * import { createLimiter } from "tollkeeper";
   *
   * const limiter = createLimiter({
   *   tiers: { free: { limits: [{ name: "day", type: "quota", limit: 100, period: "day" }] } },
   * });
   * const decision = limiter.consume("acct:42", "free", 50); // at most
   * decision.settle(12.5); // in truth
   *
   * console.log(limiter.peek("acct:42", "free").limits[0]?.remaining); // 87.5
   * await limiter.close();
   * ```
   */
  settle(actual: Cost): boolean {
    return this.settleMilli(milliOf(actual, this.boundTier));
  }

  /** The same fields as read one by one, for logs. */
  toJSON(): Record<string, unknown> {
    const { allowed, deniedBy, retryAfterMs, tier, cost, limits, shadowDenials } = this;
    const told = { allowed, deniedBy, retryAfterMs, tier, cost, limits };
    return this.boundTier.shadows.length === 0 ? told : { ...told, shadowDenials };
  }

  private get denier(): TierLimit | undefined {
    return this.boundTier.tier.limits[(this.outcome & LIMIT_MASK) - 1];
  }

  /** What was spent of a limit of the tier after the call, in the limit's units. */
  private spent(index: number): number {
    const spent = this.amount(index);
    return this.isUndone ? this.unspent(index, spent) : spent;
  }

  private amount(index: number): number {
    if (index >= NARROW) return this.more?.[index - NARROW] as number;
    return index === 0 ? this.spent0 : index === 1 ? this.spent1 : index === 2 ? this.spent2 : this.spent3;
  }

  /** What was spent of a limit before the call. */
  private unspent(index: number, spent: number): number {
    const { rule } = this.boundTier.tier.limits[index] as TierLimit;
    const cost = costAt(this.costMilli, index);
    if (rule.type === "concurrency") return cost > 0 ? Concurrency.before(spent) : spent;
    return rule.type === "bucket" ? rule.charged(spent, 0 - cost) : rule.deducted(spent, cost);
  }

  private readMore(frame: Frame, at: number): void {
    this.more = [frame[at] as number, frame[at + 1] as number, frame[at + 2] as number, frame[at + 3] as number];
  }

  /**
   * Corrects it as the decision was corrected that it is part of; `flags` is a sum of {@link ADJUST}.
   *
   * @internal
   */
  amend(deltaMilli: CostMilli, flags: number, nowMs: number): void {
    this.correct(deltaMilli, flags, nowMs);
  }

  /** What the clock says, if it can be corrected. */
  private correctableAt(): number | undefined {
    const { clock, isClosed } = this.boundTier;
    if (!this.open || isClosed()) return undefined;
    const nowMs = clock();
    return this.open ? nowMs : undefined; // The clock is somebody else's code, which may have corrected it.
  }

  /**
   * As {@link charge}, of thousandths.
   *
   * @internal
   */
  chargeMilli(moreMilli: CostMilli): boolean {
    const nowMs = this.correctableAt();
    if (nowMs === undefined) return this.unlessAllowed(sum(this.netMilli ?? this.costMilli, moreMilli));
    this.correct(moreMilli, 0, nowMs);
    this.costMilli = sum(this.costMilli, moreMilli);
    return true;
  }

  /**
   * As {@link settle}, of thousandths.
   *
   * @internal
   */
  settleMilli(actualMilli: CostMilli): boolean {
    const nowMs = this.correctableAt();
    if (nowMs === undefined) return this.unlessAllowed(actualMilli);
    this.open = false;
    this.netMilli = actualMilli;
    this.correct(sum(actualMilli, negated(this.costMilli)), 0, nowMs);
    return true;
  }

  /** Of a call that goes on though it was denied, as in shadow mode, only what it has cost is noted. */
  private unlessAllowed(netMilli: CostMilli): false {
    if (!this.allowed) this.netMilli = netMilli;
    return false;
  }

  /**
   * What it has cost in the end, and at first with all that was charged since, in thousandths: of a limit, or without one of
   * that of which it is most. undefined of one that a cost by name can't name here.
   *
   * @internal
   */
  usedMilli(limit: string | undefined): { net: number; charged: number } | undefined {
    const { costMilli, netMilli = costMilli } = this;
    const charged = this.ofLimit(costMilli, limit);
    const net = this.ofLimit(netMilli, limit);
    // Of a denied call that was charged more it is more than at first.
    return charged === undefined || net === undefined
      ? undefined
      : { net, charged: Math.max(charged, this.allowed ? 0 : net) };
  }

  private ofLimit(cost: CostMilli, limit: string | undefined): number | undefined {
    if (typeof cost === "number") return cost;
    return limit === undefined ? Math.max(0, ...cost) : cost[this.boundTier.costNames.indexOf(limit)];
  }

  /**
   * What some costs are together, in thousandths, by the tier that decided.
   *
   * @internal
   */
  sumOf(costs: readonly Cost[]): CostMilli {
    return sumOf(costs, this.boundTier);
  }

  /**
   * Takes back what was spent for a call that another decision denies, as if it had never been: its limits are then as they
   * stood before. Whether it did.
   *
   * @internal
   */
  undo(): boolean {
    const nowMs = this.correctableAt();
    if (nowMs === undefined) return false;
    this.open = false;
    this.isUndone = true;
    this.correct(negated(this.costMilli), ADJUST.UNUSED, nowMs);
    return true;
  }

  /** @internal */
  protected correct(deltaMilli: CostMilli, flags: number, nowMs: number): void {
    const { boundTier, key, outcome } = this;
    if (isFree(deltaMilli, boundTier.tier.limits.length)) return;
    boundTier.correct(boundTier, key, deltaMilli, this.nowMs, flags | (outcome & ADJUST.OVERFLOW), nowMs);
  }
}
