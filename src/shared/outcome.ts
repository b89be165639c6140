import { type CostMilli, costAt, isFree } from "../engine/cost.js";
import type { Frame } from "../engine/frame.js";
import { OUTCOME } from "../engine/frame.js";
import { LEASE_FRAME, LEASE_OUTCOME } from "../engine/lease-frame.js";
import type { Rule, Tier } from "../engine/tier.js";
import type { Reply, Snapshot } from "../store/protocol.js";

const { CODE, NOW, BEHIND, SPENT, WAIT } = LEASE_FRAME;

/** Where a key stands, by what the store has said or by this replica's part of it. */
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
  return tier.limits.map(({ rule }, index) => {
    const spent = snapshot?.spent[index];
    if (snapshot === undefined || spent === undefined) return rule.initial;
    if (rule.type === "concurrency") return spent;
    if (rule.type === "quota") return rule.deducted(rule.rolled(spent, snapshot.atMs, nowMs), heldMilli);
    return Math.max(0, rule.refilled(spent, Math.max(0, nowMs - snapshot.atMs)) - heldMilli * rule.perMilli);
  });
}

/**
 * What a call of `costMilli` would be told if these amounts were all: the key's time is ahead of the store's by `lagMs`,
 * and tokens that others hold may come back for `backMs`.
 */
export function outcomeOf(
  tier: Tier,
  spent: readonly number[],
  costMilli: CostMilli,
  { nowMs, lagMs, backMs }: Pick<Reply, "nowMs" | "lagMs" | "backMs">,
): Outcome {
  let denied = 0;
  let waitMs = 0;
  // Of what no token that comes back makes shorter.
  let firmMs = 0;
  if (!isFree(costMilli, tier.limits.length)) {
    tier.limits.forEach(({ rule }, index) => {
      const cost = costAt(costMilli, index);
      const wait = cost === 0 ? 0 : rule.waitMs(spent[index] ?? 0, cost, nowMs);
      if (isFirm(rule)) firmMs = Math.max(firmMs, wait);
      if (wait > waitMs) {
        waitMs = wait;
        denied = index + 1;
      }
    });
  }
  if (denied > 0) waitMs += lagMs;
  const leastMs = firmMs > 0 ? Math.max(backMs, firmMs + lagMs) : backMs;
  const isProvisional = backMs > 0 && leastMs < waitMs;
  return { denied, waitMs: isProvisional ? leastMs : waitMs, isProvisional, nowMs, lagMs, spent };
}

/** Whether a limit's denials stand whatever comes back: of a limit of 0, and of a bucket that they block. */
function isFirm(rule: Rule): boolean {
  return rule.maxCostMilli === 0 || (rule.type === "bucket" && rule.isBlocking);
}

/** Where a key stands after a call that was allowed. */
export function allowedOutcome({ nowMs, lagMs }: Pick<Outcome, "nowMs" | "lagMs">, spent: readonly number[]): Outcome {
  return { denied: 0, waitMs: 0, isProvisional: false, nowMs, lagMs, spent };
}

/** Writes an outcome into the first row of a frame, as an engine writes its own. */
export function writeOutcome(frame: Frame, { denied, waitMs, isProvisional, nowMs, lagMs, spent }: Outcome): void {
  const wait = denied === 0 ? 0 : LEASE_OUTCOME.WAIT | (isProvisional ? LEASE_OUTCOME.PROVISIONAL : 0);
  frame[CODE] = denied | wait | (lagMs > 0 ? OUTCOME.BEHIND : 0);
  frame[NOW] = nowMs;
  frame[BEHIND] = lagMs;
  frame[WAIT] = waitMs;
  for (let index = 0; index < spent.length; index++) frame[SPENT + index] = spent[index] as number;
}
