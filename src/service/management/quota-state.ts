import { capacityOf, type Decision, type Overrides, type Tiers } from "tollkeeper";
import type { z } from "zod";
import type { limitState, quotaState } from "./contract.js";

/** Where a caller stands, as the API tells it: every limit that any tier has, null where this caller has none. */
export function quotaStateOf(
  subject: string,
  decision: Decision,
  overrides: Overrides | null,
  tiers: Tiers,
): z.infer<typeof quotaState> {
  return { subject, tier: decision.tier, overrides, limits: limitsOf(decision, tiers) };
}

function limitsOf(decision: Decision, tiers: Tiers): z.infer<typeof limitState>[] {
  const own = decision.tierSpec.limits.map((spec, index) => {
    const { limit = 0, remaining = 0, resetMs = 0, overage } = decision.limits[index] ?? {};
    const resets_at = Number.isFinite(resetMs) ? new Date(decision.clockMs + resetMs).toISOString() : null;
    const state = { name: spec.name, type: spec.type, limit, capacity: capacityOf(spec), remaining, resets_at };
    return overage === undefined ? state : { ...state, overage };
  });
  const others = unlimitedOf(tiers).filter(({ name }) => !own.some((limit) => limit.name === name));
  return [...own, ...others];
}

/** Every limit of the tiers once, as somebody has it whom it does not limit. */
export function unlimitedOf(tiers: Tiers): z.infer<typeof limitState>[] {
  const types = new Map(Object.values(tiers).flatMap(({ limits }) => limits.map(({ name, type }) => [name, type])));
  const nothing = { limit: null, capacity: null, remaining: null, resets_at: null };
  return [...types].map(([name, type]) => ({ name, type, ...nothing }));
}
