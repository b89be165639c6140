import type { Bucket } from "../../src/engine/bucket.js";
import { compileTiers, type Tier } from "../../src/engine/tier.js";
import type { TierSpec } from "../../src/index.js";

/** The bucket that a tier's first limit is. */
export function bucketOf(spec: TierSpec): Bucket {
  const tier = compileTiers({ spec }, new Map()).get("spec") as Tier;
  return tier.limits[0]?.rule as Bucket;
}
