import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type TollkeeperError } from "../../src/index.js";
import type { OutagePolicy } from "../../src/shared/outage-policy.js";
import { RedisRecords } from "../../src/store/redis-records.js";
import { parseAddress } from "../../src/store/redis-url.js";
import { forFile, RedisServer } from "../redis/server.js";

const LIMIT = 8;
const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: LIMIT, period: "day" as const }] } };
const SEEN = { timeout: 8000, interval: 10 };

const redis = await forFile(RedisServer.start());
const client = new Redis(redis.port);
await forFile(Promise.resolve({ stop: async () => client.disconnect() }));
let prefixes = 0;

function open(prefix: string, onOutage: OutagePolicy, mode: "leased" | "exact") {
  const told: TollkeeperError[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", url: redis.url, prefix, onOutage, mode, timeoutMs: 2000 },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  return { limiter, told };
}

/** Others have filled the server. */
async function fill(): Promise<void> {
  const [, used] = /used_memory:(\d+)/.exec(await client.info("memory")) ?? [];
  await client.set("others", "x".repeat(1_000_000));
  await client.config("SET", "maxmemory", String(Number(used)));
}

async function makeRoom(): Promise<void> {
  await client.del("others");
  await client.config("SET", "maxmemory", "0");
}

const cases = (["share", "closed"] as const).flatMap((policy) =>
  (["leased", "exact"] as const).flatMap((mode) => [true, false].map((from) => ({ policy, mode, from }))),
);

it.each(cases)(
  "a full server ($policy, $mode, from the start: $from) is told as such, admits no more than the limit, and is used again when there is room",
  async ({ policy, mode, from }) => {
    const prefix = `full-${prefixes++}`;
    onTestFinished(makeRoom);
    if (from) await fill();
    const opened = [open(prefix, policy, mode), open(prefix, policy, mode)];
    const { limiter } = opened[0] as (typeof opened)[number];
    const replicas = () => opened.map((each) => each.limiter.stats().store.replicas);
    if (!from) {
      await Promise.all(opened.map((each) => each.limiter.ready(8000)));
      await vi.waitFor(() => expect(replicas()).toEqual([2, 2]), SEEN);
      for (const each of opened) expect((await each.limiter.consume("k", "t")).allowed).toBe(true);
      await fill();
    }
    for (const { told } of opened) {
      await vi.waitFor(
        () => expect(told.map(({ message }) => message).join()).toMatch(/is out of memory .*maxmemory/),
        SEEN,
      );
      expect(told.every(({ code }) => code === "ERR_STORE_FAILED")).toBe(true);
    }
    await vi.waitFor(() => expect(replicas()).toEqual([2, 2]), SEEN);
    for (const each of opened) await vi.waitFor(() => expect(each.limiter.isReady).toBe(false), SEEN);
    const left = from ? LIMIT : LIMIT - 2;
    const away = await admitted(opened);
    expect(away).toBe(policy === "closed" ? 0 : left);
    await makeRoom();
    await Promise.all(opened.map((each) => each.limiter.ready(8000)));
    await vi.waitFor(async () => expect((await limiter.peek("k", "t")).limits[0]?.remaining).toBe(left - away), SEEN);
    expect(await admitted(opened)).toBe(left - away);
  },
  30_000,
);

it("records can't be written then, say so, and can be when there is room", async () => {
  const options = { address: parseAddress(redis.url, "url"), url: redis.url, prefix: "full", tls: undefined };
  const records = new RedisRecords({ ...options, timeoutMs: 1000, allowEviction: false });
  onTestFinished(() => records.close());
  onTestFinished(makeRoom);
  await records.open();
  await records.ready(8000);
  await records.put("a", "1");
  await fill();
  const full = expect.objectContaining({
    code: "ERR_STORE_FAILED",
    message: expect.stringMatching(/is out of memory/),
  });
  await expect(records.put("a", "2")).rejects.toEqual(full);
  await expect(records.putNew("b", "1")).rejects.toEqual(full);
  expect([records.get("a"), records.isFresh]).toEqual(["1", true]);
  expect([await client.hlen("{full}:records"), await client.zcard("{full}:records-log")]).toEqual([1, 1]);
  await makeRoom();
  await records.put("a", "2");
  expect(await records.putNew("b", "1")).toBe("1");
});

async function admitted(opened: readonly ReturnType<typeof open>[]): Promise<number> {
  let passed = 0;
  for (let call = 0; call < 3 * LIMIT; call++) {
    const decided = Promise.resolve().then(() => opened[call % 2]?.limiter.consume("k", "t"));
    if ((await decided.catch(() => undefined))?.allowed) passed++;
  }
  return passed;
}
