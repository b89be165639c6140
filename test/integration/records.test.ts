import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import type { RecordStore } from "../../src/engine/record-store.js";
import { MemoryRecords } from "../../src/engine/records.js";
import { createLimiter } from "../../src/index.js";
import { RedisRecords } from "../../src/store/redis-records.js";
import { parseAddress } from "../../src/store/redis-url.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: 1, period: "day" as const }] } };

const stores: Record<string, () => Promise<RecordStore>> = {
  memory: async () => new MemoryRecords(),
  file: async () => {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    const limiter = createLimiter({ tiers, storage: { type: "file", path: join(folder, "records.redb") } });
    onTestFinished(async () => {
      await limiter.close();
      rmSync(folder, { recursive: true });
    });
    return limiter.records;
  },
  redis: async () => {
    const options = { address: parseAddress(redis.url, "url"), url: redis.url, prefix: "records", tls: undefined };
    const records = new RedisRecords({ ...options, timeoutMs: 1000, allowEviction: false });
    onTestFinished(() => records.close());
    await records.open();
    await records.ready(8000);
    return records;
  },
};

const bad: unknown[] = [
  null,
  undefined,
  1,
  {},
  [],
  Symbol.iterator,
  true,
  "",
  "x\ud800",
  "\udc00x",
  "x".repeat(2 * 1024 * 1024),
];
const refused = (what: string) =>
  expect.objectContaining({
    code: "ERR_RECORD_INVALID",
    message: expect.stringMatching(new RegExp(`^the ${what} of a record is .*; it may be a string of 1 to `)),
  });

it.each(Object.keys(stores))(
  "no name or value that is no text gets into records (%s), and lists go on",
  async (kind) => {
    const records = (await stores[kind]?.()) as RecordStore;
    await records.put("a:1", "one");
    for (const one of bad) {
      const text = one as string;
      await expect(records.put(text, "value")).rejects.toEqual(refused("name"));
      await expect(records.putNew(text, "value")).rejects.toEqual(refused("name"));
      await expect(records.putNew("a:2", text)).rejects.toEqual(refused("value"));
      if (one !== undefined) await expect(records.put("a:2", text)).rejects.toEqual(refused("value"));
    }
    expect(records.list("")).toEqual([["a:1", "one"]]);
    await records.put("a:\0 é 😀", "\0 é 😀");
    expect(records.list("a:")).toContainEqual(["a:\0 é 😀", "\0 é 😀"]);
  },
);

it.each(Object.keys(stores))(
  "of several that write a record first at once one does, and all know whose it is (%s)",
  async (kind) => {
    const records = (await stores[kind]?.()) as RecordStore;
    for (let round = 0; round < 20; round++) {
      const name = `first:${round}`;
      const given = await Promise.all(["a", "b", "c", "d"].map((value) => records.putNew(name, value)));
      expect(new Set(given)).toEqual(new Set([records.get(name)]));
    }
  },
);
