import type { CountedRule, LeaseEngine } from "../engine/lease-engine.js";
import { LEASE_FRAME } from "../engine/lease-frame.js";
import { Recent } from "../engine/recent.js";
import type { LimitSpec } from "../engine/spec.js";
import { compileTiers, type Tier, type TierLimit } from "../engine/tier.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { BoundTiers } from "../limiter/bound-tiers.js";

const { KEY_LENGTH, RULES, ROW } = LEASE_FRAME;

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

/** Reads rows that tell keys and the rules by which they were counted. */
export class CountedTiers {
  readonly #engine: LeaseEngine;
  readonly #boundTiers: BoundTiers;
  readonly #held = new Recent<number, CountedTier>(MAX_HELD);
  #version = -1;

  constructor(engine: LeaseEngine, boundTiers: BoundTiers) {
    this.#engine = engine;
    this.#boundTiers = boundTiers;
  }

  /** The rows that stand in the frame: of each what `read` finds from a place on, its key and its tier. */
  read<T>(
    { count, keys }: { readonly count: number; readonly keys: string },
    read: (at: number, places: readonly number[]) => T,
  ): (T & CountedTier & { key: string })[] {
    const { frame } = this.#engine;
    let start = 0;
    return Array.from({ length: count }, (_, row) => {
      const at = row * ROW;
      const end = start + (frame[at + KEY_LENGTH] as number);
      const key = keys.slice(start, end);
      start = end;
      const counted = this.#of(frame[at + RULES] as number);
      return { ...read(at, counted.places), ...counted, key };
    });
  }

  #of(number: number): CountedTier {
    if (this.#version !== this.#boundTiers.version) this.#held.clear();
    this.#version = this.#boundTiers.version;
    const held = this.#held.get(number);
    if (held !== undefined) return held;
    const made = this.#make(this.#engine.rulesOf(number).map(specOf));
    this.#held.set(number, made);
    return made;
  }

  #make(limits: LimitSpec[]): CountedTier {
    const tier = compileTiers({ counted: { limits } }, new Map()).get("counted") as Tier;
    const texts = tier.limits.map(textOf);
    const all = this.#boundTiers.inForce.flatMap((boundTier) => [boundTier, ...boundTier.shadows]);
    const boundTier = all.find(
      ({ tier: { limits } }) =>
        limits.length === texts.length && limits.every((limit) => texts.includes(textOf(limit))),
    );
    const counted = boundTier?.tier ?? tier;
    return { tier: counted, boundTier, places: counted.limits.map((limit) => texts.indexOf(textOf(limit))) };
  }
}

/** What is the same of limits that count the same. */
function textOf({ name, rule }: TierLimit): string {
  return JSON.stringify([name, rule]);
}

function specOf({ name, limitMilli, ...rule }: CountedRule): LimitSpec {
  const limit = limitMilli / 1000;
  if (rule.type === "quota") return { name, limit, ...rule };
  const { windowMs, burstMilli, blockMs } = rule;
  const bucket = { name, type: "bucket", limit, windowSeconds: windowMs / 1000, burst: burstMilli / 1000 } as const;
  return blockMs === undefined ? bucket : { ...bucket, blockSeconds: blockMs / 1000 };
}
