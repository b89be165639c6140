import type { Engine } from "../engine/engine.js";
import { FRAME, OUTCOME } from "../engine/frame.js";
import type { BoundTiers } from "./bound-tiers.js";
import { Decision } from "./decision.js";
import { checkedKey, excessiveCost } from "./misuse.js";
import { plainTier } from "./overrides.js";
import { ShadowedDecision } from "./shadow.js";
import type { SubjectCall } from "./subjects.js";

const { TIER, COST, KEY_LENGTH, NOW, CODE, VERSION, ROW } = FRAME;

/**
 * Decides on calls that pass together or not at all, with one crossing into the engine; shadow limits are not asked. In
 * what is returned, one for each, none can be corrected if any is denied.
 *
 * @throws {TollkeeperError} as {@link Limiter.consumeAll} does; then nothing was spent.
 */
export function decideTogether(
  engine: Engine,
  boundTiers: BoundTiers,
  calls: readonly SubjectCall[],
  nowMs: number,
): Decision[] {
  const { frame } = engine;
  const asked = calls.map(({ key, tier, costMilli }) => {
    checkedKey(key);
    const boundTier = boundTiers.of(tier);
    const { maxCostMilli } = boundTier.tier;
    if (costMilli > maxCostMilli) throw excessiveCost(costMilli / 1000, plainTier(tier), maxCostMilli / 1000);
    return boundTier;
  });
  calls.forEach(({ key, costMilli }, index) => {
    const row = index * ROW;
    frame[row + TIER] = asked[index]?.tierId ?? -1;
    frame[row + COST] = costMilli;
    frame[row + KEY_LENGTH] = key.length;
    frame[row + NOW] = nowMs;
    frame[row + CODE] = OUTCOME.FAILED;
  });
  engine.consumeAll(calls.map(({ key }) => key).join(""), calls.length);
  const codes = calls.map((_, index) => frame[index * ROW + CODE] as number);
  if (codes.some((code) => code < 0)) {
    // Where one is wrong, the others were not looked at.
    const wrong = codes.findIndex((code) => code < 0 && code !== OUTCOME.FAILED);
    const { key, tier, costMilli } = calls[Math.max(wrong, 0)] as SubjectCall;
    const code = codes[wrong] ?? OUTCOME.FAILED;
    // Another thread has reloaded the tiers, or the engine has forgotten overrides; by those in force it may be right.
    if (code === OUTCOME.TIER_UNKNOWN && boundTiers.renew(tier))
      return decideTogether(engine, boundTiers, calls, nowMs);
    throw boundTiers.misuse(code, key, tier, costMilli / 1000);
  }
  const isAllowed = codes.every((code) => (code & OUTCOME.LIMIT_MASK) === 0);
  return calls.map(({ key, tier, costMilli }, index) => {
    const row = index * ROW;
    const version = frame[row + VERSION] as number;
    let boundTier = boundTiers.ready(tier);
    if (boundTier?.version !== version) boundTier = boundTiers.ofVersion(version, tier, frame[row + TIER] as number);
    const Made = boundTier.shadows.length === 0 ? Decision : ShadowedDecision;
    return new Made(boundTier, key, frame, row, costMilli, isAllowed);
  });
}
