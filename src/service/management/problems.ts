import type { Problem } from "tollkeeper/fastify";
import { serviceProblem } from "../problem-codes.js";

/** No tier of that name is configured. */
export function tierUnknown(tier: string, tiers: readonly string[]): Problem {
  const shown = tier.length > 64 ? `${tier.slice(0, 63)}…` : tier;
  return serviceProblem("tier_unknown", `tier is ${shown}; it may be one of ${tiers.join(", ")}.`);
}
