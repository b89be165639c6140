import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type Decision, type SharedLimiter, type Tiers } from "../../src/index.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { RedisServer, redisForFile } from "../redis/server.js";
import { openThreads, type Thread } from "../redis/threads.js";

const server = await redisForFile();
const parallel = { name: "parallel", type: "concurrency", limit: 3, timeoutSeconds: 600 } as const;
const minute = { name: "minute", type: "bucket", limit: 1000, windowSeconds: 60, burst: 1 } as const;
const TIERS: Tiers = { free: { limits: [minute, parallel] }, plain: { limits: [minute] } };
/** A replica is gone after 3 s, and every other has heard so a second later. */
const GONE = { timeout: 15_000, interval: 50 };

const left = async (limiter: SharedLimiter, key: string, tier = "free") => {
  const { limits } = await limiter.peek(key, tier, 0);
  return limits.map(({ remaining }) => Math.floor(remaining));
};

it("replicas let no more calls run than there are places, and share what is given back", async () => {
  const [first, second] = (await openReplicas(server.url, times(2, TIERS))) as [SharedLimiter, SharedLimiter];
  const running = await Promise.all([first, second, first].map((limiter) => limiter.consume("k", "free")));
  expect(running.map(({ allowed, holdsPlace }) => allowed && holdsPlace)).toEqual([true, true, true]);
  for (const limiter of [first, second]) {
    const denied = await limiter.consume("k", "free");
    expect(denied).toMatchObject({ allowed: false, deniedBy: "parallel", holdsPlace: false });
    expect(denied.retryAfterMs).toBeGreaterThan(590_000);
  }
  expect((await left(second, "k"))[1]).toBe(0);
  expect([running[0]?.release(), running[0]?.release()]).toEqual([true, false]);
  expect((await left(first, "k"))[1]).toBe(1);
  expect((await second.consume("k", "free")).allowed).toBe(true);
  expect((await first.consume("other", "free")).allowed).toBe(true);
});

it("what another tier has leased of the key takes no place and saves none", async () => {
  const [limiter] = await openReplicas(server.url, [TIERS]);
  const running = [await limiter.consume("k", "free")];
  for (let call = 0; call < 50; call++) expect((await limiter.consume("k", "plain")).allowed).toBe(true);
  for (let call = 0; call < 2; call++) running.push(await limiter.consume("k", "free"));
  expect((await limiter.consume("k", "free")).deniedBy).toBe("parallel");
  expect(running.map((decision) => decision.release())).toEqual([true, true, true]);
  expect((await left(limiter, "k"))[1]).toBe(3);
});

it("a cost for each limit takes places of those of which it costs something", async () => {
  const exports = { ...parallel, name: "exports", limit: 1 };
  const tiers = { free: { limits: [minute, parallel, exports] } };
  const [first, second] = (await openReplicas(server.url, times(2, tiers))) as [SharedLimiter, SharedLimiter];
  expect((await first.consume("k", "free", { minute: 1 })).holdsPlace).toBe(false);
  const running = await first.consume("k", "free", { parallel: 1, exports: 1 });
  expect((await left(second, "k")).slice(1)).toEqual([2, 0]);
  expect((await second.consume("k", "free", { exports: 1 })).deniedBy).toBe("exports");
  const other = await second.consume("k", "free", { minute: 2, parallel: 1 });
  expect([other.holdsPlace, (await left(first, "k")).slice(1)]).toEqual([true, [1, 0]]);
  expect([running.release(), other.release(), other.release()]).toEqual([true, true, false]);
  await vi.waitFor(async () => expect(await left(first, "k")).toEqual([expect.any(Number), 3, 1]));
});

it("several subjects of one call take their places together, or have them back", async () => {
  const tiers: Tiers = { org: { limits: [parallel] }, user: { limits: [{ ...parallel, limit: 1 }] } };
  const [first, second] = (await openReplicas(server.url, times(2, tiers))) as [SharedLimiter, SharedLimiter];
  const subjects = (user: string) => [
    { key: "org", tier: "org" },
    { key: user, tier: "user" },
  ];
  const running = await first.consumeAll(subjects("ann"));
  expect([running.allowed, running.holdsPlace]).toEqual([true, true]);
  expect((await second.consumeAll(subjects("ben"))).allowed).toBe(true);
  const denied = await second.consumeAll(subjects("ann"));
  expect([denied.denied?.key, denied.holdsPlace, denied.release()]).toEqual(["ann", false, false]);
  await vi.waitFor(async () => expect(await left(first, "org", "org")).toEqual([1]));
  expect([running.release(), running.release()]).toEqual([true, false]);
  await vi.waitFor(async () => expect(await left(second, "org", "org")).toEqual([2]));
  expect((await second.consumeAll(subjects("ann"))).allowed).toBe(true);
});

