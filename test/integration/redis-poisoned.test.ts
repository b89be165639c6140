import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { TollkeeperError } from "../../src/index.js";
import { nameOf } from "../../src/store/wire.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

vi.setConfig({ testTimeout: 60_000 });
const redis = await redisForFile();
const SOON = { timeout: 10_000 };
const YEAR_MS = 365 * 86_400_000;
const HOUR_S = 3600;
const tiers = {
  t: {
    limits: [
      { name: "hour", type: "bucket" as const, limit: 100, windowSeconds: HOUR_S, burst: 1 },
      { name: "month", type: "quota" as const, limit: 1000, period: "month" as const },
    ],
  },
};
const POISONED = "acct:poisoned";
const OTHERS = ["acct:1", "acct:2", "acct:3"];

function connect(): Redis {
  const client = new Redis(redis.port);
  onTestFinished(() => client.disconnect());
  return client;
}

async function open(mode: "leased" | "exact", count = 1) {
  const prefix = newPrefix();
  const told: unknown[] = [];
  const limiters = await openReplicas(redis.url, times(count, tiers), { mode, prefix, leaseMs: 200 }, told);
  const name = nameOf(prefix, POISONED);
  const codes = () => new Set(told.map((error) => (error as TollkeeperError).code));
  return { limiters, prefix, name, codes, client: connect() };
}

/** How often a command was run, of a script or not. */
async function runs(client: Redis, command: string): Promise<number> {
  const stats = await client.info("commandstats");
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
}

/** What somebody else may have put into a hash that we made, or instead of it: a script of Redis takes most for numbers. */
const POISONS: Record<string, (client: Redis, name: string) => Promise<unknown>> = {
  "5,000 fields": (client, name) =>
    client.hset(name, Object.fromEntries(times(5000, "x").map((x, index) => [`@c:${x}${index}`, "1"]))),
  "5,000 limits": (client, name) =>
    client.hset(name, Object.fromEntries(times(5000, "x").map((x, index) => [`${x}${index}`, "1"]))),
  ...Object.fromEntries(
    ["inf", "-inf", "nan", "1e308", "-1", "0x10", "1.5", "", " 1", "soon", "9".repeat(400)].flatMap((number) =>
      ["@t", "hour", "month", "@h:month", "@g", "@c:another"].map((field) => [
        `${field} = ${number.slice(0, 8)}`,
        (client: Redis, name: string) => client.hset(name, field, number),
      ]),
    ),
  ),
  ...Object.fromEntries(
    ["none of ours", "b inf 1 1", "b 0 0 0", "b 1 0 1", "q -1 0", "q 1000000 99", `b ${"9".repeat(300)} 1 1`, ""].map(
      (rule) => [
        `the rule ${rule.slice(0, 12)}`,
        (client: Redis, name: string) =>
          client.hset(name, rule.startsWith("q") ? { "@r:month": rule } : { "@r:hour": rule }),
      ],
    ),
  ),
  "a limit without a rule": (client, name) => client.hset(name, "hour2", "1"),
  "a set": async (client, name) => {
    await client.del(name);
    await client.sadd(name, "1");
  },
  "a stream": async (client, name) => {
    await client.del(name);
    await client.xadd(name, "*", "a", "b");
  },
};

describe.each(["leased", "exact"] as const)("a key whose hash is none of ours any more, %s", (mode) => {
  it.each(Object.keys(POISONS))("%s: fails alone, and asks little", async (poison) => {
    const { limiters, name, codes, client } = await open(mode);
    const [limiter] = limiters;
    for (const key of [POISONED, ...OTHERS]) await limiter.consume(key, "t");
    // Nothing of it is held any more, so that it is asked for.
    if (mode === "leased") await vi.waitFor(() => expect(limiter.stats().store.leaseOutstanding).toBe(0), SOON);
    await POISONS[poison]?.(client, name);
    const [scripts, reads, writes] = [
      await runs(client, "evalsha"),
      await runs(client, "hgetall"),
      await runs(client, "hset"),
    ];
    const settled = (async () => {
      for (let call = 0; call < 20; call++) {
        await Promise.all([
          limiter.consume(POISONED, "t"),
          ...OTHERS.map((key) => limiter.consume(key, "t")),
          limiter.peek(POISONED, "t"),
        ]);
      }
      return "decided";
    })();
    expect(await settled).toBe("decided");
    expect(limiter.isReady).toBe(true);
    // What is no count may be passed over.
    expect([...codes()]).toEqual(/^@[hgc]/.test(poison) ? expect.anything() : ["ERR_STORE_FOREIGN"]);
    for (const code of codes()) expect(code).toBe("ERR_STORE_FOREIGN");
    // Twenty rounds of some keys, which share batches, and a heartbeat now and then.
    expect((await runs(client, "evalsha")) - scripts).toBeLessThan(250);
    expect((await runs(client, "hgetall")) - reads).toBeLessThan(500);
    expect((await runs(client, "hset")) - writes).toBeLessThan(500);
    for (const key of OTHERS) {
      await vi.waitFor(async () => {
        const limits = (await limiter.peek(key, "t", 0)).limits;
        expect(limits.map(({ remaining }) => Math.floor(remaining))).toEqual([79, 979]);
      }, SOON);
    }
    await limiter.reset(POISONED);
    const fresh = await limiter.consume(POISONED, "t");
    expect(fresh.allowed).toBe(true);
    await vi.waitFor(async () => expect(await client.hget(name, "@r:hour")).toMatch(/^b /), SOON);
  });

  it("the server's clock was a year ahead for one reading: waits are told truly, nobody else waits, a reset ends it", async () => {
    const { limiters, name, client } = await open(mode, 2);
    const [one, other] = limiters;
    await one.consume(POISONED, "t", 100);
    await client.hset(name, "@t", String(Date.now() + YEAR_MS));
    for (const limiter of limiters) {
      const denied = await limiter.consume(POISONED, "t");
      expect(denied.allowed).toBe(false);
      // Nothing is refilled before that year is over.
      expect(denied.retryAfterMs).toBeGreaterThan(YEAR_MS - 60_000);
      expect(denied.retryAfterMs).toBeLessThan(YEAR_MS + 2 * HOUR_S * 1000);
      // The time that the replica goes by is another's, not that key's.
      const fine = await limiter.consume("acct:1", "t");
      expect(Math.abs(fine.atMs - Date.now())).toBeLessThan(60_000);
      expect(fine.allowed).toBe(true);
    }
    const scripts = await runs(client, "evalsha");
    for (let call = 0; call < 100; call++) {
      const denied = await one.consume(POISONED, "t");
      expect(denied.allowed).toBe(false);
      expect(denied.retryAfterMs).toBeGreaterThan(YEAR_MS - 60_000);
    }
    if (mode === "leased") expect((await runs(client, "evalsha")) - scripts).toBeLessThan(30);
    await one.reset(POISONED);
    await vi.waitFor(async () => expect((await other?.consume(POISONED, "t"))?.allowed).toBe(true), SOON);
    const again = await one.consume(POISONED, "t");
    expect(again.allowed).toBe(true);
    expect(Math.abs(again.atMs - Date.now())).toBeLessThan(60_000);
  });
});
