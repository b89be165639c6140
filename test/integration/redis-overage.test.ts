import { expect, it, onTestFinished } from "vitest";
import { createLimiter, overriddenTier, type SharedLimiter } from "../../src/index.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const cases = (["leased", "exact"] as const).flatMap((mode) =>
  (["native", "js"] as const).map((engine) => ({ mode, engine })),
);
const month = { name: "month", type: "quota", limit: 100, period: "month", overage: { max: 40 } } as const;
const tiers = { pro: { limits: [month] }, free: { limits: [{ ...month, overage: undefined }] } };
const SOON = { timeout: 10_000 };
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const standing = async (limiter: SharedLimiter, tier = "pro") => {
  const { limit, remaining, overage } = (await limiter.peek("k", tier, 0)).limits[0] ?? {};
  return { limit, remaining, overage };
};

/** Calls of all replicas at once, until none is let in any more; says how many were. */
async function spend(replicas: readonly SharedLimiter[], tier: string): Promise<number> {
  let admitted = 0;
  for (;;) {
    const decisions = await Promise.all(replicas.map((replica) => replica.consume("k", tier)));
    const allowed = decisions.filter((decision) => decision.allowed).length;
    admitted += allowed;
    if (allowed > 0) continue;
    if (decisions.every((decision) => !decision.isProvisional)) return admitted;
    await pause(20);
  }
}

it.each(cases)("replicas let in the limit and its overage, and tell them apart: $mode, $engine", async (how) => {
  const replicas = await openReplicas(redis.url, times(3, tiers), { mode: how.mode, leaseMs: 200 }, [], how.engine);
  const [first, second] = replicas as unknown as [SharedLimiter, SharedLimiter];
  expect(await spend(replicas, "pro")).toBe(140);
  for (const replica of [first, second]) {
    await expect.poll(() => standing(replica), SOON).toEqual({ limit: 100, remaining: 0, overage: 40 });
  }
  expect(await first.consume("k", "pro", 0.001)).toMatchObject({ allowed: false, deniedBy: "month" });
  expect(await standing(second, "free")).toEqual({ limit: 100, remaining: 0, overage: undefined });
  expect(first.maxCost("pro")).toBe(140);
});

it.each(cases)("overage may be a caller's own, and comes after what was granted: $mode, $engine", async (how) => {
  const [limiter] = await openReplicas(redis.url, [tiers], { mode: how.mode, leaseMs: 200 }, [], how.engine);
  const own = overriddenTier("pro", { month: { limit: 10, overage: { max: 2.5 } } });
  await limiter.grant("k", own, 5);
  expect(await spend([limiter], own)).toBe(17);
  await expect.poll(() => standing(limiter, own), SOON).toEqual({ limit: 10, remaining: 0, overage: 2 });
  expect((await limiter.consume("k", own, 0.5)).allowed).toBe(true);
  expect((await limiter.consume("k", own, 0.001)).allowed).toBe(false);
  const message = "keep is true; it may be left out for month, since what is beyond its limit is overage";
  const kept = limiter.grant("k", own, 5, { keep: true });
  await expect(kept).rejects.toThrow(expect.objectContaining({ code: "ERR_GRANT_INVALID", message }));
});

it.each(cases)("overage ends with the period, and a refund takes it back: $mode, $engine", async ({ mode, engine }) => {
  let now = Date.UTC(2027, 0, 31, 12);
  const storage = { type: "redis", url: redis.url, prefix: newPrefix(), mode, timeoutMs: 5000 } as const;
  const limiter = createLimiter({ tiers, storage, engine, clock: () => now });
  onTestFinished(() => limiter.close());
  await limiter.ready();
  await limiter.consume("k", "pro", 95);
  const decision = await limiter.consume("k", "pro", 20);
  expect(decision.limits[0]).toMatchObject({ remaining: 0, overage: 15 });
  decision.settle(12);
  await expect.poll(() => standing(limiter), SOON).toEqual({ limit: 100, remaining: 0, overage: 7 });
  const another = await limiter.consume("k", "pro", 10);
  another.refund();
  await expect.poll(() => standing(limiter), SOON).toEqual({ limit: 100, remaining: 0, overage: 7 });
  now = Date.UTC(2027, 1, 1);
  await expect.poll(() => standing(limiter), SOON).toEqual({ limit: 100, remaining: 100, overage: 0 });
});
