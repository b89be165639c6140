import Fastify from "fastify";
import { Redis } from "ioredis";
import { Registry } from "prom-client";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { freePort } from "../../bench/free-port.js";
import tollkeeper from "../../src/fastify/index.js";
import { createLimiter, type RedisStorage, type SharedLimiter, type Tiers } from "../../src/index.js";
import { registerLimiterMetrics } from "../../src/prometheus/index.js";
import { serve } from "../../src/service/serve.js";
import { redisForFile } from "../redis/server.js";
import { identify } from "./service.js";

const redis = await redisForFile();
let prefixes = 0;

/** A day, so that nothing refills while a test runs. */
const DAY_S = 86_400;
const TIERS: Tiers = {
  free: {
    limits: [
      { name: "bucket", type: "bucket", limit: 100, windowSeconds: DAY_S, burst: 1 },
      { name: "month", type: "quota", limit: 150, period: "month" },
    ],
  },
  pro: {
    limits: [
      { name: "bucket", type: "bucket", limit: 1000, windowSeconds: DAY_S, burst: 1 },
      { name: "month", type: "quota", limit: 1000, period: "month" },
    ],
  },
  partner: { limits: [] },
};

/** Replicas that share one set of keys, ready, with a deadline that a busy machine keeps. */
async function replicas(count: number, mode: "leased" | "exact", storage: Partial<RedisStorage> = {}) {
  const prefix = `redis-test-${prefixes++}`;
  const limiters = Array.from({ length: count }, () =>
    createLimiter({
      tiers: TIERS,
      storage: { type: "redis", url: redis.url, mode, prefix, timeoutMs: 5000, ...storage },
    }),
  );
  for (const limiter of limiters) onTestFinished(() => limiter.close());
  await Promise.all(limiters.map((limiter) => limiter.ready()));
  return limiters as [SharedLimiter, ...SharedLimiter[]];
}

async function admitted(limiters: readonly SharedLimiter[], calls: number, key = "acct:1"): Promise<number> {
  const decisions = Array.from({ length: calls }, (_, call) => limiters[call % limiters.length]?.consume(key, "free"));
  return (await Promise.all(decisions)).filter((decision) => decision?.allowed).length;
}

