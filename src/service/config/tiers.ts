import type { LimitSpec, TierSpec } from "tollkeeper";
import type { Config, SettingName } from "./schema.js";

/** Settings that are a limit of a built-in tier. */
export const LIMIT_SETTINGS = {
  freeMinuteLimit: ["free", "minute"],
  freeMonthlyQuota: ["free", "month"],
  proMinuteLimit: ["pro", "minute"],
  proMonthlyQuota: ["pro", "month"],
  ipFallbackLimit: ["anonymous", "minute"],
  ipWhitelistLimit: ["trusted", "minute"],
} as const satisfies Partial<Record<SettingName, readonly [tier: string, limit: string]>>;

/** The tiers that a configuration describes: the built-in ones, and those of the file beside or instead of them. */
export function tiersOf(config: Config): Record<string, TierSpec> {
  const { burstMultiplier } = config;
  const minute = (limit: number): LimitSpec => ({
    name: "minute",
    type: "bucket",
    limit,
    windowSeconds: 60,
    burst: burstMultiplier,
  });
  const month = (limit: number): LimitSpec => ({ name: "month", type: "quota", limit, period: "month" });
  const configured = Object.entries(config.tiers).map(([tier, { limits }]): [string, TierSpec] => [
    tier,
    {
      limits: limits.map((limit) =>
        limit.type === "bucket" ? { ...limit, burst: limit.burst ?? burstMultiplier } : limit,
      ),
    },
  ]);
  return {
    free: { limits: [minute(config.freeMinuteLimit), month(config.freeMonthlyQuota)] },
    pro: { limits: [minute(config.proMinuteLimit), month(config.proMonthlyQuota)] },
    enterprise: { limits: [] },
    partner: { limits: [] },
    anonymous: { limits: [minute(config.ipFallbackLimit)] },
    trusted: { limits: [minute(config.ipWhitelistLimit)] },
    ...Object.fromEntries(configured),
  };
}
