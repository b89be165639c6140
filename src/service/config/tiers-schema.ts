import { z } from "zod";

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

function positive(mayBe: string) {
  return z.number({ error: mayBe }).positive(mayBe);
}