describe.each(["exact", "leased"] as const)("replicas that share Redis, %s", (mode) => {
  it("admit the limit together, and not a call more", async () => {
    const limiters = await replicas(3, mode);
    const sum = await admitted(limiters, 200);
    // What one replica holds, another's callers can't have.
    expect(sum).toBeGreaterThanOrEqual(mode === "exact" ? 100 : 95);
    expect(sum).toBeLessThanOrEqual(100);
    await vi.waitFor(async () => expect((await limiters[0].consume("acct:1", "free")).allowed).toBe(false));
    const denied = await limiters[0].consume("acct:1", "free");
    expect(denied).toMatchObject({ allowed: false, deniedBy: "bucket" });
    expect(denied.retryAfterMs).toBeGreaterThan(0);
  });

  it("keep what a key has spent when it changes its tier, and see a refund and a reset of each other", async () => {
    const [one, other] = await replicas(2, mode);
    await one.consumeMany(
      Array.from({ length: 100 }, () => "acct:1"),
      "free",
    );
    expect((await (other as SharedLimiter).consume("acct:1", "free")).allowed).toBe(false);
    const promoted = await (other as SharedLimiter).consume("acct:1", "pro", 0.5);
    expect(promoted.limits.map(({ remaining }) => Math.round(remaining))).toEqual([0, 900]);
    await one.reset("acct:1");
    await vi.waitFor(async () => expect((await other?.consume("acct:1", "free"))?.allowed).toBe(true));
    const spent = await one.consume("acct:2", "free", 100);
    expect((await other?.consume("acct:2", "free"))?.allowed).toBe(false);
    expect(spent.refund()).toBe(true);
    await vi.waitFor(async () => expect((await other?.consume("acct:2", "free"))?.allowed).toBe(true));
  });

  it("give back what they hold when they close", async () => {
    const [one, other] = await replicas(2, mode);
    for (let call = 0; call < 30; call++) await one.consume("acct:1", "free");
    await one.close();
    expect((await other?.peek("acct:1", "free"))?.limits[0]?.remaining).toBe(70);
    expect(() => one.consume("acct:1", "free")).toThrow(expect.objectContaining({ code: "ERR_LIMITER_CLOSED" }));
    expect(() => one.stats()).toThrow("the limiter is closed");
    await one.close();
    const unready = createLimiter({ tiers: TIERS, storage: { type: "redis", url: redis.url, mode } });
    const ready = expect(unready.ready()).rejects.toThrow(expect.objectContaining({ code: "ERR_LIMITER_CLOSED" }));
    await unready.close();
    await ready;
  });

  it("count per tier, and ask Redis nothing for an unlimited one", async () => {
    const [limiter] = await replicas(1, mode);
    expect(limiter.consume("acct:1", "partner", 7)).toMatchObject({ allowed: true, limits: [] });
    expect(limiter.peek("acct:1", "partner")).toMatchObject({ allowed: true });
    await admitted([limiter], 101);
    const { engine, tiers, keys, store } = limiter.stats();
    expect({ engine, keys, tiers }).toEqual({
      engine: "redis",
      keys: 1,
      tiers: [
        { tier: "free", allowed: 100, denied: { bucket: 1 } },
        { tier: "pro", allowed: 0, denied: {} },
        { tier: "partner", allowed: 1, denied: {} },
      ],
    });
    expect(store).toMatchObject({ state: "ready", replicas: 1, unreconciled: 0 });
  });

  it("go by other tiers from the next decision on", async () => {
    const [limiter] = await replicas(1, mode);
    await admitted([limiter], 100);
    const limit = { name: "bucket", type: "bucket", limit: 200, windowSeconds: DAY_S, burst: 1 } as const;
    limiter.reload({ free: { limits: [limit] } });
    expect(limiter.tiers).toEqual({ free: { limits: [limit] } });
    expect((await limiter.consume("acct:2", "free")).limits[0]?.remaining).toBe(199);
    expect(() => limiter.reload({})).toThrow(expect.objectContaining({ code: "ERR_TIERS_INVALID" }));
  });

  it("decide calls under the tier that they came with, whatever comes in while they wait", async () => {
    const [limiter] = await replicas(1, mode);
    const both = await Promise.all([limiter.consume("acct:1", "free"), limiter.consume("acct:1", "pro")]);
    expect(both.map(({ tier, allowed }) => [tier, allowed])).toEqual([
      ["free", true],
      ["pro", true],
    ]);
    const before = limiter.consume("acct:2", "free", 100);
    await new Promise((resolve) => setImmediate(resolve)); // Now it is on its way.
    limiter.reload(TIERS);
    const after = limiter.consume("acct:2", "free");
    expect(await before).toMatchObject({ allowed: true });
    expect(await after).toMatchObject({ allowed: false, deniedBy: "bucket" });
  });

  it("let nobody pay for a key whose name is somebody else's, and ask about that one now and then", async () => {
    const [limiter] = await replicas(1, mode, { prefix: `foreign-${mode}` });
    const client = new Redis(redis.port);
    onTestFinished(() => client.disconnect());
    await client.hset(`{foreign-${mode}:hash}`, "field", "1");
    await client.set(`{foreign-${mode}:string}`, "1");
    const count = (outcome: string) => limiter.stats().store.commands.get(outcome) ?? 0;
    const decisions = await limiter.consumeMany(["first", "hash", "string", "last"], "free");
    expect(decisions.every(({ allowed }) => allowed)).toBe(true);
    expect([count("take ok"), count("take failed")]).toEqual([2, 2]);

    for (let call = 0; call < 100; call++) await limiter.consumeMany(["string", `fine-${call}`], "free");
    const [failed, beaten] = [count("adjust failed"), count("heartbeat ok")];
    // Others go on, or the circuit would open.
    for (let call = 0; count("heartbeat ok") < beaten + 2; call++) await limiter.consume(`more-${call}`, "free");
    expect(count("adjust failed") - failed).toBeLessThan(50);
  });

  it("refuse misuse before they ask", async () => {
    const [limiter] = await replicas(1, mode);
    const code = (code: string) => expect.objectContaining({ code });
    expect(() => limiter.consume("", "free")).toThrow(code("ERR_KEY_INVALID"));
    expect(() => limiter.consume("a", "none")).toThrow(code("ERR_TIER_UNKNOWN"));
    expect(() => limiter.consume("a", "free", -1)).toThrow(code("ERR_COST_INVALID"));
    expect(() => limiter.consume("a", "free", 101)).toThrow(code("ERR_COST_EXCEEDS_CAPACITY"));
    expect(() => limiter.consumeMany(["a", "b"], "free", [1, 101])).toThrow(code("ERR_COST_EXCEEDS_CAPACITY"));
    expect((await limiter.peek("a", "free")).limits[0]?.remaining).toBe(100);
    expect(limiter.maxCost("free")).toBe(100);
  });
});

