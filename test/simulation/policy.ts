import type { Decision } from "../../src/index.js";
import { Share } from "../../src/shared/share.js";
import { SharedTier } from "../../src/shared/shared-tier.js";

/** What outage policies have said, and the decisions that were made of it: no caller can tell these from others. */
const views = new WeakSet<object>();
const decisions = new WeakSet<Decision>();
/** When a share was first asked, and what shares have refilled of what they let in, in thousandths by limit. */
const askedMs = new WeakMap<Share, number>();
export const refilled = new Map<string, number>();

const { decide, debts } = Share.prototype;
Share.prototype.debts = function (this: Share, nowMs) {
  const owed = debts.call(this, nowMs);
  this.tier.limits.forEach(({ name, rule }, index) => {
    if (owed === undefined || rule.type === "quota") return;
    const most = ((nowMs - (askedMs.get(this) ?? nowMs)) * rule.perMs) / rule.perMilli;
    const limit = `${this.tier.name}.${name}`;
    // A debt rounded up past what was let in owes nothing back.
    const part = Math.max(0, Math.min(most, this.admitted - (owed.deltas[index] ?? 0)));
    refilled.set(limit, (refilled.get(limit) ?? 0) + part);
  });
  return owed;
};
Share.prototype.decide = function (this: Share, ...call) {
  if (!askedMs.has(this)) askedMs.set(this, call[1]);
  const view = decide.apply(this, call);
  views.add(view);
  return view;
};
const { decide: conclude } = SharedTier.prototype;
SharedTier.prototype.decide = function (this: SharedTier, ...call) {
  const decision = conclude.apply(this, call);
  if (views.has(call[2])) decisions.add(decision);
  return decision;
};

/** Whether an outage policy has made a decision, and not the store. */
export function isByPolicy(decision: Decision): boolean {
  return decisions.has(decision);
}
