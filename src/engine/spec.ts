import type { PeriodName } from "./period.js";

/**
 * A token bucket: `limit` tokens a window, refilled continuously, holding at most `limit × burst`.
 *
 * A new key has `limit` tokens at once, or the whole capacity if that is less, and not the burst: that fills up only while it
 * is left alone. So in any window at most `limit × burst + limit` calls pass. `burst: 1` allows what the rate says and no more
 * than that at once; 1.5 forgives callers who come in bursts; 0.1 lets a tenth of it through at once and has the rest wait for
 * their turn; where a contract says "never more than N a minute", take a `limit` of N / (burst + 1).
 *
 * @example
 * ```ts
 * import { createLimiter } from "tollkeeper";
 *
 * let now = 0;
 * const limiter = createLimiter({
 *   tiers: { free: { limits: [{ name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 }] } },
 *   clock: () => now,
 * });
 * const left = () => limiter.peek("acct:42", "free").limits[0]?.remaining;
 *
 * console.log(left()); // 100
 * limiter.consume("acct:42", "free", 100);
 * now += 600; // one token a 100th of the window
 * console.log(left()); // 1
 * now += 90_000; // alone for a minute and a half
 * console.log(left()); // 150
 * await limiter.close();
 * ```
 */
export interface BucketSpec {
  /** What the limit is called in decisions, header fields and metrics; the same name in another tier is the same count. */
  name: string;
  /** A rate. */
  type: "bucket";
  /** Tokens refilled in one window; from 0, at most three decimals. 0 denies every call that costs something. */
  limit: number;
  /** Length of the window in seconds; above 0, at most three decimals. */
  windowSeconds: number;
  /** Capacity as a multiple of `limit`; above 0, at most three decimals. `limit × burst` has to be 0.001 or more. */
  burst: number;
  /**
   * For how many seconds a call that is denied for want of tokens in this bucket has all others denied; above 0, at most three
   * decimals, and as long as can be counted exactly: thousands of windows. Left out, a denial is over as soon as enough has refilled.
   */
  blockSeconds?: number | undefined;
  /** Whether it only counts what it would deny, and denies nothing; false by default. */
  shadow?: boolean | undefined;
}

/**
 * A quota: `limit` tokens per calendar period in UTC. Used is what was allowed; a new period begins with nothing used. The
 * period `"once"` never ends, as of credits to try something with.
 *
 * @example A month that begins on the 15th, when the customer pays.
 * ```ts
 * import { createLimiter, type QuotaSpec } from "tollkeeper";
 *
 * const month: QuotaSpec = { name: "month", type: "quota", limit: 50_000, period: "month", anchorDay: 15 };
 * const limiter = createLimiter({ tiers: { free: { limits: [month] } }, clock: () => Date.UTC(2027, 0, 14) });
 *
 * console.log(limiter.consume("acct:42", "free").limits[0]?.resetMs); // 86400000
 * await limiter.close();
 * ```
 */
export interface QuotaSpec {
  /** What the limit is called in decisions, header fields and metrics; the same name in another tier is the same count. */
  name: string;
  /** An amount. */
  type: "quota";
  /** Tokens of one period; from 0, at most three decimals. 0 denies every call that costs something. */
  limit: number;
  /** How long a period is. */
  period: PeriodName;
  /**
   * Day on which a week or month begins, 1 by default: of a week 1, Monday, to 7, Sunday; of a month 1 to 31, clamped to its
   * last day. Left out for other periods.
   */
  anchorDay?: number | undefined;
  /** Month, 1 to 12, with whose first day a year begins; 1 by default. Left out for other periods. */
  anchorMonth?: number | undefined;
  /** How far calls may go beyond the limit, as what is used there is paid for; left out, not at all. */
  overage?: OverageSpec | undefined;
  /** Whether it only counts what it would deny, and denies nothing; false by default. */
  shadow?: boolean | undefined;
}