it("says how the store fares in metrics without a key in them", async () => {
  const [limiter] = await replicas(1, "leased");
  const registry = new Registry();
  registerLimiterMetrics(registry, limiter);
  await admitted([limiter], 101);
  const text = await registry.metrics();
  expect(text).toMatch(/tollkeeper_store_commands_total\{command="take",outcome="ok"\} [1-9]/);
  expect(text).toMatch(/tollkeeper_store_seconds_count [1-9]/);
  expect(text).toContain("tollkeeper_store_circuit_open 0");
  expect(text).toContain("tollkeeper_store_replicas 1");
  expect(text).toContain("tollkeeper_unreconciled 0");
  // 1,000 tokens a day, over a lease of a second.
  expect(Number(/^tollkeeper_worst_case_overshoot (\S+)/m.exec(text)?.[1])).toBeCloseTo(1000 / DAY_S, 6);
  expect(text).toMatch(/tollkeeper_lease_outstanding \d/);
  expect(text).not.toContain("acct:");
});

describe("a limiter whose Redis is not there", () => {
  const nowhere = async (onOutage: RedisStorage["onOutage"]) => {
    const url = `redis://127.0.0.1:${await freePort()}`;
    const told: unknown[] = [];
    const storage = { type: "redis", url, timeoutMs: 20, onOutage } as RedisStorage;
    const limiter = createLimiter({ tiers: TIERS, storage, onStorageError: (error) => told.push(error) });
    onTestFinished(() => limiter.close());
    return { limiter, told };
  };

  it("says so when it is to be ready, and decides by its policy", async () => {
    const { limiter, told } = await nowhere("share");
    await expect(limiter.ready(100)).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
    expect(await admitted([limiter], 150)).toBe(100);
    expect(String(told[0])).toContain("can't be reached");
  });

  it("lets everybody in under open, and stops at a quota that is shared", async () => {
    const { limiter } = await nowhere({ bucket: "open" });
    expect(await admitted([limiter], 200)).toBe(150);
  });

  it("answers 503 under closed, and never 429", async () => {
    const { limiter } = await nowhere("closed");
    expect(() => limiter.consume("a", "free")).toThrow(expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" }));
    const app = Fastify();
    onTestFinished(() => app.close());
    await app.register(tollkeeper, { limiter, identify: () => ({ key: "acct:1", tier: "free" }) });
    app.get("/", async () => "in");
    const { statusCode, headers, body } = await app.inject("/");
    expect([statusCode, headers["retry-after"]]).toEqual([503, "1"]);
    expect(JSON.parse(body).type).toContain("#temporary-reduced-capacity");
  });
});

describe.each(["exact", "leased"] as const)("the plugin over Redis, %s", (mode) => {
  async function open() {
    const [limiter] = await replicas(1, mode);
    const app = Fastify();
    onTestFinished(() => app.close());
    await app.register(tollkeeper, { limiter, identify: () => ({ key: "acct:1", tier: "free" }) });
    app.get("/", async () => "in");
    app.get("/broken", async () => {
      throw new Error("broken");
    });
    const total = ({ body }: { body: unknown }) => Number(body);
    app.post("/batch", { config: { toll: { total } } }, async () => "done");
    return { app, limiter };
  }

  it("says what is left, and denies with 429", async () => {
    const { app, limiter } = await open();
    const first = await app.inject("/");
    expect(first.statusCode).toBe(200);
    expect(first.headers["ratelimit"]).toMatch(/^"bucket";r=99;t=\d+, "month";r=149;t=\d+$/);
    await limiter.consumeMany(
      Array.from({ length: 99 }, () => "acct:1"),
      "free",
    );
    const last = await app.inject("/");
    expect([last.statusCode, last.json().code]).toEqual([429, "rate_limit_exceeded"]);
  });

  it("gives the quota back to a call that fails, and the rate nothing", async () => {
    const { app, limiter } = await open();
    const { statusCode, headers } = await app.inject("/broken");
    expect(statusCode).toBe(500);
    // As it was when the call was charged.
    expect(headers["ratelimit"]).toMatch(/^"bucket";r=99;t=\d+, "month";r=149;/);
    const month = async () => (await limiter.peek("acct:1", "free")).limits.find(({ name }) => name === "month");
    await vi.waitFor(async () => expect((await month())?.remaining).toBe(150), { timeout: 5000 });
  });

  it("charges a batch whole once its body is known", async () => {
    const { app } = await open();
    const post = (payload: number) =>
      app.inject({
        method: "POST",
        url: "/batch",
        headers: { "content-type": "application/json" },
        payload: `${payload}`,
      });
    expect((await post(40)).headers["ratelimit"]).toMatch(/^"bucket";r=60;/);
    expect((await post(101)).statusCode).toBe(422);
    expect((await post(70)).statusCode).toBe(429);
  });
});

it("turns the app to Redis by one variable, and two of them share", async () => {
  const start = async () => {
    const lines: string[] = [];
    const environment = {
      HOST: "127.0.0.1",
      PORT: "0",
      RATE_LIMIT_STORAGE: "memory",
      RATE_LIMIT_REDIS_URL: redis.url,
      RATE_LIMIT_REDIS_PREFIX: "app",
      RATE_LIMIT_REDIS_TIMEOUT_MS: "5000",
      RATE_LIMIT_MODE: "exact",
      RATE_LIMIT_LOG_LEVEL: "silent",
    };
    const service = await serve({ environment, print: (line) => lines.push(line), logStream: { write: () => true } });
    onTestFinished(() => service.stop());
    await vi.waitFor(async () => expect((await service.app.inject("/ready")).statusCode).toBe(200));
    return { ...service, lines };
  };
  const services = [await start(), await start()];
  expect(services[0]?.lines.join("\n")).toContain(`${redis.url}, exact`);
  const calls = Array.from({ length: 60 }, (_, call) => services[call % 2]?.app.inject(identify()));
  const answers = (await Promise.all(calls)).map((answer) => answer?.statusCode);
  expect(answers.filter((status) => status === 200)).toHaveLength(30);
  expect(answers.filter((status) => status === 429)).toHaveLength(30);
});

it("does not start with a Redis that can't be meant", async () => {
  const environment = { RATE_LIMIT_STORAGE: "memory", RATE_LIMIT_REDIS_URL: "http://:secret@redis" };
  const started = serve({ environment, print: () => undefined, logStream: { write: () => true } });
  await expect(started).rejects.toMatchObject({
    code: "ERR_CONFIG_INVALID",
    message: expect.stringMatching(/^RATE_LIMIT_REDIS_URL can't be used: its scheme is http:(?!.*secret)/s),
  });
});
