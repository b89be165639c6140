import type { Tier } from "../engine/tier.js";
import type { Known } from "../store/protocol.js";

/** Where a key stands as far as one replica can tell. */
export interface View {
  /** The limit that denies with the longest wait, counted from 1; 0 if none does. */
  readonly denied: number;
  readonly waitMs: number;
  readonly nowMs: number;
  readonly spent: number[];
}

/** What a key has spent at `nowMs`, less what this replica has leased and not used; undefined amounts are a new key's. */
export function spentAt(tier: Tier, known: Known | undefined, nowMs: number, heldMilli: number): number[] {
  return tier.limits.map(({ rule }, index) => {
    const spent = known?.spent[index];
    if (known === undefined || spent === undefined) return rule.initial;
    if (rule.type === "quota") return Math.max(0, rule.rolled(spent, known.atMs, nowMs) - heldMilli);
    return Math.max(0, rule.refilled(spent, Math.max(0, nowMs - known.atMs)) - heldMilli * rule.perMilli);
  });
}

/** What a call of `costMilli` would be told if these amounts were all. */
export function viewOf(tier: Tier, spent: number[], costMilli: number, nowMs: number): View {
  let denied = 0;
  let waitMs = 0;
  tier.limits.forEach(({ rule }, index) => {
    const wait = costMilli === 0 ? 0 : rule.waitMs(spent[index] ?? 0, costMilli, nowMs);
    if (wait > waitMs) {
      waitMs = wait;
      denied = index + 1;
    }
  });
  return { denied, waitMs, nowMs, spent };
}
