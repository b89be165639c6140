import { Redis } from "ioredis";
import { Registry } from "prom-client";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import {
  createLimiter,
  type LimitSpec,
  type RedisStorage,
  type SharedLimiter,
  type TollkeeperError,
} from "../../src/index.js";
import { registerLimiterMetrics } from "../../src/prometheus/index.js";
import { nameOf } from "../../src/store/wire.js";
import { RedisCluster } from "../redis/cluster.js";
import { forFile, redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const cluster = await forFile(RedisCluster.start());
const client = new Redis(redis.port);
afterAll(() => client.disconnect());
let prefixes = 0;
const nextPrefix = () => `kinds-${prefixes++}`;

/** The same name, counted in three ways. */
const KINDS: Record<string, LimitSpec> = {
  bucket: { name: "toll", type: "bucket", limit: 100, windowSeconds: 60, burst: 1 },
  "day quota": { name: "toll", type: "quota", limit: 100, period: "day" },
  "month quota": { name: "toll", type: "quota", limit: 100, period: "month" },
};
const MIDDAY = Date.UTC(2026, 5, 15, 12);

interface App {
  limiter: SharedLimiter;
  told: TollkeeperError[];
}

/** An app of its own, with a limit of that kind, or these. */
async function app(kind: LimitSpec | string, storage: Partial<RedisStorage>, clock = () => MIDDAY): Promise<App> {
  const told: TollkeeperError[] = [];
  const limit = typeof kind === "string" ? (KINDS[kind] as LimitSpec) : kind;
  const limiter = createLimiter({
    tiers: { t: { limits: [limit] } },
    clock,
    storage: { type: "redis", url: redis.url, timeoutMs: 5000, ...storage },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  await limiter.ready();
  return { limiter, told };
}

const remaining = async ({ limiter }: App, key = "acct:42") => (await limiter.peek(key, "t", 0)).limits[0]?.remaining;
const failed = ({ limiter }: App) => limiter.stats().store.commands.get("take failed") ?? 0;

const pairs = Object.keys(KINDS).flatMap((first) => Object.keys(KINDS).map((second) => [first, second] as const));

describe.each(["exact", "leased"] as const)("two apps of one prefix, %s", (mode) => {
  it.each(pairs.filter(([first, second]) => first !== second))(
    "are told that a name is a %s in one and a %s in the other, and neither loses what it has counted",
    async (first, second) => {
      const prefix = nextPrefix();
      const one = await app(first, { prefix, mode });
      const other = await app(second, { prefix, mode });
      await one.limiter.consume("acct:42", "t", 40);
      for (let call = 0; call < 5; call++) expect((await other.limiter.consume("acct:42", "t", 10)).allowed).toBe(true);

      const refusals = other.told.filter(({ message }) => message.includes("counted"));
      expect(refusals).toMatchObject([{ code: "ERR_STORE_CONFLICT" }]);
      const { message } = refusals[0] as TollkeeperError;
      expect(message).toContain(`limit toll is a ${second} here, and counted as a ${first} in a key`);
      expect(message).toContain(`prefix ${prefix}`);
      expect(message).not.toContain("acct");
      expect(failed(other)).toBeGreaterThan(0);
      // By its outage policy: half of the limit, since there are two.
      expect((await other.limiter.consume("acct:42", "t", 1)).allowed).toBe(false);
      expect(other.limiter.isReady).toBe(true);
      // What only one of them calls is shared as ever.
      expect((await other.limiter.consume("acct:7", "t", 90)).allowed).toBe(true);
      expect((await one.limiter.consume("acct:8", "t", 90)).allowed).toBe(true);

      expect(one.told.filter(({ message }) => message.includes("counted"))).toEqual([]);
      expect(await remaining(one)).toBe(60);
      expect(await client.hget(nameOf(prefix, "acct:42"), "@r:toll")).toMatch(first === "bucket" ? /^b / : /^q /);
    },
  );

  it("refuse under the policy closed, for that key alone, and count it", async () => {
    const prefix = nextPrefix();
    const one = await app("bucket", { prefix, mode });
    const other = await app("month quota", { prefix, mode, onOutage: "closed" });
    await one.limiter.consume("acct:42", "t");
    const refused = async () => other.limiter.consume("acct:42", "t");
    for (let call = 0; call < 10; call++)
      await expect(refused()).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
    expect((await other.limiter.consume("acct:7", "t")).allowed).toBe(true);
    const registry = new Registry();
    registerLimiterMetrics(registry, other.limiter);
    const text = await registry.metrics();
    expect(text).toMatch(/tollkeeper_store_commands_total\{command="take",outcome="failed"\} [1-9]/);
    expect(text).toContain("tollkeeper_store_circuit_open 0");
  });

  it("go on together with a limit of another name, and with a key that was reset", async () => {
    const prefix = nextPrefix();
    const before = await app("day quota", { prefix, mode });
    await before.limiter.consume("acct:42", "t", 40);
    await before.limiter.close();

    const renamed = await app({ ...(KINDS["bucket"] as LimitSpec), name: "rate" }, { prefix, mode });
    await renamed.limiter.consume("acct:42", "t", 30);
    expect(renamed.told).toEqual([]);

    const after = await app("bucket", { prefix, mode });
    await after.limiter.consume("acct:42", "t", 5);
    expect(after.told.map(({ code }) => code)).toEqual(["ERR_STORE_CONFLICT"]);
    await after.limiter.reset("acct:42");
    await after.limiter.consume("acct:42", "t", 50);
    await expect.poll(() => after.limiter.stats().store.unreconciled).toBe(0);
    expect(await client.hget(nameOf(prefix, "acct:42"), "@r:toll")).toMatch(/^b /);
  });

  it("pass a name on to another kind once nothing is spent of it", async () => {
    const prefix = nextPrefix();
    let nowMs = MIDDAY;
    const clock = () => nowMs;
    const before = await app("bucket", { prefix, mode }, clock);
    await before.limiter.consume("acct:42", "t", 50);
    await before.limiter.close();
    nowMs += 30_000;
    const after = await app("day quota", { prefix, mode }, clock);
    await after.limiter.consume("acct:42", "t", 25);
    await expect.poll(() => after.limiter.stats().store.unreconciled).toBe(0);
    expect(after.told).toEqual([]);
    await after.limiter.close();
    expect(Number(await client.hget(nameOf(prefix, "acct:42"), "toll"))).toBe(25_000);

    // The quota's period ends: then it can be a bucket again.
    const again = await app("bucket", { prefix, mode }, clock);
    await again.limiter.consume("acct:42", "t", 10);
    expect(again.told.map(({ code }) => code)).toEqual(["ERR_STORE_CONFLICT"]);
    nowMs += 86_400_000;
    await again.limiter.close();
    const next = await app("bucket", { prefix, mode }, clock);
    expect(await remaining(next)).toBe(100);
    await next.limiter.consume("acct:42", "t", 30);
    expect(await remaining(next)).toBe(70);
    expect(next.told).toEqual([]);
  });

  it("are no conflict where a bucket or a quota has another size: the fraction, or the amount, is kept", async () => {
    const prefix = nextPrefix();
    const sizes = (limit: number): LimitSpec => ({
      name: "toll",
      type: "bucket",
      limit,
      windowSeconds: 60 * limit,
      burst: 1,
    });
    const one = await app(sizes(100), { prefix, mode });
    const other = await app(sizes(1000), { prefix, mode });
    await one.limiter.consume("acct:42", "t", 50);
    await other.limiter.consume("acct:42", "t", 0.001);
    expect(await remaining(other)).toBeCloseTo(500, 1);
    expect([...one.told, ...other.told]).toEqual([]);
  });
});

const MONTH_FROM_15: LimitSpec = { name: "toll", type: "quota", limit: 100, period: "month", anchorDay: 15 };
const clashes = [
  { first: "bucket", second: "day quota", says: /limit toll is a day quota here, and a bucket in another replica/ },
  { first: "day quota", second: "bucket", says: /limit toll is a bucket here, and a day quota in another replica/ },
  {
    first: "month quota",
    second: MONTH_FROM_15,
    says: /limit toll is a month quota from day 15 here, and a month quota from day 1 in another replica/,
  },
];
it.each(clashes)(
  "an app is told when it opens what another means by a name: $first",
  async ({ first, second, says }) => {
    const prefix = nextPrefix();
    const one = await app(first, { prefix });
    const other = await app(second, { prefix });
    expect(other.told).toMatchObject([{ code: "ERR_STORE_CONFLICT", message: expect.stringMatching(says) }]);
    // The one that was there first hears of it with its next heartbeat.
    await expect.poll(() => one.told.map(({ code }) => code), { timeout: 5000 }).toEqual(["ERR_STORE_CONFLICT"]);
  },
);

it("apps of a Cluster are told, and each key is refused that is counted otherwise, on whatever node", async () => {
  const prefix = nextPrefix();
  const one = await app("bucket", { prefix, url: cluster.url });
  const other = await app("day quota", { prefix, url: cluster.url });
  const keys = Array.from({ length: 20 }, (_, index) => `acct:${index}`);
  await one.limiter.consumeMany(keys, "t", 40);
  await other.limiter.consumeMany(keys, "t", 40);
  expect(failed(other)).toBe(20);
  expect(other.limiter.isReady).toBe(true);
  for (const key of keys) expect(await remaining(one, key)).toBe(60);
});

it("apps that mean the same are told nothing, nor is one that opens when the other has left, or has other names", async () => {
  const prefix = nextPrefix();
  const one = await app("bucket", { prefix });
  const same = await app("bucket", { prefix });
  await one.limiter.close();
  await same.limiter.close();
  const other = await app("day quota", { prefix });
  const named = await app({ ...(KINDS["bucket"] as LimitSpec), name: "rate" }, { prefix });
  const heard = ({ limiter }: App) => limiter.stats().store.commands.get("heartbeat ok") ?? 0;
  const before = heard(other);
  await expect.poll(() => heard(other), { timeout: 5000 }).toBeGreaterThan(before + 1);
  expect([one, same, other, named].flatMap(({ told }) => told)).toEqual([]);
});
