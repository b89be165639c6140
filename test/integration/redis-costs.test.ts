import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type Decision, type SharedLimiter, type Tiers } from "../../src/index.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { RedisServer, redisForFile } from "../redis/server.js";

vi.setConfig({ testTimeout: 60_000 });
const redis = await redisForFile();
const SOON = { timeout: 10_000 };

const minute = { type: "bucket", windowSeconds: 60, burst: 1 } as const;
const requests = { ...minute, name: "requests", limit: 60 } as const;
const tokens = { ...minute, name: "tokens", limit: 100_000 } as const;
const day = { name: "day", type: "quota", limit: 1000, period: "day" } as const;
const TIERS: Tiers = { free: { limits: [requests, tokens, day] }, small: { limits: [day] }, unlimited: { limits: [] } };

const left = (decision: Decision, name: string) =>
  decision.limits.find((limit) => limit.name === name)?.remaining ?? -1;
const standing = async (limiter: SharedLimiter, key: string, tier = "free") =>
  (await limiter.peek(key, tier, 0)).limits.map(({ remaining }) => Math.floor(remaining));

/** Three replicas, and one limiter in memory, by one clock. */
async function besideLocal(mode: "leased" | "exact", clock: () => number) {
  const local = createLimiter({ tiers: TIERS, clock });
  onTestFinished(() => local.close());
  const prefix = newPrefix();
  const replicas = times(3, TIERS).map((tiers) => {
    const storage = { type: "redis", url: redis.url, prefix, mode, timeoutMs: 5000 } as const;
    return createLimiter({ tiers, clock, storage });
  });
  for (const replica of replicas) onTestFinished(() => replica.close());
  await Promise.all(replicas.map((replica) => replica.ready(60_000)));
  return { local, replicas };
}

