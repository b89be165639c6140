import { describe, expect, it, vi } from "vitest";
import { newPrefix, openReplicas } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";
import { openThreads, sum, Thread } from "../redis/threads.js";

vi.setConfig({ testTimeout: 240_000 });
const server = await redisForFile();
const SOON = { timeout: 30_000, interval: 50 };
const quota = (limit: number) => ({
  limits: [{ name: "month", type: "quota" as const, limit, period: "month" as const }],
});
const TIERS = { small: quota(50), large: quota(1e7) };

/** Threads of one name, and how to see what Redis counts. */
async function together(count: number, storage: { leaseMs?: number; timeoutMs?: number } = {}, maxKeys?: number) {
  const name = newPrefix();
  const shared = { type: "redis", url: server.url, timeoutMs: 5000, ...storage } as const;
  const options = { name, tiers: TIERS, storage: shared, ...(maxKeys === undefined ? {} : { maxKeys }) };
  const threads = await openThreads(count, options);
  const audit = async () => {
    const [auditor] = await openReplicas(server.url, [TIERS], { mode: "exact", prefix: name });
    const spent = async (key: string, tier: "small" | "large") => {
      const [limit] = (await auditor.peek(key, tier)).limits;
      return (limit?.limit ?? 0) - (limit?.remaining ?? 0);
    };
    return { auditor, spent };
  };
  const all = <T>(act: (thread: Thread) => Promise<T>) => Promise.all(threads.map(act));
  return { name, options, threads, all, audit };
}

