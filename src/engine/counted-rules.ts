import { toMilli } from "./amount.js";
import type { CountedRule } from "./lease-engine.js";
import { Recent } from "./recent.js";
import { anchorsOf, type BucketSpec, type LimitSpec, type QuotaSpec } from "./spec.js";
import { type RuleSet, ruleSetOf } from "./state.js";
import type { Tier } from "./tier.js";

/** So many rule sets are told apart by number; of one that was not used for long another may be made. */
const KEPT = 65_536;

/** The rules that a key is counted by: those of its tier, and no older ones. */
export interface CountedRules {
  /** Never given to others. */
  readonly number: number;
  /** The same for the same rules. */
  readonly text: string;
  /** By slot. */
  readonly bySlot: RuleSet;
  /** The same without gaps, as others are told of them, and their slots; without those of concurrency, of which nothing is told. */
  readonly told: readonly CountedRule[];
  readonly toldSlots: readonly number[];
}

/** Gives the same rules the same number, in whichever tiers and versions they are. */
export class CountedRuleSets {
  readonly #byText = new Recent<string, CountedRules>(KEPT);
  #made = 0;

  of(tier: Tier): CountedRules {
    const all = tier.limits.map(({ slot, rule }, index) => {
      const spec = tier.spec.limits[index] as LimitSpec;
      return spec.type === "concurrency" ? { slot, rule } : { slot, told: told(spec) };
    });
    all.sort((a, b) => a.slot - b.slot);
    const text = JSON.stringify(all);
    const present = this.#byText.get(text);
    if (present !== undefined) return present;
    const slotted = all.flatMap(({ slot, told }) => (told === undefined ? [] : [{ slot, told }]));
    const rules = {
      number: this.#made++,
      text,
      bySlot: ruleSetOf(tier),
      told: slotted.map(({ told }) => told),
      toldSlots: slotted.map(({ slot }) => slot),
    };
    this.#byText.set(text, rules);
    return rules;
  }
}

/** Whether two are of the same rules. */
export function areSameRules(a: CountedRules, b: CountedRules): boolean {
  return a === b || a.text === b.text;
}

function told(spec: BucketSpec | QuotaSpec): CountedRule {
  const { name } = spec;
  const limitMilli = toMilli(spec.limit);
  if (spec.type === "quota") {
    const overageMilli = toMilli(spec.overage?.max ?? 0);
    return { name, type: "quota", limitMilli: limitMilli + overageMilli, period: spec.period, ...anchorsOf(spec) };
  }
  const { windowSeconds, burst, blockSeconds } = spec;
  const bucket = { windowMs: toMilli(windowSeconds), burstMilli: toMilli(burst) };
  const block = blockSeconds === undefined ? {} : { blockMs: toMilli(blockSeconds) };
  return { name, type: "bucket", limitMilli, ...bucket, ...block };
}
