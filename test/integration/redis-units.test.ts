import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type SharedLimiter, type TierSpec } from "../../src/index.js";
import { readConfiguration } from "../../src/service/config/read.js";
import { serve } from "../../src/service/serve.js";
import { openKeys } from "../../src/service/storage.js";
import { Relay } from "../redis/relay.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";
import { Random } from "../simulation/random.js";

vi.setConfig({ testTimeout: 60_000 });
const redis = await redisForFile();
const MODES = ["leased", "exact"] as const;
const LEASE_MS = 1000;
const DAY_S = 86_400;
const SOON = { timeout: 10_000 };
/** How long, in ms, callers call; longer only while nobody has been denied. */
const RUN_MS = 2500;
const MOST_MS = 30_000;
/** How long, in ms, a caller rests that was denied, so that all get their turns. */
const REST_MS = 2;

const perMinute = (limit: number): TierSpec => ({
  limits: [{ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1 }],
});

/** Four callers alternate, without a pause, until they were denied, and for a while; says what was let in, and how long it took. */
async function callers(call: (turn: number) => Promise<boolean>) {
  const start = performance.now();
  const counts = { admitted: 0, denied: 0 };
  const elapsed = () => performance.now() - start;
  const caller = async () => {
    for (let turn = 0; elapsed() < RUN_MS || (counts.denied === 0 && elapsed() < MOST_MS); turn = 1 - turn) {
      const isAllowed = await call(turn);
      if (isAllowed) counts.admitted++;
      else counts.denied++;
      await new Promise((resolve) => (isAllowed ? setImmediate(resolve) : setTimeout(resolve, REST_MS)));
    }
  };
  await Promise.all(times(4, undefined).map(caller));
  return { ...counts, tookMs: elapsed() };
}

it("in a rollout no more passes than the larger limit alone allows, plus its bound", async () => {
  const rollouts = [
    [100, 1000],
    [1000, 100],
    [100, 200],
    [1000, 1200],
    [100, 120],
  ] as const;
  const cells = rollouts.flatMap((limits) => MODES.map((mode) => ({ limits, mode })));
  const rows = await Promise.all(
    cells.map(async ({ limits, mode }) => {
      const tiers = limits.map((limit) => ({ free: perMinute(limit) }));
      const replicas = await openReplicas(redis.url, tiers, { mode, leaseMs: LEASE_MS });
      const { admitted, denied, tookMs } = await callers(async (turn) => {
        const replica = replicas[turn] as SharedLimiter;
        return (await replica.consume("acct:1", "free")).allowed;
      });
      const larger = Math.max(...limits);
      const bound = mode === "leased" ? (larger * LEASE_MS) / 60_000 : 0;
      return { limits, mode, admitted, denied, most: larger + (larger * tookMs) / 60_000 + bound };
    }),
  );
  const text = JSON.stringify(rows);
  for (const { limits, admitted, denied, most } of rows) {
    expect(admitted, text).toBeLessThanOrEqual(most);
    expect(admitted, text).toBeGreaterThanOrEqual(Math.min(...limits));
    expect(denied, text).toBeGreaterThan(0);
  }
}, 90_000);

it("a key that changes its tier back and forth on one replica gets what it gets in memory", async () => {
  const tiers = { free: perMinute(100), pro: perMinute(1000) };
  const relay = await Relay.start(redis.port);
  relay.delayMs = 2; // Or nothing would be under way when another tier comes.
  onTestFinished(() => relay.stop());
  const random = new Random(1);
  const turns = { "one, then the other": (turn: number) => turn === 0, "at random": () => random.chance(0.5) };
  const rows = await Promise.all(
    MODES.flatMap((mode) =>
      Object.entries(turns).map(async ([how, isFree]) => {
        const local = createLimiter({ tiers });
        onTestFinished(() => local.close());
        const [shared] = await openReplicas(relay.url, [tiers], { mode, leaseMs: LEASE_MS });
        const keys = times(8, "acct").map((name, index) => `${name}:${index}`);
        let inMemory = 0;
        let admitted = 0;
        await callers(async (turn) => {
          const isAllowed = [...keys, ...keys, ...keys].map(async (key) => {
            const tier = isFree(turn) ? "free" : "pro";
            if (local.consume(key, tier).allowed) inMemory++;
            return (await shared.consume(key, tier)).allowed;
          });
          const allowed = (await Promise.all(isAllowed)).filter(Boolean).length;
          admitted += allowed;
          return allowed > 0;
        });
        return { mode, how, admitted, inMemory };
      }),
    ),
  );
  const text = JSON.stringify(rows);
  for (const { admitted, inMemory } of rows) {
    expect(admitted, text).toBeLessThanOrEqual(1.05 * inMemory);
    expect(admitted, text).toBeGreaterThanOrEqual(0.9 * inMemory);
  }
}, 90_000);

