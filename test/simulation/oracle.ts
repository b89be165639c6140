import type { Bucket } from "../../src/engine/bucket.js";
import { type CostMilli, mostOf } from "../../src/engine/cost.js";
import type { Tier } from "../../src/engine/tier.js";
import { ScriptModel } from "./script-model.js";

/** A call let in: when, and how much it cost, in thousandths; or what was charged of it later, or given back, which is below 0. */
export interface Admission {
  readonly atMs: number;
  readonly costMilli: number;
  /** Whether the outage policy let it in, and not what the store had granted. */
  readonly byPolicy: boolean;
}

/** A call made. */
export interface Arrival {
  readonly atMs: number;
  readonly costMilli: CostMilli;
}

/**
 * How far, in thousandths, what was let in goes beyond a bucket at worst, over all windows; below 0 if never. A window
 * of w may let in C + L/W·w, so a bucket that is drained at L/W and filled by each admission must never hold more than C.
 */
export function overBucket(rule: Bucket, admissions: readonly Admission[]): number {
  let level = 0;
  let lastMs = admissions[0]?.atMs ?? 0;
  let worst = Number.NEGATIVE_INFINITY;
  for (const { atMs, costMilli, byPolicy } of admissions) {
    if (byPolicy) continue;
    level = Math.max(0, Math.max(0, level - (atMs - lastMs) * rule.perMs) + costMilli * rule.perMilli);
    lastMs = atMs;
    worst = Math.max(worst, level - rule.capacity);
  }
  return worst / rule.perMilli;
}

/** What a bucket holds at `nowMs`, in thousandths, that was filled by all that was let in since it began to be drained. */
export function levelAt(rule: Bucket, admissions: readonly Admission[], nowMs: number): number {
  let level = 0;
  let lastMs = admissions[0]?.atMs ?? 0;
  for (const { atMs, costMilli } of admissions) {
    level = Math.max(0, Math.max(0, level - (atMs - lastMs) * rule.perMs) + costMilli * rule.perMilli);
    lastMs = atMs;
  }
  return Math.max(0, level - (nowMs - lastMs) * rule.perMs) / rule.perMilli;
}

/** What a limiter that knows everything at once would have let in of these calls, in thousandths. */
export function ideal(key: string, tier: Tier, arrivals: readonly Arrival[]): number {
  const model = new ScriptModel();
  let admitted = 0;
  for (const { atMs, costMilli } of arrivals) {
    const take = {
      op: "take",
      key,
      tier,
      snapshot: undefined,
      nowMs: atMs,
      need: costMilli,
      want: 0,
      divisor: 1,
      outMs: 0,
    } as const;
    const asking = { server: "ideal", caller: "ideal", nowMs: atMs, publish: () => undefined };
    if (model.run(take, asking).denied === 0) admitted += mostOf(costMilli, tier.limits.length);
  }
  return admitted;
}