it("of a bucket that blocks, want of a place begins no block, and want of room does", async () => {
  const attempts = { ...minute, limit: 2, blockSeconds: 100 };
  const tiers = { free: { limits: [attempts, { ...parallel, limit: 1 }] } };
  const [first, second] = (await openReplicas(server.url, times(2, tiers))) as [SharedLimiter, SharedLimiter];
  const running = await first.consume("k", "free");
  expect((await second.consume("k", "free")).deniedBy).toBe("parallel");
  running.release();
  await vi.waitFor(async () => expect((await left(second, "k"))[1]).toBe(1));
  const next = await second.consume("k", "free");
  expect(next.allowed).toBe(true);
  next.release();
  const denied = await first.consume("k", "free");
  expect(denied.deniedBy).toBe("minute");
  expect(denied.retryAfterMs).toBeGreaterThan(99_000);
});

it("a place is free again at its timeout, and by a reset", async () => {
  let now = Date.UTC(2026, 5, 15);
  const storage = { type: "redis", url: server.url, prefix: newPrefix(), timeoutMs: 5000 } as const;
  const limiter = createLimiter({ tiers: TIERS, storage, clock: () => now });
  onTestFinished(() => limiter.close());
  await limiter.ready();
  const running = await Promise.all([1, 2, 3].map(() => limiter.consume("k", "free")));
  now += 599_999;
  expect(await limiter.consume("k", "free")).toMatchObject({ allowed: false, retryAfterMs: 1 });
  now += 1;
  expect(running[0]?.release()).toBe(false);
  const again = await Promise.all([1, 2, 3].map(() => limiter.consume("k", "free")));
  expect(again.every(({ allowed }) => allowed)).toBe(true);
  await limiter.reset("k");
  expect(again.map((decision) => decision.release())).toEqual([false, false, false]);
  expect((await left(limiter, "k"))[1]).toBe(3);
});

it("a limit in shadow mode counts the calls that run, and denies none", async () => {
  const tiers = { free: { limits: [minute, { ...parallel, limit: 1, shadow: true }] } };
  const [limiter] = await openReplicas(server.url, [tiers]);
  const running = [await limiter.consume("k", "free"), await limiter.consume("k", "free")];
  expect(running.map(({ shadowDenials }) => shadowDenials)).toEqual([[], ["parallel"]]);
  running[0]?.release();
  await vi.waitFor(async () => expect((await limiter.peek("k", "free")).shadowDenials).toEqual([]));
});

it("a limiter that is closed gives nothing back, and its places are free for the others", async () => {
  const [first, second] = (await openReplicas(server.url, times(2, TIERS))) as [SharedLimiter, SharedLimiter];
  const running = await first.consume("k", "free");
  expect([first.stats().places, second.stats().places]).toEqual([1, 0]);
  await first.close();
  expect(running.release()).toBe(false);
  await vi.waitFor(async () => expect((await left(second, "k"))[1]).toBe(3), GONE);
}, 30_000);

it("threads of one name take places of one replica; a thread that has ended holds its own until their timeout", async () => {
  const tiers: Tiers = { free: { limits: [{ ...parallel, timeoutSeconds: 6 }] } };
  const storage = { type: "redis", url: server.url, prefix: newPrefix(), timeoutMs: 5000 } as const;
  const [first, second] = (await openThreads(2, { name: "places", tiers, storage })) as [Thread, Thread];
  expect(await first.consume(["k"], "free", 2)).toMatchObject({ allowed: 2 });
  const startMs = performance.now();
  expect(await second.consume(["k"], "free", 2)).toMatchObject({ allowed: 1, denied: 1 });
  await first.end("terminate");
  expect(await second.consume(["k"], "free", 1)).toMatchObject({ denied: 1 });
  await vi.waitFor(async () => expect(await second.consume(["k"], "free", 1)).toMatchObject({ allowed: 1 }), GONE);
  expect(performance.now() - startMs).toBeGreaterThan(5500);
}, 30_000);

it("a server that comes back empty is told of the calls that run", async () => {
  const own = await RedisServer.start();
  onTestFinished(() => own.stop());
  const [first, second] = (await openReplicas(own.url, times(2, TIERS))) as [SharedLimiter, SharedLimiter];
  const running = [await first.consume("k", "free"), await second.consume("k", "free")];
  await own.kill();
  await vi.waitFor(() => expect([first.isReady, second.isReady]).toEqual([false, false]), GONE);
  // One of three, over two replicas, each of which has one already.
  expect((await first.consume("k", "free")).allowed).toBe(false);
  expect((await first.consume("new", "free")).allowed).toBe(true);
  await own.run();
  await Promise.all([first.ready(), second.ready()]);
  await vi.waitFor(async () => expect((await left(second, "k"))[1]).toBe(1), GONE);
  await vi.waitFor(async () => expect((await left(second, "new"))[1]).toBe(2), GONE);
  expect(running.map((decision) => decision.release())).toEqual([true, true]);
  await vi.waitFor(async () => expect((await left(first, "k"))[1]).toBe(3), GONE);
}, 60_000);

