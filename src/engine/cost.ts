/**
 * What a call costs: tokens of every limit of its tier, or of each limit by its name, where one that is left out costs 0.
 * From 0, with at most three decimals.
 *
 * @example An API of language models limits requests and tokens.
 * ```ts
 * import { createLimiter } from "tollkeeper";
 *
 * const minute = { type: "bucket", windowSeconds: 60, burst: 1 } as const;
 * const limiter = createLimiter({
 *   tiers: {
 *     free: { limits: [{ ...minute, name: "requests", limit: 60 }, { ...minute, name: "tokens", limit: 20_000 }] },
 *   },
 * });
 * const decision = limiter.consume("acct:42", "free", { requests: 1, tokens: 1850 });
 *
 * console.log(decision.limits.map(({ remaining }) => remaining)); // [ 59, 18150 ]
 * await limiter.close();
 * ```
 */
export type Cost = number | Readonly<Record<string, number>>;

/**
 * A cost in thousandths: one for every limit of a tier, or one for each in the tier's order, behind which stand those of its
 * shadow limits.
 */
export type CostMilli = number | readonly number[];

/** In the place of COST in a frame: each limit has a cost of its own. */
export const EACH = -1;

/** The cost of a tier's limit, by its index. */
export function costAt(cost: CostMilli, index: number): number {
  return typeof cost === "number" ? cost : (cost[index] ?? 0);
}

/** Whether none of the first `limits` of a tier costs anything; those behind are in shadow mode. */
export function isFree(cost: CostMilli, limits: number): boolean {
  if (typeof cost === "number") return cost === 0;
  for (let index = 0; index < limits; index++) if (cost[index] !== 0) return false;
  return true;
}

/** The largest cost of the first `limits` of a tier. */
export function mostOf(cost: CostMilli, limits: number): number {
  return typeof cost === "number" ? cost : Math.max(0, ...cost.slice(0, limits));
}

/** A cost and another, limit by limit. Both are of one tier. */
export function sum(cost: CostMilli, other: CostMilli): CostMilli {
  if (typeof cost !== "number") return cost.map((milli, index) => milli + costAt(other, index));
  return typeof other === "number" ? cost + other : other.map((milli) => cost + milli);
}

/** As much less. */
export function negated(cost: CostMilli): CostMilli {
  return typeof cost === "number" ? 0 - cost : cost.map((milli) => 0 - milli);
}
