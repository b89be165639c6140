import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type RedisStorage, type TollkeeperError } from "../../src/index.js";
import { nameOf } from "../../src/store/wire.js";
import { Relay } from "../redis/relay.js";
import { forFile, redisForFile } from "../redis/server.js";

const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: 1000, period: "day" as const }] } };
const server = await redisForFile();
const relay = await forFile(Relay.start(server.port));

async function open(storage: Partial<RedisStorage>) {
  const told: TollkeeperError[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", url: relay.url, timeoutMs: 500, ...storage },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  await limiter.ready();
  return { limiter, told };
}

function connect(): Redis {
  const client = new Redis(server.port);
  onTestFinished(() => client.disconnect());
  return client;
}

it.each(["exact", "leased"] as const)(
  "keys that somebody has overwritten fail alone when a server came back without what it knew, in %s mode",
  async (mode) => {
    const prefix = `failover-${mode}`;
    const { limiter, told } = await open({ mode, prefix });
    const keys = [
      "acct:customer-first",
      "acct:customer-string",
      "acct:customer-list",
      "acct:customer-fields",
      "acct:customer-last",
    ];
    for (const key of keys) await limiter.consume(key, "t", 40);

    relay.cut();
    await server.kill();
    await server.run();
    const client = connect();
    await client.set(nameOf(prefix, "acct:customer-string"), "1");
    await client.lpush(nameOf(prefix, "acct:customer-list"), "1");
    await client.hset(nameOf(prefix, "acct:customer-fields"), { day: "1", "@r:day": "none of ours" });
    relay.mend();

    // For some 40 ms.
    await vi.waitFor(() => expect(limiter.isReady).toBe(false), { interval: 1 });
    await limiter.ready();
    for (const key of ["acct:customer-first", "acct:customer-last"]) {
      expect((await limiter.peek(key, "t", 0)).limits[0]?.remaining).toBe(960);
    }
    const foreign = told.filter(({ code }) => code === "ERR_STORE_FOREIGN").map(({ message }) => message);
    expect(foreign.sort()).toEqual([
      expect.stringContaining(`a hash of somebody else's under {${prefix}:acct:cus…}`),
      expect.stringContaining(`a list under {${prefix}:acct:cus…}`),
      expect.stringContaining(`a string under {${prefix}:acct:cus…}`),
    ]);
    expect((await limiter.consume("acct:customer-string", "t")).allowed).toBe(true);
    expect(limiter.isReady).toBe(true);

    // Once it is deleted, what was counted comes back, and what passed meanwhile is charged.
    await client.del(nameOf(prefix, "acct:customer-string"));
    await expect.poll(() => limiter.stats().store.unreconciled, { timeout: 10_000 }).toBe(0);
    await expect.poll(() => client.hget(nameOf(prefix, "acct:customer-string"), "day")).toBe("41000");
  },
  30_000,
);

it.each(["exact", "leased"] as const)(
  "a key that somebody has overwritten opens no circuit, though nobody calls another, and is mended by a reset, in %s mode",
  async (mode) => {
    const prefix = `alone-${mode}`;
    const { limiter, told } = await open({ mode, prefix });
    const client = connect();
    await client.set(nameOf(prefix, "acct:customer-string"), "1");
    const count = (name: string) => limiter.stats().store.commands.get(name) ?? 0;
    const beaten = count("heartbeat ok");
    let calls = 0;
    while (count("heartbeat ok") < beaten + 2) {
      expect((await limiter.consume("acct:customer-string", "t", 0.001)).allowed).toBe(true);
      expect(limiter.isReady).toBe(true);
      calls++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // It was looked at now and then, and not with every call.
    expect(calls).toBeGreaterThan(100);
    expect(count("take failed") + count("adjust failed")).toBeLessThan(5);
    expect(new Set(told.map(({ code }) => code))).toEqual(new Set(["ERR_STORE_FOREIGN"]));

    await limiter.reset("acct:customer-string");
    await limiter.consume("acct:customer-string", "t");
    expect(await client.hget(nameOf(prefix, "acct:customer-string"), "@r:day")).toMatch(/^q /);
  },
  30_000,
);

it("names the key in which replicas report, should that be overwritten", async () => {
  const client = connect();
  await client.set("{registry}:replicas", "1");
  const told: TollkeeperError[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", url: relay.url, prefix: "registry" },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  await vi.waitFor(() => expect(told[0]).toMatchObject({ code: "ERR_STORE_FAILED" }));
  expect(told[0]?.message).toContain("{registry}:replicas");
  await client.del("{registry}:replicas");
  await limiter.ready();
});
