import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../src/index.js";
import { nameOf } from "../../src/store/wire.js";
import { newPrefix, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** How long a quota's count is kept, in ms, after its period. */
const KEPT_MS = 2 * 24 * HOUR_MS;
const minute = { name: "minute", type: "bucket" as const, limit: 100_000, windowSeconds: 60, burst: 1 };
const tiers = {
  address: { limits: [minute] },
  account: { limits: [minute, { name: "day", type: "quota" as const, limit: 1e6, period: "day" as const }] },
};
const KEYS = { address: "ip:203.0.113.7", account: "acct:1" } as const;
const LIVES = 1000;
/** How many live at the same time. */
const TOGETHER = 25;

/** What Redis keeps of the keys: bytes, fields, and for how long, in ms, nobody having called. */
async function keptOf(prefix: string) {
  const client = new Redis(redis.port);
  onTestFinished(() => client.disconnect());
  const of = async (key: string) => {
    const name = nameOf(prefix, key);
    const [bytes, fields, ttl] = await Promise.all([
      client.memory("USAGE", name),
      client.hlen(name),
      client.pttl(name),
    ]);
    return { bytes: bytes ?? 0, fields, ttl };
  };
  return { address: await of(KEYS.address), account: await of(KEYS.account) };
}

// Some replicas of one process, which call, correct what they called, say so, and are killed.
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const [url, prefix, mode, tiers, keys, count] = process.argv.slice(1);
  await Promise.all(Array.from({ length: Number(count) }, async () => {
    const storage = { type: "redis", url, prefix, mode, timeoutMs: 5000 };
    const limiter = createLimiter({ tiers: JSON.parse(tiers), storage });
    await limiter.ready(60_000);
    for (const [tier, key] of Object.entries(JSON.parse(keys))) (await limiter.consume(key, tier)).refund();
    while (!(limiter.stats().store.commands.get("adjust ok") >= 2)) await new Promise((resolve) => setTimeout(resolve, 5));
  }));
  console.log("done");
  setInterval(() => undefined, 1000);
`;

describe.each(["leased", "exact"] as const)("what Redis keeps of a key, %s", (mode) => {
  it(`is the same after ${LIVES} lives of processes that corrected it`, async () => {
    const storage = { type: "redis", url: redis.url, prefix: newPrefix(), mode, timeoutMs: 5000 } as const;
    const live = async () => {
      const limiter = createLimiter({ tiers, storage });
      await limiter.ready(60_000);
      for (const [tier, key] of Object.entries(KEYS)) (await limiter.consume(key, tier)).refund();
      await limiter.close();
    };
    await live();
    const before = await keptOf(storage.prefix);
    for (let life = 0; life < LIVES; life += TOGETHER) await Promise.all(times(TOGETHER, live).map((live) => live()));
    const after = await keptOf(storage.prefix);
    const text = JSON.stringify({ before, after });
    for (const kind of ["address", "account"] as const) {
      expect(after[kind].fields, text).toBeLessThanOrEqual(before[kind].fields + 2);
      expect(after[kind].bytes, text).toBeLessThanOrEqual(before[kind].bytes + 100);
    }
    // A bucket that is full again is not kept for more than a minute.
    expect(after.address.ttl, text).toBeLessThanOrEqual(2 * MINUTE_MS);
    expect(after.address.ttl, text).toBeGreaterThan(0);
    expect(after.account.ttl, text).toBeLessThanOrEqual(KEPT_MS);
  }, 180_000);

  it("is the same a minute after processes were killed that corrected it", async () => {
    const prefix = newPrefix();
    const count = 40;
    const program = ["--input-type=module", "-e", PROGRAM, redis.url, prefix, mode, JSON.stringify(tiers)];
    const killed = times(3, [...program, JSON.stringify(KEYS), String(count)]).map(async (program) => {
      const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
      onTestFinished(() => void child.kill("SIGKILL"));
      const [line] = await once(createInterface({ input: child.stdout }), "line");
      child.kill("SIGKILL");
      await once(child, "close");
      return line;
    });
    expect(await Promise.all(killed)).toEqual(times(3, "done"));
    const numbers = (await keptOf(prefix)).account.fields;
    // Each might still send something again: this is what is to be seen going.
    expect(numbers).toBeGreaterThan(count);
    const clock = () => Date.now() + MINUTE_MS + 1000;
    const limiter = createLimiter({
      tiers,
      clock,
      storage: { type: "redis", url: redis.url, prefix, mode, timeoutMs: 5000 },
    });
    onTestFinished(() => limiter.close());
    await limiter.ready(60_000);
    for (const [tier, key] of Object.entries(KEYS)) await limiter.consume(key, tier);
    const kept = await keptOf(prefix);
    for (const { fields } of Object.values(kept)) expect(fields, JSON.stringify(kept)).toBeLessThan(12);
    expect(kept.address.ttl).toBeLessThanOrEqual(3 * MINUTE_MS);
  }, 120_000);

  it("is gone a minute after a bucket has run full, and stays as long as it takes to fill", async () => {
    const prefix = newPrefix();
    const slow = (windowSeconds: number) => ({ limits: [{ ...minute, limit: 60, windowSeconds }] });
    const limiter = createLimiter({
      tiers: { seconds: slow(32), hour: slow(3600), month: slow(30 * 86_400) },
      storage: { type: "redis", url: redis.url, prefix, mode, timeoutMs: 5000 },
    });
    onTestFinished(() => limiter.close());
    await limiter.ready(60_000);
    const client = new Redis(redis.port);
    onTestFinished(() => client.disconnect());
    for (const [tier, seconds] of [
      ["seconds", 32],
      ["hour", 3600],
      ["month", 30 * 86_400],
    ] as const) {
      for (const [cost, part] of [
        [60, 1],
        [6, 0.1],
      ] as const) {
        const key = `ip:${tier}:${cost}`;
        await limiter.consume(key, tier, cost);
        const ttl = await client.pttl(nameOf(prefix, key));
        const fullMs = 1000 * seconds * part;
        expect(ttl, `${tier}, ${cost}`).toBeGreaterThan(fullMs);
        expect(ttl, `${tier}, ${cost}`).toBeLessThanOrEqual(fullMs + MINUTE_MS + 10);
      }
    }
  });
});