it("what is given back while Redis is away is free once it is there again", async () => {
  const own = await RedisServer.start();
  onTestFinished(() => own.stop());
  const [limiter] = await openReplicas(own.url, [TIERS], { timeoutMs: 200 });
  const running = await Promise.all([1, 2, 3].map(() => limiter.consume("k", "free")));
  own.signal("SIGSTOP");
  await vi.waitFor(() => expect(limiter.isReady).toBe(false), GONE);
  expect(running[0]?.release()).toBe(true);
  own.signal("SIGCONT");
  await limiter.ready();
  await vi.waitFor(async () => expect((await left(limiter, "k"))[1]).toBe(1), GONE);
}, 60_000);

// Takes as many places as it is told to, says so, and holds them.
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const [url, prefix, tiers, calls] = process.argv.slice(1);
  const limiter = createLimiter({ tiers: JSON.parse(tiers), storage: { type: "redis", url, prefix, timeoutMs: 5000 } });
  await limiter.ready();
  const decisions = await Promise.all(Array.from({ length: Number(calls) }, () => limiter.consume("k", "free")));
  console.log(decisions.filter(({ allowed }) => allowed).length);
  setInterval(() => undefined, 1000);
`;

async function holder(prefix: string, tiers: Tiers, calls: number): Promise<ChildProcess> {
  const args = ["--input-type=module", "-e", PROGRAM, server.url, prefix, JSON.stringify(tiers), String(calls)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  expect(Number(line)).toBe(calls);
  return child;
}

it("of 3 replicas with 10 places, one killed by kill -9 with 4 of them, never more than 10 calls run, and the 4 come back", async () => {
  const prefix = newPrefix();
  const tiers = { free: { limits: [{ ...parallel, limit: 10 }] } };
  const [first, second] = (await openReplicas(server.url, times(2, tiers), { prefix })) as [
    SharedLimiter,
    SharedLimiter,
  ];
  const child = await holder(prefix, tiers, 4);
  let others = 4;
  const running: Decision[] = [];
  let most = 0;
  const call = async (limiter: SharedLimiter) => {
    const decision = await limiter.consume("k", "free");
    if (decision.allowed) most = Math.max(most, running.push(decision) + others);
    return decision.allowed;
  };
  while (running.length < 6) await call(running.length % 2 === 0 ? first : second);
  expect([await call(first), await call(second)]).toEqual([false, false]);
  child.kill("SIGKILL");
  await once(child, "close");
  others = 0; // They run no more.
  const startMs = performance.now();
  await vi.waitFor(async () => {
    await Promise.all([call(first), call(second)]);
    expect(running.length).toBe(10);
  }, GONE);
  const tookMs = performance.now() - startMs;
  // biome-ignore lint/suspicious/noConsole: the figure is what this test is for
  console.log(`the places of a killed replica were free again after ${Math.round(tookMs)} ms; at most ${most} at once`);
  expect(tookMs).toBeLessThan(10_000);
  expect([await call(first), await call(second)]).toEqual([false, false]);
  expect(most).toBe(10);
  expect(running.map((decision) => decision.release()).every(Boolean)).toBe(true);
  await vi.waitFor(async () => expect(await left(first, "k")).toEqual([10]), GONE);
}, 60_000);

it("of the replica that is there nothing is taken away, however long its calls run", async () => {
  const tiers = { free: { limits: [{ ...parallel, limit: 2 }] } };
  const [first, second] = (await openReplicas(server.url, times(2, tiers))) as [SharedLimiter, SharedLimiter];
  await first.consume("k", "free");
  const running = await second.consume("k", "free");
  await new Promise((resolve) => setTimeout(resolve, 6000));
  expect((await second.consume("k", "free")).allowed).toBe(false);
  expect((await first.consume("k", "free")).allowed).toBe(false);
  expect(running.release()).toBe(true);
}, 30_000);

// Takes a place, and stands still for longer than a replica may be silent.
const BLOCKED = `
  import { createLimiter } from "tollkeeper";
  const [url, prefix, tiers] = process.argv.slice(1);
  const limiter = createLimiter({ tiers: JSON.parse(tiers), storage: { type: "redis", url, prefix, timeoutMs: 5000 } });
  await limiter.ready();
  await limiter.consume("k", "free");
  console.log(1);
  process.stdin.once("data", () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 6000);
    console.log(2);
  });
`;

it("a replica that stood still tells again of the calls that it runs", async () => {
  const prefix = newPrefix();
  const tiers = { free: { limits: [{ ...parallel, limit: 2 }] } };
  const [limiter] = await openReplicas(server.url, [tiers], { prefix });
  const args = ["--input-type=module", "-e", BLOCKED, server.url, prefix, JSON.stringify(tiers)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  expect(await left(limiter, "k")).toEqual([1]);
  child.stdin.write("go\n");
  await vi.waitFor(async () => {
    const decision = await limiter.consume("k", "free");
    decision.release();
    expect(await left(limiter, "k")).toEqual([2]);
  }, GONE);
  await vi.waitFor(async () => expect(await left(limiter, "k")).toEqual([1]), GONE);
}, 60_000);
