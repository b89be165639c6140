import { Bucket } from "../engine/bucket.js";
import type { CountedRule, LeaseEngine } from "../engine/lease-engine.js";
import { Quota } from "../engine/quota.js";
import { Recent } from "../engine/recent.js";
import type { LimitSpec } from "../engine/spec.js";
import { compileTiers, type Tier, type TierLimit } from "../engine/tier.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { BoundTiers } from "../limiter/bound-tiers.js";

/** Sets of rules that are held ready. */
const MAX_HELD = 4096;

/** The tier by which something was counted that an engine tells by the number of its rules. */
export interface CountedTier {
  readonly tier: Tier;
  /** Who decides by that tier; undefined if it is in force no more, or has overrides. */
  readonly boundTier: BoundTier | undefined;
  /** Where in a row the amount of each of the tier's limits stands. */
  readonly places: readonly number[];
}

/** Tiers by the numbers of their rules. */
export class CountedTiers {
  readonly #engine: LeaseEngine;
  readonly #boundTiers: BoundTiers;
  readonly #held = new Recent<number, CountedTier>(MAX_HELD);
  #version = -1;

  constructor(engine: LeaseEngine, boundTiers: BoundTiers) {
    this.#engine = engine;
    this.#boundTiers = boundTiers;
  }

  of(number: number): CountedTier {
    if (this.#version !== this.#boundTiers.version) this.#held.clear();
    this.#version = this.#boundTiers.version;
    const held = this.#held.get(number);
    if (held !== undefined) return held;
    const made = this.#make(this.#engine.rulesOf(number));
    this.#held.set(number, made);
    return made;
  }

  #make(rules: readonly CountedRule[]): CountedTier {
    const own = rules.map(ruleOf);
    const placeOf = ({ name, rule }: TierLimit) =>
      rules.findIndex((counted, index) => counted.name === name && isSame(own[index], rule));
    for (const plain of this.#boundTiers.inForce) {
      for (const boundTier of [plain, ...plain.shadows]) {
        const { tier } = boundTier;
        const places = tier.limits.map(placeOf);
        if (places.length === rules.length && !places.includes(-1)) return { tier, boundTier, places };
      }
    }
    const limits = rules.map(specOf);
    const tier = compileTiers({ counted: { limits } }, new Map()).get("counted") as Tier;
    return { tier, boundTier: undefined, places: rules.map((_, index) => index) };
  }
}

function ruleOf(rule: CountedRule): Bucket | Quota {
  if (rule.type === "bucket") return new Bucket(rule.limitMilli, rule.windowMs, rule.burstMilli);
  return new Quota(rule.limitMilli, rule.period, rule.anchorDay);
}

function isSame(counted: Bucket | Quota | undefined, rule: Bucket | Quota): boolean {
  if (counted?.maxCostMilli !== rule.maxCostMilli) return false;
  if (rule.type === "quota") {
    return counted.type === "quota" && counted.period === rule.period && counted.anchorDay === rule.anchorDay;
  }
  return counted.type === "bucket" && counted.perMs === rule.perMs && counted.initial === rule.initial;
}

function specOf(rule: CountedRule): LimitSpec {
  const { name, limitMilli } = rule;
  const limit = limitMilli / 1000;
  if (rule.type === "quota") return { name, type: "quota", limit, period: rule.period, anchorDay: rule.anchorDay };
  return {
    name,
    type: "bucket",
    limit,
    windowSeconds: rule.windowMs / 1000,
    burst: rule.burstMilli / 1000,
  };
}
