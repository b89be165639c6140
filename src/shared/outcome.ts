import type { Tier } from "../engine/tier.js";
import type { Reply, Snapshot } from "../store/protocol.js";

/** Where a key stands as far as one replica can tell. */
export interface Outcome {
  /** The limit that denies with the longest wait, counted from 1; 0 if none does. */
  readonly denied: number;
  /** How long, in ms, until the call would pass, or is worth another try if the denial is {@link Outcome.isProvisional}. */
  readonly waitMs: number;
  /** Whether tokens that other replicas hold may still come back and end the denial early. */
  readonly isProvisional: boolean;
  /** The key's time. */
  readonly nowMs: number;
  /** By how much, in ms, that is ahead of the store's. */
  readonly lagMs: number;
  readonly spent: readonly number[];
}

/** What a key has spent at `nowMs`, less what this replica has leased and not used; undefined amounts are a new key's. */
export function spentAt(tier: Tier, snapshot: Snapshot | undefined, nowMs: number, heldMilli: number): number[] {
  const amounts: number[] = [];
  for (const { rule } of tier.limits) {
    const spent = snapshot?.spent[amounts.length];
    if (snapshot === undefined || spent === undefined) {
      amounts.push(rule.initial);
    } else if (rule.type === "quota") {
      amounts.push(Math.max(0, rule.rolled(spent, snapshot.atMs, nowMs) - heldMilli));
    } else {
      const elapsedMs = Math.max(0, nowMs - snapshot.atMs);
      amounts.push(Math.max(0, rule.refilled(spent, elapsedMs) - heldMilli * rule.perMilli));
    }
  }
  return amounts;
}

/**
 * What a call of `costMilli` would be told if these amounts were all: the key's time is ahead of the store's by `lagMs`,
 * and tokens that others hold may come back for `backMs`.
 */
export function outcomeOf(
  tier: Tier,
  spent: readonly number[],
  costMilli: number,
  { nowMs, lagMs, backMs }: Pick<Reply, "nowMs" | "lagMs" | "backMs">,
): Outcome {
  let denied = 0;
  let waitMs = 0;
  if (costMilli > 0) {
    tier.limits.forEach(({ rule }, index) => {
      const wait = rule.waitMs(spent[index] ?? 0, costMilli, nowMs);
      if (wait > waitMs) {
        waitMs = wait;
        denied = index + 1;
      }
    });
  }
  if (denied > 0) waitMs += lagMs;
  const isProvisional = backMs > 0 && backMs < waitMs;
  return { denied, waitMs: isProvisional ? backMs : waitMs, isProvisional, nowMs, lagMs, spent };
}

/** Where a key stands after a call that was allowed. */
export function allowedOutcome({ nowMs, lagMs }: Pick<Outcome, "nowMs" | "lagMs">, spent: readonly number[]): Outcome {
  return { denied: 0, waitMs: 0, isProvisional: false, nowMs, lagMs, spent };
}