describe.each(["leased", "exact"] as const)("a cost for each limit over Redis, %s", (mode) => {
  it("is what one limiter in memory makes of it, over three replicas, to the token", async () => {
    const now = Date.UTC(2026, 5, 15, 12);
    const { local, replicas } = await besideLocal(mode, () => now);
    for (let call = 0; call < 90; call++) {
      const cost = { requests: 1, tokens: (call * 977) % 2900 };
      const expected = local.consume("acct:1", "free", cost);
      const decision = await (replicas[call % 3] as SharedLimiter).consume("acct:1", "free", cost);
      expect(decision.toJSON(), `call ${call}`).toEqual(expected.toJSON());
    }
  });

  it("lets as much through as one limiter does, where three replicas ask at once, minute for minute", async () => {
    let now = Date.UTC(2026, 5, 15, 12);
    const { local, replicas } = await besideLocal(mode, () => now);
    const cost = { requests: 1, tokens: 1850 };
    let passed = 0;
    for (let second = 0; second < 180; second += 3, now += 3000) {
      const asked = times(8, replicas).flatMap((all) => all.map((replica) => replica.consume("acct:2", "free", cost)));
      const allowed = (decisions: Decision[]) => decisions.filter((decision) => decision.allowed).length;
      const expected = allowed(asked.map(() => local.consume("acct:2", "free", cost)));
      expect(allowed(await Promise.all(asked)), `after ${second} s`).toBe(expected);
      passed += expected;
    }
    expect(passed).toBe(54 + 159); // Tokens are what is short: 100,000 at first, and 5,000 every 3 s.
  });

  it("is leased beside, of the same key, where it is one number", async () => {
    const [first, second] = await openReplicas(redis.url, times(2, TIERS), { mode, leaseMs: 1000 });
    const spent = { requests: 0, day: 0 };
    for (let round = 0; round < 40; round++) {
      const replica = (round % 2 === 0 ? first : second) as SharedLimiter;
      const isOfEach = round % 3 === 0;
      const decision = await replica.consume("mixed", "free", isOfEach ? { day: 2 } : 1);
      if (!decision.allowed) continue;
      spent.requests += isOfEach ? 0 : 1;
      spent.day += isOfEach ? 2 : 1;
    }
    expect(spent.requests).toBeGreaterThan(20);
    await second?.close();
    await vi.waitFor(async () => expect((await standing(first, "mixed"))[2]).toBe(1000 - spent.day), SOON);
  });

  it("counts what this replica holds as its own", async () => {
    const [only] = await openReplicas(redis.url, [TIERS], { mode, leaseMs: 5000 });
    for (let call = 0; call < 30; call++) await only.consume("held", "small");
    await new Promise((resolve) => setTimeout(resolve, 300)); // Something may be held ahead by now.
    for (let call = 0; call < 30; call++) await only.consume("held", "small");
    expect(left(await only.peek("held", "small", { day: 940 }), "day")).toBe(940);
    const all = await only.consume("held", "small", { day: 940 });
    expect([all.allowed, left(all, "day")]).toEqual([true, 0]);
    expect(await only.consume("held", "small", { day: 0.001 })).toMatchObject({ allowed: false, deniedBy: "day" });
  });

  it("is given back, settled and charged, and others see it", async () => {
    const [first, second] = await openReplicas(redis.url, times(2, TIERS), { mode });
    const seen = (expected: number[]) =>
      vi.waitFor(async () => expect((await standing(second as SharedLimiter, "k")).slice(2)).toEqual(expected), SOON);
    const refunded = await first.consume("k", "free", { day: 100, tokens: 5 });
    await seen([900]);
    expect(refunded.refund()).toBe(true);
    await seen([1000]);
    const settled = await first.consume("k", "free", { day: 100 });
    expect([settled.charge({ day: 150 }), settled.cost]).toEqual([true, { requests: 0, tokens: 0, day: 250 }]);
    await seen([750]);
    expect([settled.settle({ day: 20, tokens: 1 }), settled.charge(1)]).toEqual([true, false]);
    await seen([980]);
    const streamed = await first.consume("k", "free", { requests: 1 });
    for (let part = 0; part < 20; part++) expect(streamed.charge({ day: 60 })).toBe(true);
    await seen([0]); // Past empty.
    expect((await first.consume("k", "free", { requests: 1 })).allowed).toBe(true);
    expect((await first.consume("k", "free", { day: 1 })).allowed).toBe(false);
    expect(streamed.refund()).toBe(true);
    await seen([980]);
  });

  it("follows its key to another tier", async () => {
    const [only] = await openReplicas(redis.url, [TIERS], { mode });
    await only.consume("moved", "free", { day: 100, tokens: 50_000 });
    expect(left(await only.consume("moved", "small", { day: 50 }), "day")).toBe(850);
    expect(left(await only.consume("moved", "free", { day: 50 }), "day")).toBe(800);
    expect(left(await only.consume("moved", "small"), "day")).toBe(799);
  });

  it("costs nothing where there is nothing, and is refused before anything is spent", async () => {
    const [only] = await openReplicas(redis.url, [TIERS], { mode });
    expect(await only.consume("free", "free", {})).toMatchObject({
      allowed: true,
      cost: { requests: 0, tokens: 0, day: 0 },
    });
    expect(await only.consume("free", "unlimited", { tokens: 5 })).toMatchObject({
      allowed: true,
      cost: { tokens: 5 },
    });
    for (const [code, cost] of [
      ["ERR_COST_INVALID", { tokns: 1 }],
      ["ERR_COST_INVALID", { tokens: -1 }],
      ["ERR_COST_EXCEEDS_CAPACITY", { requests: 1, tokens: 100_001 }],
    ] as const) {
      expect(() => only.consume("free", "free", cost as Record<string, number>), JSON.stringify(cost)).toThrow(
        expect.objectContaining({ code }),
      );
      expect(() => only.consumeMany(["other", "free"], "free", [1, cost as Record<string, number>])).toThrow(
        expect.objectContaining({ code }),
      );
    }
    expect(await standing(only, "free")).toEqual([60, 100_000, 1000]);
    expect(await standing(only, "other")).toEqual([60, 100_000, 1000]);
  });

  it("is decided by the outage policy while Redis is away, and charged when it is back", async () => {
    const own = await RedisServer.start();
    onTestFinished(() => own.stop());
    const [only] = await openReplicas(own.url, [TIERS], { mode, timeoutMs: 100 });
    await only.consume("k", "small", { day: 100 });
    own.signal("SIGSTOP");
    await vi.waitFor(async () => {
      await only.consume("other", "small", { day: 1 });
      expect(only.isReady).toBe(false);
    }, SOON);
    expect((await only.consume("k", "small", { day: 500 })).allowed).toBe(true);
    expect((await only.consume("k", "small", { day: 500 })).allowed).toBe(false);
    expect((await only.consume("k", "small", { day: 400 })).allowed).toBe(true);
    own.signal("SIGCONT");
    await only.ready(60_000);
    await vi.waitFor(async () => expect(await standing(only, "k", "small")).toEqual([0]), SOON);
  });

  it("is asked of shadow limits as well, which deny nothing", async () => {
    const [only] = await openReplicas(
      redis.url,
      [{ free: { limits: [requests, { ...day, limit: 10, shadow: true }] } }],
      { mode },
    );
    expect((await only.consume("k", "free", { requests: 1, day: 8 })).shadowDenials).toEqual([]);
    const denied = await only.consume("k", "free", { day: 3 });
    expect([denied.allowed, denied.shadowDenials, Math.floor(left(denied, "requests"))]).toEqual([true, ["day"], 59]);
    const streamed = await only.consume("k", "free", { requests: 1 });
    expect(streamed.charge({ day: 2 })).toBe(true);
    await vi.waitFor(
      async () => expect((await only.peek("k", "free", { day: 0.001 })).shadowDenials).toEqual(["day"]),
      SOON,
    );
  });
});
