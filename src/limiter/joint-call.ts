import type { Engine } from "../engine/engine.js";
import { FRAME, OUTCOME } from "../engine/frame.js";
import type { BoundTiers } from "./bound-tiers.js";
import { excessOf, sumOf, tokensOf, writeCost } from "./costs.js";
import { Decision } from "./decision.js";
import { jointExcessOf } from "./joint-excess.js";
import { checkedKey } from "./misuse.js";
import { PlacedDecision } from "./placed-decision.js";
import { ShadowedDecision } from "./shadow.js";
import type { SubjectCall, Subjects } from "./subjects.js";

const { TIER, KEY_LENGTH, NOW, CODE, VERSION, ROW } = FRAME;

/**
 * Decides on calls that pass together or not at all, with one crossing into the engine; shadow limits are not asked. In
 * what is returned, one for each, none can be corrected if any is denied.
 *
 * @throws {TollkeeperError} as {@link Limiter.consumeAll} does; then nothing was spent.
 */
export function decideTogether(engine: Engine, boundTiers: BoundTiers, subjects: Subjects, nowMs: number): Decision[] {
  const { frame } = engine;
  const asked = subjects.map(({ key, tier, costs }) => {
    checkedKey(key);
    const boundTier = boundTiers.of(tier);
    const costMilli = sumOf(costs, boundTier);
    const excess = excessOf(costMilli, boundTier);
    if (excess !== undefined) throw excess;
    return { key, boundTier, costMilli };
  });
  // To look one up may have shown that another thread has reloaded the tiers.
  if (asked.some(({ boundTier }) => boundTier.version !== boundTiers.version)) {
    return decideTogether(engine, boundTiers, subjects, nowMs);
  }
  const excess = jointExcessOf(asked);
  if (excess !== undefined) throw subjects.blaming(excess.calls, excess.error);
  asked.forEach(({ key, boundTier, costMilli }, index) => {
    const row = index * ROW;
    frame[row + TIER] = boundTier.tierId;
    writeCost(frame, row, boundTier, costMilli);
    frame[row + KEY_LENGTH] = key.length;
    frame[row + NOW] = nowMs;
    frame[row + CODE] = OUTCOME.FAILED;
  });
  engine.consumeAll(asked.map(({ key }) => key).join(""), asked.length);
  const codes = asked.map((_, index) => frame[index * ROW + CODE] as number);
  if (codes.some((code) => code < 0)) {
    // Where one is wrong, the others were not looked at.
    const wrong = Math.max(
      codes.findIndex((code) => code < 0 && code !== OUTCOME.FAILED),
      0,
    );
    const { key, boundTier, costMilli } = asked[wrong] as (typeof asked)[number];
    const code = codes[wrong] as number;
    // Another thread has reloaded the tiers, or the engine has forgotten overrides; by those in force it may be right.
    if (code === OUTCOME.TIER_UNKNOWN && boundTiers.renew(boundTier.name)) {
      return decideTogether(engine, boundTiers, subjects, nowMs);
    }
    throw boundTiers.misuse(code, key, boundTier.name, tokensOf(costMilli, boundTier));
  }
  const isAllowed = codes.every((code) => (code & OUTCOME.LIMIT_MASK) === 0);
  return asked.map(({ key, boundTier, costMilli }, index) => {
    const row = index * ROW;
    const version = frame[row + VERSION] as number;
    const isSame = boundTier.version === version;
    const decider = isSame ? boundTier : boundTiers.ofVersion(version, boundTier.name, boundTier.tierId);
    const cost = isSame ? costMilli : sumOf((subjects.calls[index] as SubjectCall).costs, decider);
    const Made = decider.isPlain ? Decision : decider.shadows.length === 0 ? PlacedDecision : ShadowedDecision;
    return new Made(decider, key, frame, row, cost, isAllowed);
  });
}
