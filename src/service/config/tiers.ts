import { z } from "zod";
import type { LimitSpec, TierSpec } from "../../engine/spec.js";
import type { Config, SettingName } from "./schema.js";

const amount = positive("a number above 0 with at most three decimals");
const name = z.string({ error: "a text" }).min(1, "a name");
const shadow = z.boolean({ error: "true or false" }).optional();

const bucket = z.strictObject({
  name,
  type: z.literal("bucket"),
  limit: amount,
  windowSeconds: amount,
  burst: positive("a number from 1 with at most three decimals").optional(),
  shadow,
});

const quota = z.strictObject({
  name,
  type: z.literal("quota"),
  limit: amount,
  period: z.enum(["day", "month"], { error: "day or month" }),
  anchorDay: z.int({ error: "a day of the month, 1 to 31" }).optional(),
  shadow,
});

/** The tiers of a configuration file. What is wrong with one says what it may be. */
export const tiersSchema = z.record(
  z.string(),
  z.strictObject(
    {
      limits: z.array(z.discriminatedUnion("type", [bucket, quota], { error: "a limit of type bucket or quota" }), {
        error: "a list of limits, empty for unlimited",
      }),
    },
    { error: "a mapping with limits" },
  ),
  { error: "a mapping of tiers by name" },
);

/** Tiers as a file has them; a bucket that says nothing of its burst has that of `burstMultiplier`. */
export type ConfiguredTiers = z.infer<typeof tiersSchema>;

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

function positive(mayBe: string) {
  return z.number({ error: mayBe }).positive(mayBe);
}
