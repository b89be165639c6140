import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createLimiter, type SharedLimiter, type Tiers } from "../../src/index.js";
import { nameOf } from "../../src/store/wire.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { type RedisServer, redisForFile } from "../redis/server.js";
import { ENGINES, NOON } from "../unit/limiter/engines.js";
import { ATTEMPTS, type Attempt, checkAttempts, HOUR_MS, pauses } from "../unit/limiter/login.js";

const mild = { name: "attempts", type: "bucket", limit: 5, windowSeconds: 4500, burst: 1 } as const;
const TIERS = {
  login: { limits: [ATTEMPTS] },
  mild: { limits: [mild] },
  both: { limits: [ATTEMPTS, { name: "month", type: "quota", limit: 4, period: "month" }] },
} satisfies Tiers;

let redis: RedisServer;
let client: Redis;
beforeAll(async () => {
  redis = await redisForFile();
  client = new Redis(redis.port);
});
afterAll(() => client.disconnect());

describe.each(ENGINES)("blocks over Redis, with leases of the %s engine", (engine) => {
  /** Replicas with one clock, ready. */
  async function replicas(count: number) {
    const clock = { now: NOON };
    const prefix = newPrefix();
    const storage = { type: "redis", url: redis.url, prefix, timeoutMs: 5000 } as const;
    const limiters = Array.from({ length: count }, () =>
      createLimiter({ tiers: TIERS, engine, storage, clock: () => clock.now }),
    );
    for (const limiter of limiters) onTestFinished(() => limiter.close());
    await Promise.all(limiters.map((limiter) => limiter.ready(60_000)));
    return { limiters: limiters as [SharedLimiter, SharedLimiter, ...SharedLimiter[]], clock, prefix };
  }

  it.each([0, 1, 1000, 60_000, 100_000, 179_000])(
    "an attacker who comes each %i ms gets five attempts from two replicas, and an hour of rest",
    async (pauseMs) => {
      const { limiters, clock } = await replicas(2);
      let passed = 0;
      for (let attempt = 0; attempt < 40 && clock.now < NOON + HOUR_MS; attempt++) {
        const { allowed } = (await limiters[attempt % 2]?.consume("ada", "login")) ?? { allowed: true };
        if (allowed) passed++;
        clock.now += pauseMs;
      }
      expect(passed).toBe(5);
    },
  );

  it("begins and is asked only where a call costs something of that limit", async () => {
    const { limiters, clock } = await replicas(2);
    const consume = async (call: number, cost: Record<string, number>) =>
      limiters[call % 2 === 0 ? 0 : 1].consume("eve", "both", cost);
    expect(await consume(0, { attempts: 5 })).toMatchObject({ allowed: true });
    expect(await consume(1, { month: 4.001 }).catch(({ code }) => code)).toBe("ERR_COST_EXCEEDS_CAPACITY");
    expect(await consume(1, { month: 3 })).toMatchObject({ allowed: true });
    expect(await consume(0, { month: 2 })).toMatchObject({ allowed: false, deniedBy: "month" });
    expect(await consume(1, { attempts: 1 })).toMatchObject({ deniedBy: "attempts", retryAfterMs: HOUR_MS });
    clock.now += 60_000;
    expect(await consume(0, { month: 1 })).toMatchObject({ allowed: true });
    expect(await consume(1, { attempts: 1 })).toMatchObject({ deniedBy: "attempts", retryAfterMs: HOUR_MS - 60_000 });
  });

  it("attempts at once at two replicas get five among them, and both deny from then on", async () => {
    const { limiters, clock } = await replicas(2);
    const decisions = await Promise.all(
      Array.from({ length: 40 }, (_, call) => limiters[call % 2]?.consume("ada", "login")),
    );
    expect(decisions.filter((decision) => decision?.allowed).length).toBe(5);
    clock.now += HOUR_MS - 1;
    for (const limiter of limiters) {
      expect(await limiter.consume("ada", "login")).toMatchObject({
        allowed: false,
        retryAfterMs: 1,
        isProvisional: false,
      });
    }
    clock.now += 1;
    for (let call = 0; call < 5; call++)
      expect((await limiters[call % 2]?.consume("ada", "login"))?.allowed).toBe(true);
  });

  it("however attempts are timed over two replicas, never six pass in a quarter of an hour, and a denial is an hour of rest", async () => {
    const { limiters, clock } = await replicas(2);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(pauses, fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }), async (pauses, route) => {
        const key = `ada-${run++}`;
        const attempts: Attempt[] = [];
        for (const [index, pause] of pauses.entries()) {
          clock.now += pause;
          const { allowed, retryAfterMs } = await limiters[route[index] ? 0 : 1].consume(key, "login");
          attempts.push({ atMs: clock.now, allowed, retryAfterMs });
        }
        checkAttempts(attempts);
      }),
      { numRuns: 40, endOnFailure: true },
    );
  }, 120_000);

  it("a reset, a refund and a peek of another replica are what they are in one process", async () => {
    const { limiters, clock } = await replicas(2);
    const [one, other] = limiters;
    const first = await one.consume("ada", "login", 5);
    expect(await other.peek("ada", "login")).toMatchObject({ allowed: false, retryAfterMs: HOUR_MS });
    clock.now += 900_000;
    expect((await other.consume("ada", "login")).allowed).toBe(true);
    expect((await other.consume("ada", "login")).retryAfterMs).toBe(HOUR_MS);
    expect(first.refund()).toBe(true);
    await one.reset("nobody"); // What was told before it has arrived.
    expect(await one.consume("ada", "login")).toMatchObject({ retryAfterMs: HOUR_MS, limits: [{ remaining: 0 }] });
    await one.reset("ada");
    await expect.poll(async () => (await other.consume("ada", "login", 0.001)).allowed).toBe(true);
  });

  it("a denial that is remembered hides no block that another call begins", async () => {
    const { limiters } = await replicas(2);
    const [one, other] = limiters;
    expect((await one.consume("ada", "both", 3)).allowed).toBe(true);
    // The quota alone denies, and is believed here.
    expect((await one.consume("ada", "both", 2)).deniedBy).toBe("month");
    expect((await one.consume("ada", "both", 4)).deniedBy).toBe("month");
    const attempts = (await other.peek("ada", "login", 0)).limits[0];
    expect(attempts).toMatchObject({ remaining: 0, resetMs: HOUR_MS });
  });

  it("a tier that blocks is decided by Redis in leased mode too, and others of the same limits go on with leases", async () => {
    const fast = { name: "attempts", type: "bucket", limit: 100_000, windowSeconds: 1, burst: 1 } as const;
    const [one] = await openReplicas(redis.url, times(2, { login: { limits: [ATTEMPTS] }, fast: { limits: [fast] } }));
    for (let call = 0; call < 5; call++) expect(one.consume("ada", "login")).toBeInstanceOf(Promise);
    const decided = () => one.consume("bob", "fast");
    await expect
      .poll(async () => {
        for (let call = 0; call < 50; call++) await decided();
        return decided() instanceof Promise;
      })
      .toBe(false);
    // 100,000 a second for a second, and nothing of the tier that is exact.
    expect(one.stats().store.worstCaseOvershoot).toBe(100_000);
  });

  it("what is held of the tier that a caller comes from is spent before a block begins", async () => {
    const attempts = { ...mild, limit: 200, windowSeconds: 86_400 };
    const opened = (blockSeconds?: number) => ({ login: { limits: [{ ...attempts, blockSeconds }] } });
    const storage = { type: "redis", url: redis.url, prefix: newPrefix(), timeoutMs: 5000 } as const;
    const limiter = createLimiter({ tiers: opened(), engine, storage, clock: () => NOON });
    onTestFinished(() => limiter.close());
    await limiter.ready(60_000);
    for (let call = 0; call < 100; call++) await limiter.consume("k", "login");
    expect(limiter.stats().store.leaseOutstanding).toBeGreaterThan(0);
    limiter.reload(opened(60));
    for (let call = 0; call < 100; call++) expect((await limiter.consume("k", "login")).allowed, `${call}`).toBe(true);
    expect(await limiter.consume("k", "login")).toMatchObject({ retryAfterMs: 60_000, isProvisional: false });
  });

  it("the time that is left of a block goes on under another tier", async () => {
    const { limiters, clock } = await replicas(2);
    const [one, other] = limiters;
    for (let call = 0; call < 6; call++) await one.consume("ada", "login");
    clock.now += 600_000;
    const denied = await other.consume("ada", "mild");
    expect(denied).toMatchObject({ allowed: false, retryAfterMs: 3_000_000 + 900_000 });
  });

  it("what stands in Redis can be read by a script that knows no blocks, and is gone with the block", async () => {
    const { limiters, clock, prefix } = await replicas(2);
    const [one] = limiters;
    for (let call = 0; call < 6; call++) await one.consume("ada", "login");
    const name = nameOf(prefix, "ada");
    const { "@r:attempts": rule = "", "@b:attempts": block, attempts } = await client.hgetall(name);
    const [, capacity = 0, perMs = 0] = rule.split(" ").map(Number);
    expect(rule).toMatch(/^b \d+ \d+ \d+$/);
    expect(block).toBe(`${NOON + HOUR_MS} 0`);
    expect(Number(attempts)).toBe(capacity + HOUR_MS * perMs);
    clock.now += HOUR_MS;
    expect((await one.consume("ada", "login")).allowed).toBe(true);
    expect(Object.keys(await client.hgetall(name))).not.toContain("@b:attempts");

    // Written by one that knows none, after the end of a block: what it says holds.
    await client.hset(name, { attempts: String(capacity), "@b:attempts": `${NOON} 0` });
    expect((await one.consume("ada", "login")).allowed).toBe(false);
  });

  it("a hash with a block that nobody wrote is no hash of ours", async () => {
    const { limiters, prefix } = await replicas(2);
    const [one] = limiters;
    await one.consume("ada", "login");
    await client.hset(nameOf(prefix, "ada"), "@b:attempts", "soon");
    await one.consume("ada", "login");
    expect(one.stats().store.commands.get("take failed")).toBeGreaterThan(0);
  });

  it("a block is known to the replicas when the server has lost it", async () => {
    const { limiters, prefix, clock } = await replicas(2);
    const [one] = limiters;
    for (let call = 0; call < 6; call++) await one.consume("ada", "login");
    clock.now += 600_000;
    // What a server that takes over finds: an earlier state, or none, and another epoch.
    await client.hset(nameOf(prefix, "ada"), { "@e": "gone:1", attempts: "0" });
    await client.hdel(nameOf(prefix, "ada"), "@b:attempts");
    clock.now += 10_000;
    await expect.poll(async () => (await one.consume("ada", "login")).retryAfterMs).toBe(HOUR_MS - 610_000);
  });
});