describe.each([2, 4])("%i threads of one name", (count) => {
  it("let in exactly the quota of a hundred keys, each until it is told that no more will come back", async () => {
    const { all, threads } = await together(count, { leaseMs: 100 });
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`);
    for (let at = 0; at < keys.length; at += 50) {
      const some = keys.slice(at, at + 50);
      const admitted = await Promise.all(
        some.map(async (key) => sum(await all((thread) => thread.exhaust(key, "small", 1)))),
      );
      expect(admitted).toEqual(some.map(() => 50));
    }
    for (const thread of threads) expect((await thread.stats()).told).toEqual([]);
  });

  it("are one replica, which stays until the last has left and has given back all that was held", async () => {
    const { threads, audit } = await together(count);
    const keys = ["a", "b", "c"];
    let admitted = 0;
    for (let round = 0; round < 5; round++) {
      for (const thread of threads) admitted += (await thread.consume(keys, "large", 100)).allowed;
    }
    const { auditor, spent } = await audit();
    await vi.waitFor(() => expect(auditor.stats().store.replicas).toBe(2), SOON);
    const [first, ...others] = threads;
    await first?.end("close");
    // What the first one held is there for the others.
    for (const thread of others) admitted += (await thread.consume(keys, "large", 10)).allowed;
    for (const thread of others) {
      await vi.waitFor(async () => expect((await thread.stats()).replicas).toBe(2), SOON);
      expect(auditor.stats().store.replicas).toBe(2);
      await thread.end("close");
    }
    expect(sum(await Promise.all(keys.map((key) => spent(key, "large"))))).toBe(admitted);
    await vi.waitFor(() => expect(auditor.stats().store.replicas).toBe(1), SOON);
  });

  it("spend what one of them has taken, and ask for nothing themselves", async () => {
    const { threads } = await together(count, { leaseMs: 5000 });
    const [first, ...others] = threads;
    await vi.waitFor(async () => {
      await first?.consume(["k"], "large", 100);
      expect((await first?.stats())?.leaseOutstanding).toBeGreaterThanOrEqual(100);
    }, SOON);
    for (const thread of others) {
      expect(await thread.consume(["k"], "large", 20)).toMatchObject({ allowed: 20 });
      const { commands } = await thread.stats();
      expect(commands).not.toHaveProperty("take ok");
    }
  });
});

it("a table that is full of leases lets in no more than the quota of any key", async () => {
  const { all, audit, threads } = await together(2, { leaseMs: 200 }, 60);
  const keys = Array.from({ length: 300 }, (_, index) => `key ${index}`);
  const admitted = new Map<string, number>();
  for (let round = 0; round < 3; round++) {
    for (const key of keys) admitted.set(key, admitted.get(key) ?? 0);
    await Promise.all(
      keys.map(async (key) => {
        const tallies = await all((thread) => thread.consume([key], "small", 10));
        admitted.set(key, (admitted.get(key) ?? 0) + sum(tallies.map(({ allowed }) => allowed)));
      }),
    );
  }
  for (const count of admitted.values()) expect(count).toBeLessThanOrEqual(50);
  const stats = await all((thread) => thread.stats());
  // Of so many at once not all find room.
  expect(stats[0]?.overflow).toBeGreaterThan(0);
  for (const { keys: held } of stats) expect(held).toBeLessThanOrEqual(60 * 1.5);
  await Promise.all(threads.map((thread) => thread.end("close")));
  const { spent } = await audit();
  for (const key of keys.slice(0, 50)) {
    const counted = await spent(key, "small");
    expect(counted, key).toBeGreaterThanOrEqual(Math.min(50, admitted.get(key) ?? 0));
  }
});

it("a reload of one while the others take is a reload of all, and what was admitted under the old tiers counts", async () => {
  const { all, audit, threads } = await together(3, { leaseMs: 100 });
  const [first] = threads;
  const spending = all((thread) => thread.run("pace", ["k", "l"], "large", 100, 3, 5) as Promise<number>);
  for (const limit of [2e7, 3e7, 1e7]) await first?.run("reload", { small: quota(50), large: quota(limit) });
  await first?.run("reload", { small: quota(60), large: quota(1e7) });
  const admitted = sum(await spending);
  for (const thread of threads) expect(await thread.run("tiers")).toMatchObject({ small: quota(60) });
  expect(sum(await all((thread) => thread.exhaust("s", "small")))).toBe(60);
  await Promise.all(threads.map((thread) => thread.end("close")));
  const { spent } = await audit();
  expect((await spent("k", "large")) + (await spent("l", "large"))).toBe(admitted);
});

it("who gives the name with something else is told so, and the others go on", async () => {
  const { options, threads } = await together(1);
  const others = [
    { ...options, tiers: { ...TIERS, small: quota(51) } },
    { ...options, maxKeys: 7 },
    { ...options, storage: { ...options.storage, mode: "exact" as const } },
    { ...options, storage: { ...options.storage, leaseMs: 77 } },
    { ...options, storage: { ...options.storage, prefix: "another" } },
    { ...options, storage: { ...options.storage, url: `${server.url}/3` } },
  ];
  for (const other of others) await expect(Thread.start(other)).rejects.toThrow("ERR_NAME_CONFLICT");
  expect(await threads[0]?.consume(["k"], "small", 3)).toMatchObject({ allowed: 3 });
});

it("without a name each thread is a replica of its own", async () => {
  const prefix = newPrefix();
  const storage = { type: "redis", url: server.url, prefix, timeoutMs: 5000 } as const;
  const threads = await openThreads(2, { tiers: TIERS, storage });
  for (const thread of threads) await vi.waitFor(async () => expect((await thread.stats()).replicas).toBe(2), SOON);
  expect(sum(await Promise.all(threads.map((thread) => thread.exhaust("k", "small"))))).toBe(50);
});

it("without the native binary each thread is a replica of its own, and says so", async () => {
  const name = newPrefix();
  const storage = { type: "redis", url: server.url, timeoutMs: 5000, leaseMs: 100 } as const;
  const open = () => Thread.open({ name, tiers: TIERS, storage }, ["--no-addons"]);
  const threads = await Promise.all([open(), open()]);
  for (const thread of threads) {
    await vi.waitFor(async () => expect((await thread.stats()).replicas).toBe(2), SOON);
    expect((await thread.stats()).warned).toContain("TOLLKEEPER_JS_ENGINE");
  }
  expect(sum(await Promise.all(threads.map((thread) => thread.exhaust("k", "small"))))).toBe(50);
});