it("an account with an API key of one tier and as a consumer of another gets what the larger allows", async () => {
  const secret = "a secret of the gateway";
  const pro = 200;
  const environment = {
    HOST: "127.0.0.1",
    PORT: "0",
    RATE_LIMIT_REDIS_URL: redis.url,
    RATE_LIMIT_REDIS_PREFIX: newPrefix(),
    RATE_LIMIT_REDIS_TIMEOUT_MS: "5000",
    RATE_LIMIT_LEASE_MS: String(LEASE_MS),
    RATE_LIMIT_LOG_LEVEL: "silent",
    RATE_LIMIT_DEMO_KEYS: "never",
    RATE_LIMIT_GATEWAY_SECRET: secret,
    RATE_LIMIT_FREE_MINUTE_LIMIT: "20",
    RATE_LIMIT_PRO_MINUTE_LIMIT: String(pro),
    RATE_LIMIT_BURST_MULTIPLIER: "1",
  };
  const directory = await openKeys(readConfiguration(environment).config);
  await directory.ready(10_000);
  await directory.keys.accounts.setTier("caller", "free");
  const { key } = await directory.keys.create("test", { account: "caller", scopes: ["fingerprint"] });
  await directory.close();
  const services = await Promise.all(
    times(2, environment).map(async (environment) => {
      const service = await serve({ environment, print: () => undefined, logStream: { write: () => true } });
      onTestFinished(() => service.stop());
      await vi.waitFor(async () => expect((await service.app.inject("/ready")).statusCode).toBe(200), SOON);
      return service;
    }),
  );
  const identities = [
    { authorization: `Bearer ${key}` },
    { "x-gateway-auth": secret, "x-consumer-custom-id": "caller", "x-consumer-groups": "pro" },
  ];
  const statuses = new Set<number | undefined>();
  const { admitted, denied, tookMs } = await callers(async (turn) => {
    const answer = await services[turn]?.app.inject({
      method: "POST",
      url: "/v1/identify",
      headers: identities[turn] ?? {},
      payload: { fingerprint: { http: { headers: [["user-agent", "curl/8.5.0"]] } } },
    });
    statuses.add(answer?.statusCode);
    return answer?.statusCode === 200;
  });
  expect([...statuses].sort()).toEqual([200, 429]);
  expect(denied).toBeGreaterThan(0);
  expect(admitted).toBeLessThanOrEqual(pro + (pro * (tookMs + LEASE_MS)) / 60_000);
}, 90_000);

const perDay = (limit: number): TierSpec => ({
  limits: [
    { name: "bucket", type: "bucket", limit, windowSeconds: DAY_S, burst: 1 },
    { name: "month", type: "quota", limit: 10 * limit, period: "month" },
  ],
});

/** A call of 100 under pro, 81 under free, and a correction of the first: the bucket holds 9 of 100 before. */
const CORRECTIONS = [
  { what: "a refund of 100", correct: 0, bucket: 19, used: 81 },
  { what: "a refund of a part", correct: 40, bucket: 15, used: 121 },
  { what: "a charge of 50 more", correct: 150, bucket: 4, used: 231 },
];

const where = [
  ...MODES.flatMap((mode) => [`${mode}, one replica`, `${mode}, another replica`]),
  ...["native", "js"],
] as const;

it.each(where.flatMap((engine) => CORRECTIONS.map((correction) => ({ engine, ...correction }))))(
  "$what tokens of pro is a tenth of the fraction in free: $engine",
  async ({ engine, correct, bucket, used }) => {
    const tiers = { free: perDay(100), pro: perDay(1000) };
    const open = async () => {
      if (engine === "native" || engine === "js") {
        const limiter = createLimiter({ tiers, engine });
        onTestFinished(() => limiter.close());
        return [limiter, limiter];
      }
      const mode = engine.startsWith("leased") ? "leased" : "exact";
      const [one, other] = await openReplicas(redis.url, times(2, tiers), { mode, leaseMs: 200 });
      return engine.endsWith("one replica") ? [one, one] : [one, other ?? one];
    };
    const [first, second] = await open();
    if (first === undefined || second === undefined) throw new Error("nothing is open");
    const holds = async () => {
      const [bucket, month] = (await second.peek("acct:1", "free", 0)).limits;
      return [Math.round(bucket?.remaining ?? 0), Math.round(month === undefined ? 0 : 1000 - month.remaining)];
    };
    const decision = await first.consume("acct:1", "pro", 100);
    await second.consume("acct:1", "free", 81);
    await vi.waitFor(async () => expect(await holds()).toEqual([9, 181]), SOON);
    decision.settle(correct);
    await vi.waitFor(async () => expect(await holds()).toEqual([bucket, used]), SOON);
  },
);
