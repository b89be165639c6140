import { type CostMilli, costAt } from "../engine/cost.js";
import type { Rule, TierLimit } from "../engine/tier.js";
import type { TollkeeperError } from "../errors.js";
import type { BoundTier } from "./bound-tier.js";
import { excessiveTogether } from "./misuse.js";
import { plainTier } from "./overrides.js";

/** A key under a tier, and what a call of several subjects is to spend of it. */
export interface JointCall {
  readonly key: string;
  readonly boundTier: BoundTier;
  readonly costMilli: CostMilli;
}

/** What some calls spend of one count of a key that begins full, in units of the last rule. */
interface Count {
  readonly rule: Rule;
  readonly spent: number;
  /** Which of the calls spend of it. */
  readonly calls: readonly number[];
}

/** Why calls can never pass together, and which of them. */
export interface JointExcess {
  readonly error: TollkeeperError;
  readonly calls: readonly number[];
}

/**
 * Why calls that spend all or none can never do so, `ERR_COST_EXCEEDS_CAPACITY`: what the tiers of one key name alike is one
 * count, and may hold each cost and not all of them. Undefined if they may; each by itself can pass.
 */
export function jointExcessOf(calls: readonly JointCall[]): JointExcess | undefined {
  const keys = calls.map(({ key }) => key);
  if (new Set(keys).size === keys.length) return undefined;
  const counts = new Map<string, Count>();
  for (const [call, { key, boundTier, costMilli }] of calls.entries()) {
    for (const [index, limit] of boundTier.tier.limits.entries()) {
      const place = `${limit.name}\0${key}`;
      const cost = costAt(costMilli, index);
      const count = spend(counts.get(place), limit, cost, call);
      counts.set(place, count);
      if (cost === 0 || count.calls.length < 2 || count.spent <= mostOf(limit.rule)) continue;
      const error = excessiveTogether(limit.name, plainTier(boundTier.name), tokensOf(limit.rule));
      return { error, calls: count.calls };
    }
  }
  return undefined;
}

function spend(before: Count | undefined, { rule }: TierLimit, costMilli: number, call: number): Count {
  const spent = before === undefined ? 0 : carried(before, rule);
  const calls = spent === 0 ? [] : (before?.calls ?? []);
  // What a limit of 0 stops is denied.
  if (costMilli === 0 || rule.maxCostMilli === 0) return { rule, spent, calls };
  return { rule, spent: spent + unitsOf(rule, costMilli), calls: [...calls, call] };
}

/** What is spent of a count that comes under another rule. */
function carried({ rule: from, spent }: Count, rule: Rule): number {
  if (rule.type === "bucket") {
    const has = from.type === "bucket" && from.capacity > 0 && rule.capacity > 0;
    return has ? rule.converted(spent, from) : 0;
  }
  if (rule.type === "concurrency") return spent;
  // Periods that begin on other days may be two counts.
  return from.type === "quota" && from.anchor === rule.anchor ? spent : 0;
}

function unitsOf(rule: Rule, costMilli: number): number {
  if (rule.type === "bucket") return costMilli * rule.perMilli;
  return rule.type === "quota" ? costMilli : 1;
}

function mostOf(rule: Rule): number {
  if (rule.type === "bucket") return rule.capacity;
  return rule.type === "quota" ? rule.maxCostMilli : rule.limit;
}

/** The same in tokens, or places. */
function tokensOf(rule: Rule): number {
  return rule.type === "concurrency" ? rule.limit : rule.maxCostMilli / 1000;
}
