import type { Config } from "./schema.js";

/** A bucket of a minute, or a quota of a calendar month. */
type TierLimit =
  | { name: "minute"; type: "bucket"; limit: number; windowSeconds: 60; burst: number }
  | { name: "month"; type: "quota"; limit: number; period: "month" };

/** The tiers that a configuration describes. */
export function tiersOf(config: Config): Record<string, { limits: TierLimit[] }> {
  const minute = (limit: number): TierLimit => ({
    name: "minute",
    type: "bucket",
    limit,
    windowSeconds: 60,
    burst: config.burstMultiplier,
  });
  const month = (limit: number): TierLimit => ({ name: "month", type: "quota", limit, period: "month" });
  return {
    free: { limits: [minute(config.freeMinuteLimit), month(config.freeMonthlyQuota)] },
    pro: { limits: [minute(config.proMinuteLimit), month(config.proMonthlyQuota)] },
    enterprise: { limits: [] },
    partner: { limits: [] },
    anonymous: { limits: [minute(config.ipFallbackLimit)] },
    trusted: { limits: [minute(config.ipWhitelistLimit)] },
  };
}
