import type { Tier } from "../engine/tier.js";
import type { Snapshot } from "../store/protocol.js";
import type { Unreconciled } from "./lease.js";
import { spentAt } from "./outcome.js";

/**
 * What is known of a key when its tier changes, as the store will have it: buckets keep their fraction, quotas what was
 * used of the same period. Of a limit that the old tier lacked nothing is known.
 */
export function converted(snapshot: Snapshot | undefined, from: Tier, to: Tier, storeMs: number): Snapshot | undefined {
  if (snapshot === undefined) return undefined;
  const nowMs = Math.max(snapshot.atMs, storeMs);
  const spent = spentAt(from, snapshot, nowMs, 0);
  return {
    epoch: snapshot.epoch,
    atMs: nowMs,
    spent: to.limits.map(({ name, rule }) => {
      const index = from.limits.findIndex((limit) => limit.name === name);
      const before = from.limits[index]?.rule;
      const amount = snapshot.spent[index] === undefined ? undefined : spent[index];
      if (before === undefined || amount === undefined) return undefined;
      if (rule.type === "bucket") return before.type === "bucket" ? rule.converted(amount, before) : undefined;
      return before.type === "quota" ? rule.converted(amount, before, nowMs, nowMs) : undefined;
    }),
  };
}

/** What a key has spent, as far as one replica can tell: what the store has told, and what it has not heard of yet. */
export function withUnreconciled(
  tier: Tier,
  snapshot: Snapshot | undefined,
  unreconciled: readonly Unreconciled[],
  nowMs: number,
): number[] {
  const spent = spentAt(tier, snapshot, nowMs, 0);
  for (const { boundTier, deltas, atMs, quotasOnly } of unreconciled) {
    tier.limits.forEach(({ name, rule }, index) => {
      const at = boundTier.tier.limits.findIndex((limit) => limit.name === name);
      const [from, delta = 0, before = 0] = [boundTier.tier.limits[at]?.rule, deltas[at], spent[index]];
      if (rule.type === "quota") {
        if (atMs >= rule.periodOf(nowMs).startMs) spent[index] = rule.charged(before, delta);
      } else if (from?.type === "bucket" && !quotasOnly) {
        spent[index] = rule.charged(before, delta, from);
      }
    });
  }
  return spent;
}
