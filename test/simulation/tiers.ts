import type { Bucket } from "../../src/engine/bucket.js";
import { compileTiers, type Tier } from "../../src/engine/tier.js";
import type { TierSpec, Tiers } from "../../src/index.js";
import type { Random } from "./random.js";

/** The bucket that a tier's first limit is. */
export function bucketOf(spec: TierSpec): Bucket {
  const tier = compileTiers({ spec }, new Map()).get("spec") as Tier;
  return tier.limits[0]?.rule as Bucket;
}

/** One tier per key, of the same name. */
export function tiersOf(random: Random): Tiers {
  const bucket = () => {
    const perSecond = random.between(2, 40);
    const windowSeconds = random.pick([1, 5, 20, 60]);
    const limit = Math.max(1, Math.round(perSecond * windowSeconds));
    return { name: "rate", type: "bucket" as const, limit, windowSeconds, burst: random.pick([1, 1.5, 2]) };
  };
  const quota = () => ({
    name: "day",
    type: "quota" as const,
    limit: random.whole(5, 300),
    period: "day" as const,
  });
  return { a: { limits: [bucket()] }, b: { limits: [bucket(), quota()] }, c: { limits: [quota()] } };
}

/** How fast tokens can be spent that a load of so many ms is to match. */
export function tokensPerMs({ limits }: Tier, loadMs: number): number {
  return Math.min(
    ...limits.map(({ rule }) =>
      rule.type === "bucket"
        ? Math.max(rule.perMs, rule.capacity / loadMs) / rule.perMilli / 1000
        : rule.maxCostMilli / 1000 / loadMs,
    ),
    0.15,
  );
}

/** A tier whose calls take one of so many places, which none outlasts. */
export function placedTier(places: number, random: Random): TierSpec {
  const minute = { name: "minute", type: "bucket", limit: 6000, windowSeconds: 60, burst: 1 } as const;
  const parallel = { name: "parallel", type: "concurrency", limit: places, timeoutSeconds: 600 } as const;
  return { limits: random.chance(0.5) ? [parallel] : [minute, parallel] };
}
