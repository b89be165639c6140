import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

const server = await redisForFile();
const YEAR_MS = 365 * 86_400_000;
const SOON = { timeout: 20_000, interval: 50 };
const TIERS = { t: { limits: [{ name: "hour", type: "bucket", limit: 100, windowSeconds: 3600, burst: 1 }] } } as const;

const ahead = () => String(Date.now() + YEAR_MS);
const many = (field: string, value: string) =>
  Object.fromEntries(times(30_000, field).map((name, index) => [`${name}${index}`, value]));

const FIELDS = ["p:another", "w:another", "k:another", "u:t", "settle", "hold", "records", ""];

/** What somebody, a clock that has jumped or another program may have left in the hash in which replicas report. */
const POISONS: Record<string, () => Record<string, string>> = {
  ...Object.fromEntries(
    ["garbage", "", "nan", "inf", "-1", "1.5", "0x10"].map((value) => [
      `nothing but "${value}"`,
      () => Object.fromEntries(FIELDS.map((field) => [field, value])),
    ]),
  ),
  "another server": () => ({ run: "garbage" }),
  "a replica heard of in a year": () => ({ "p:another": ahead() }),
  "a replica waited for until in a year": () => ({ settle: ahead(), "p:another": ahead(), "w:another": "1" }),
  "a replica waited for until the end of time": () => ({ settle: "inf", "p:another": "inf", "w:another": "1" }),
  "a server that waits a year for others": () => ({ hold: ahead() }),
  "30,000 replicas": () => many("p:", ahead()),
  "30,000 replicas never heard of": () => many("p:", "nan"),
  "30,000 fields of nobody": () => many("x", "1"),
};

it.each(Object.entries(POISONS))(
  "the hash in which replicas report holds %s: they are soon together",
  async (_, poison) => {
    const prefix = newPrefix();
    const client = new Redis({ host: "127.0.0.1", port: server.port, protocol: 2 });
    onTestFinished(() => client.disconnect());
    const replicas = await openReplicas(server.url, times(2, TIERS), { prefix });
    const key = `{${prefix}}:replicas`;
    await client.hset(key, { records: "7" });
    const poisoned = poison();
    await client.hset(key, poisoned);
    const late = await openReplicas(server.url, [TIERS], { prefix });
    for (const replica of [...replicas, ...late]) {
      await vi.waitFor(() => {
        expect(replica.isReady).toBe(true);
        expect(replica.stats().store.replicas).toBe(3);
      }, SOON);
    }
    // It is of the records, which no replica knows how to count.
    expect(await client.hget(key, "records")).toBe(poisoned["records"] ?? "7");
    expect(await client.hlen(key)).toBeLessThan(100);
  },
  120_000,
);