/**
 * What a quota allows beyond its limit: it denies at `limit + max`. What is left is told up to the limit, and what is beyond it
 * apart, as `overage`.
 *
 * @example
 * ```ts
 * import { createLimiter } from "tollkeeper";
 *
 * const month = { name: "month", type: "quota", limit: 1000, period: "month", overage: { max: 500 } } as const;
 * const limiter = createLimiter({ tiers: { pro: { limits: [month] } }, clock: () => 0 });
 *
 * const { remaining, overage } = limiter.consume("acct:42", "pro", 1200).limits[0] ?? {};
 * console.log(remaining, overage); // 0 200
 * console.log(limiter.consume("acct:42", "pro", 301).allowed); // false
 * await limiter.close();
 * ```
 */
export interface OverageSpec {
  /** Tokens of one period beyond the limit: above 0, at most three decimals. */
  max: number;
}

/**
 * Calls that run at the same time. An allowed call takes a place, whatever it costs, and `decision.release()` gives that back;
 * the adapters do when the answer is sent or the caller has gone. A place that nobody gives back is free again after
 * `timeoutSeconds`, so choose that longer than the longest call.
 *
 * @example
 * ```ts
 * import { type ConcurrencySpec, createLimiter } from "tollkeeper";
 *
 * const parallel: ConcurrencySpec = { name: "parallel", type: "concurrency", limit: 2, timeoutSeconds: 60 };
 * const limiter = createLimiter({ tiers: { free: { limits: [parallel] } } });
 *
 * const [first, , third] = limiter.consumeMany(["acct:42", "acct:42", "acct:42"], "free");
 * console.log(first?.allowed, third?.deniedBy); // true parallel
 * console.log(first?.release(), first?.release()); // true false
 * console.log(limiter.consume("acct:42", "free").allowed); // true
 * await limiter.close();
 * ```
 */
export interface ConcurrencySpec {
  /** What the limit is called in decisions, header fields and metrics; the same name in another tier is the same count. */
  name: string;
  /** Calls that run. */
  type: "concurrency";
  /** How many at the same time: whole, 1 to 10,000. */
  limit: number;
  /** How long one holds its place at most, in seconds; above 0, at most 4,294,967.295, at most three decimals. */
  timeoutSeconds: number;
  /** Whether it only counts what it would deny, and denies nothing; false by default. */
  shadow?: boolean | undefined;
}

/**
 * One limit of a tier: a rate, a {@link BucketSpec}; an amount, a {@link QuotaSpec}; or how many calls run at the same time, a
 * {@link ConcurrencySpec}.
 */
export type LimitSpec = BucketSpec | QuotaSpec | ConcurrencySpec;

/** Tokens that a limit can hold, rounded down to thousandths, of a quota with its overage; places of one of concurrency. */
export function capacityOf(limit: LimitSpec): number {
  if (limit.type === "bucket") return Math.floor(Math.round(limit.limit * limit.burst * 1e6) / 1e3) / 1e3;
  const overage = limit.type === "quota" ? (limit.overage?.max ?? 0) : 0;
  return Math.round((limit.limit + overage) * 1e3) / 1e3;
}

/** Where a quota's periods begin, where they have a choice. */
export function anchorsOf(quota: QuotaSpec): { anchorDay?: number; anchorMonth?: number } {
  if (quota.period === "year") return { anchorMonth: quota.anchorMonth ?? 1 };
  return quota.period === "week" || quota.period === "month" ? { anchorDay: quota.anchorDay ?? 1 } : {};
}

/** The same as a number; 1 where they have none. */
export function anchorOf(quota: QuotaSpec): number {
  const { anchorDay, anchorMonth } = anchorsOf(quota);
  return anchorDay ?? anchorMonth ?? 1;
}

/** A named set of limits; none at all means unlimited. */
export interface TierSpec {
  /** All of them are asked at each call. */
  limits: readonly LimitSpec[];
}

/** All tiers by name. */
export type Tiers = Readonly<Record<string, TierSpec>>;
