import { Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter, type SharedLimiter } from "../../src/index.js";
import { Relay } from "../redis/relay.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const MODES = ["leased", "exact"] as const;
const LIMIT = 100;
const tiers = {
  free: { limits: [{ name: "month", type: "quota" as const, limit: LIMIT, period: "month" as const }] },
};
const SOON = { timeout: 10_000 };
const YEAR_MS = 365 * 86_400_000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const remaining = async (limiter: SharedLimiter) => (await limiter.peek("k", "free", 0)).limits[0]?.remaining;

/** Calls of all replicas at once, until none is let in any more; says how many were. */
async function spend(replicas: readonly SharedLimiter[]): Promise<number> {
  let admitted = 0;
  for (;;) {
    const decisions = await Promise.all(replicas.map((replica) => replica.consume("k", "free")));
    const allowed = decisions.filter((decision) => decision.allowed).length;
    admitted += allowed;
    if (allowed > 0) continue;
    if (decisions.every((decision) => !decision.isProvisional)) return admitted;
    await pause(20);
  }
}

it.each(MODES)("exactly what was granted passes, also of replicas that believe a denial: %s", async (mode) => {
  const replicas = await openReplicas(redis.url, times(3, tiers), { mode, leaseMs: 200 });
  const [first, , third] = replicas as unknown as [SharedLimiter, SharedLimiter, SharedLimiter];
  expect(await spend(replicas)).toBe(LIMIT);
  expect((await first.grant("k", "free", 20.5)).limits[0]?.remaining).toBe(20.5);
  await third.grant("k", "free", 150, { keep: true });
  await expect.poll(() => remaining(first), SOON).toBe(170.5);
  expect(await spend(replicas)).toBe(170);
  expect((await first.consume("k", "free", 0.5)).allowed).toBe(true);
  expect(await first.consume("k", "free", 0.001)).toMatchObject({ allowed: false, deniedBy: "month" });
});

it.each(MODES)("of what is kept the period's end takes nothing along, and of the rest all: %s", async (mode) => {
  let now = Date.UTC(2027, 0, 31, 12);
  const storage = { type: "redis", url: redis.url, prefix: newPrefix(), mode, timeoutMs: 5000 } as const;
  const replicas = times(2, undefined).map(() => createLimiter({ tiers, storage, clock: () => now }));
  for (const replica of replicas) onTestFinished(() => replica.close());
  await Promise.all(replicas.map((replica) => replica.ready()));
  const [first, second] = replicas as [SharedLimiter, SharedLimiter];
  await first.grant("k", "free", 30);
  await second.grant("k", "free", 1000, { keep: true });
  const calls = (limiter: SharedLimiter, count: number) =>
    Promise.all(times(count, undefined).map(() => limiter.consume("k", "free")));
  for (let turn = 0; turn < 40; turn++) await Promise.all([calls(first, 5), calls(second, 1)]);
  // Whatever the replicas have ahead lies in what they had of the quota, which ends now.
  now = Date.UTC(2027, 1, 1);
  await expect.poll(() => remaining(second), SOON).toBe(LIMIT + 1000 - (240 - 130));
  const decisions = await calls(first, 120);
  expect(decisions.every(({ allowed }) => allowed)).toBe(true);
  now = Date.UTC(2027, 3, 1);
  await expect.poll(() => remaining(second), SOON).toBe(LIMIT + 890 - 20);
});

it("it counts once, however often it has to be sent, and what is kept does not expire", async () => {
  const relay = await Relay.start(redis.port);
  onTestFinished(() => relay.stop());
  const [limiter] = await openReplicas(relay.url, [tiers], { timeoutMs: 100 });
  await limiter.consume("k", "free", 10);
  relay.delayMs = 150; // Each way: it arrives, and is acknowledged too late.
  const granted = limiter.grant("k", "free", 5, { keep: true });
  await pause(1000);
  relay.delayMs = 0;
  expect((await granted).limits[0]?.remaining).toBe(95);
  const client = new Redis(redis.url, { lazyConnect: true });
  onTestFinished(() => client.disconnect());
  const [name = ""] = await client.keys(`*${limiter.prefix}:k*`);
  const fields = await client.hgetall(name);
  expect(fields["month"]).toBe("10000");
  expect(fields["@k:month"]).toMatch(/^5000 5000 \d{13} \d{13}$/);
  expect(await client.pttl(name)).toBeGreaterThan(50 * YEAR_MS);
  expect(limiter.stats().store.commands.get("grant late")).toBeGreaterThan(0);
});

it("it is refused while decisions are not shared, and if it is more than can be counted", async () => {
  const relay = await Relay.start(redis.port);
  onTestFinished(() => relay.stop());
  const [limiter] = await openReplicas(relay.url, [tiers], { timeoutMs: 500 });
  const most = 2 ** 52 / 1000;
  expect((await limiter.grant("k", "free", most)).limits[0]?.remaining).toBe(most + LIMIT);
  await expect(limiter.grant("k", "free", 1)).rejects.toMatchObject({ code: "ERR_GRANT_INVALID" });
  await expect(limiter.grant("k", "free", 0)).rejects.toMatchObject({ code: "ERR_GRANT_INVALID" });
  await relay.stop();
  await expect.poll(() => limiter.isReady, SOON).toBe(false);
  await expect(limiter.grant("k", "free", 1)).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
});

it("a reset forgets it on all replicas", async () => {
  const [first, second] = (await openReplicas(redis.url, times(2, tiers))) as [SharedLimiter, SharedLimiter];
  await first.grant("k", "free", 50, { keep: true });
  expect(await remaining(second)).toBe(150);
  await second.reset("k");
  expect(await remaining(second)).toBe(100);
});
