import { type CostMilli, costAt } from "../../src/engine/cost.js";
import type { Decision } from "../../src/index.js";
import { FallbackLimits } from "../../src/shared/fallback-limits.js";
import { Outage } from "../../src/shared/outage.js";

/** What outage policies have decided: no caller can tell these decisions from others. */
const decisions = new WeakSet<Decision>();
/** When fallback limits were first asked, and what they have refilled of what they let in, in thousandths by limit. */
const askedMs = new WeakMap<FallbackLimits, number>();
export const refilled = new Map<string, number>();
/** What they have let in, call by call. */
const admitted = new WeakMap<FallbackLimits, CostMilli[]>();
/** The part of it that is of one set of limits, as of when it was last told what is to be charged. */
const parts = new WeakMap<FallbackLimits, Map<string, number>>();

const { decide, outstanding } = FallbackLimits.prototype;
FallbackLimits.prototype.outstanding = function (this: FallbackLimits, nowMs) {
  const unreconciled = outstanding.call(this, nowMs);
  const own = parts.get(this) ?? new Map<string, number>();
  parts.set(this, own);
  this.tier.limits.forEach(({ name, rule }, index) => {
    if (unreconciled === undefined || rule.type !== "bucket") return;
    const most = ((nowMs - (askedMs.get(this) ?? nowMs)) * rule.perMs) / rule.perMilli;
    const limit = `${this.tier.name}.${name}`;
    // What is rounded up past what was let in leaves nothing to give back.
    const letIn = (admitted.get(this) ?? []).reduce<number>((sum, cost) => sum + costAt(cost, index), 0);
    const part = Math.max(0, Math.min(most, letIn - (unreconciled.deltas[index] ?? 0)));
    refilled.set(limit, (refilled.get(limit) ?? 0) + part - (own.get(limit) ?? 0));
    own.set(limit, part);
  });
  return unreconciled;
};
FallbackLimits.prototype.decide = function (this: FallbackLimits, ...call) {
  if (!askedMs.has(this)) askedMs.set(this, call[1]);
  const outcome = decide.apply(this, call);
  if (outcome.denied === 0 && call[2]) admitted.set(this, [...(admitted.get(this) ?? []), call[0]]);
  return outcome;
};
const { decide: conclude } = Outage.prototype;
Outage.prototype.decide = function (this: Outage, ...call) {
  const decision = conclude.apply(this, call);
  decisions.add(decision);
  return decision;
};

/** Whether an outage policy has made a decision, and not the store. */
export function isByPolicy(decision: Decision): boolean {
  return decisions.has(decision);
}
