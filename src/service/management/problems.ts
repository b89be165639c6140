import { type Problem, problem } from "tollkeeper/fastify";

/** No tier of that name is configured. */
export function tierUnknown(tier: string, tiers: readonly string[]): Problem {
  const shown = tier.length > 64 ? `${tier.slice(0, 63)}…` : tier;
  return problem(422, "tier_unknown", `tier is ${shown}; it may be one of ${tiers.join(", ")}.`);
}
