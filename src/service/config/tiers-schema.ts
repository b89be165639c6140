import { z } from "zod";

const FROM_0 = "a number from 0 with at most three decimals";
const ABOVE_0 = "a number above 0 with at most three decimals";
const PERIODS = ["hour", "day", "week", "month", "year", "once"] as const;

const amount = z.number({ error: FROM_0 }).min(0, FROM_0);
const positive = z.number({ error: ABOVE_0 }).positive(ABOVE_0);
const name = z.string({ error: "a text" }).min(1, "a name");
const shadow = z.boolean({ error: "true or false" }).optional();

const bucket = z.strictObject({
  name,
  type: z.literal("bucket"),
  limit: amount,
  windowSeconds: positive,
  burst: positive.optional(),
  blockSeconds: positive.optional(),
  shadow,
});

const quota = z.strictObject({
  name,
  type: z.literal("quota"),
  limit: amount,
  period: z.enum(PERIODS, { error: `${PERIODS.slice(0, -1).join(", ")} or ${PERIODS.at(-1)}` }),
  anchorDay: z.int({ error: "a day of the week, 1 to 7, or of the month, 1 to 31" }).optional(),
  anchorMonth: z.int({ error: "a month, 1 to 12" }).optional(),
  overage: z.strictObject({ max: positive }, { error: "a mapping with max" }).optional(),
  shadow,
});

const concurrency = z.strictObject({
  name,
  type: z.literal("concurrency"),
  limit: z.int({ error: "a whole number of calls, 1 to 10,000" }),
  timeoutSeconds: amount,
  shadow,
});

/** The tiers of a configuration file. What is wrong with one says what it may be. */
export const tiersSchema = z.record(
  z.string(),
  z.strictObject(
    {
      limits: z.array(
        z.discriminatedUnion("type", [bucket, quota, concurrency], {
          error: "a limit of type bucket, quota or concurrency",
        }),
        {
          error: "a list of limits, empty for unlimited",
        },
      ),
    },
    { error: "a mapping with limits" },
  ),
  { error: "a mapping of tiers by name" },
);

/** Tiers as a file has them; a bucket that says nothing of its burst has that of `burstMultiplier`. */
export type ConfiguredTiers = z.infer<typeof tiersSchema>;
