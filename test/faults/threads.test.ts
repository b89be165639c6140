import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { Relay } from "../redis/relay.js";
import { newPrefix, openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";
import { openThreads, sum, Thread } from "../redis/threads.js";

vi.setConfig({ testTimeout: 120_000 });
const server = await redisForFile();
const SOON = { timeout: 30_000, interval: 50 };
const quota = (limit: number) => ({ limits: [{ name: "day", type: "quota" as const, limit, period: "day" as const }] });
const TIERS = { small: quota(200), large: quota(1e7) };
const ENDS = ["terminate", "exit", "close"] as const;

/** Threads of one name behind a relay, and what Redis has counted of a key of the tier large. */
async function behindRelay(count: number, leaseMs: number, timeoutMs: number, mode: "leased" | "exact" = "leased") {
  const relay = await Relay.start(server.port);
  onTestFinished(() => relay.stop());
  const name = newPrefix();
  const storage = { type: "redis", url: relay.url, mode, leaseMs, timeoutMs } as const;
  const options = { name, tiers: TIERS, storage };
  const threads = await openThreads(count, options);
  const [auditor] = await openReplicas(server.url, [TIERS], { mode: "exact", prefix: name });
  const spent = async (key: string) => 1e7 - ((await auditor.peek(key, "large")).limits[0]?.remaining ?? 0);
  return { relay, options, threads, auditor, spent };
}

describe.each(ENDS)("a thread that ends by %s", (how) => {
  it("while takes are under way keeps nobody from calling, and nothing is let in twice", async () => {
    const { relay, threads } = await behindRelay(2, 100, 2000);
    const [ending, staying] = threads;
    let admitted = (await ending?.consume(["k"], "small", 20))?.allowed ?? 0;
    relay.delayMs = 30;
    await ending?.run("begin", ["l", "m"], "small", 50);
    const others = staying?.consume(["k", "l", "m"], "small", 20);
    await ending?.end(how);
    relay.delayMs = 0;
    expect(await others).toMatchObject({ allowed: 60 });
    admitted += 20 + ((await staying?.exhaust("k", "small")) ?? 0);
    // Of `k` nothing was under way but what was asked ahead; of the others up to fifty calls were let in, unheard.
    expect(admitted).toBeLessThanOrEqual(200);
    const rest = await staying?.exhaust("l", "small");
    expect(rest).toBeLessThanOrEqual(180);
    // Who closes waits for what it has asked for.
    if (how === "close") expect(rest).toBe(130);
  });

  it.each([2, 1])(
    "while Redis is away leaves what it owes to the others, or to the next of its name: %i thread(s)",
    async (count) => {
      const { relay, options, threads, spent } = await behindRelay(count, 100, 100);
      const [ending] = threads;
      const before = (await ending?.consume(["k", "l"], "large", 30))?.allowed;
      expect(before).toBe(60);
      relay.cut();
      await vi.waitFor(async () => {
        // Each of these is decided without Redis, or is the one that finds that it is away.
        await ending?.consume(["away"], "large", 1);
        for (const thread of threads) expect((await thread.stats()).isReady).toBe(false);
      }, SOON);
      expect((await ending?.consume(["k", "l"], "large", 40))?.allowed).toBe(80);
      await ending?.run("refund", 5);
      const unreconciled = (await ending?.stats())?.unreconciled;
      expect(unreconciled).toBeGreaterThan(0);
      await ending?.end(how);
      relay.forget();
      const heir = threads[1] ?? (await Thread.open(options));
      await vi.waitFor(async () => {
        const { isReady, unreconciled, leaseOutstanding } = await heir.stats();
        expect({ isReady, unreconciled, leaseOutstanding }).toEqual({
          isReady: true,
          unreconciled: 0,
          leaseOutstanding: 0,
        });
        // What was refunded were the first calls, of `k`.
        expect([await spent("k"), await spent("l")]).toEqual([65, 70]);
      }, SOON);
      await heir.end("close");
      expect([await spent("k"), await spent("l")]).toEqual([65, 70]);
    },
  );
});

it("what a thread owes and has sent, unheard, before it ended counts once", async () => {
  const { relay, threads, spent } = await behindRelay(2, 100, 300, "exact");
  const client = new Redis({ host: "127.0.0.1", port: server.port, protocol: 2 });
  onTestFinished(() => client.disconnect());
  const [ending, staying] = threads;
  expect((await ending?.consume(["k"], "large", 30))?.allowed).toBe(30);
  await vi.waitFor(async () => expect(await spent("k")).toBe(30), SOON);
  // It arrives, and the answer does not.
  let isHeard = false;
  relay.edit = () => {
    isHeard = true;
    return "";
  };
  await ending?.run("refund", 10);
  await vi.waitFor(() => expect(isHeard).toBe(true), SOON);
  await ending?.end("terminate");
  relay.edit = (text) => text;
  // Answers are missing on the other's connection, too.
  await client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await vi.waitFor(async () => {
    const { isReady, unreconciled, leaseOutstanding } = (await staying?.stats()) ?? {};
    expect({ isReady, unreconciled, leaseOutstanding }).toEqual({
      isReady: true,
      unreconciled: 0,
      leaseOutstanding: 0,
    });
    expect(await spent("k")).toBe(20);
  }, SOON);
  await staying?.end("close");
  expect(await spent("k")).toBe(20);
});

// Four threads of one name, each of which tells of every call that is let in before the next.
const PROGRAM = `
  import { Worker } from "node:worker_threads";
  const [url, name, tiers] = process.argv.slice(1);
  const program = \`
    const { createLimiter } = require("tollkeeper");
    const { writeSync } = require("node:fs");
    const { url, name, tiers } = require("node:worker_threads").workerData;
    const limiter = createLimiter({ name, tiers, storage: { type: "redis", url, leaseMs: 1000 } });
    limiter.ready().then(async () => {
      while (limiter.stats().store.replicas < 3) await new Promise((resolve) => setTimeout(resolve, 20));
      for (;;) {
        for (let call = 0; call < 5; call++) if ((await limiter.consume("k", "small")).allowed) writeSync(1, "k\\\\n");
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });
  \`;
  for (let thread = 0; thread < 4; thread++) {
    new Worker(program, { eval: true, execArgv: [], workerData: { url, name, tiers: JSON.parse(tiers) } });
  }
`;

it("kill -9 of a process with four threads: the others get all but what it held", async () => {
  const rows: string[] = [];
  for (let round = 0; round < 3; round++) {
    const name = newPrefix();
    const tiers = { small: quota(2000), large: quota(1e7) };
    const others = await openReplicas(server.url, times(2, tiers), { prefix: name, leaseMs: 200 });
    const program = ["--input-type=module", "-e", PROGRAM, server.url, name, JSON.stringify(tiers)];
    const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
    let told = 0;
    onTestFinished(() => void child.kill("SIGKILL"));
    createInterface({ input: child.stdout }).on("line", () => {
      if (++told === 400) child.kill("SIGKILL");
    });
    const ended = once(child, "close");
    // Four threads are one replica.
    for (const replica of others) await vi.waitFor(() => expect(replica.stats().store.replicas).toBe(3), SOON);
    await ended;
    // It is gone for good, and nothing of it is under way any more.
    for (const replica of others) await vi.waitFor(() => expect(replica.stats().store.replicas).toBe(2), SOON);
    const [auditor] = others;
    const left = (await auditor.peek("k", "small")).limits[0]?.remaining ?? 0;
    const held = 2000 - left - told;
    rows.push(`${told} let in, ${held} held, ${left} left`);
    expect(told).toBeGreaterThanOrEqual(400);
    expect(held).toBeGreaterThanOrEqual(0);
    const admitted = await Promise.all(
      others.map(async (replica) => {
        for (let admitted = 0; ; ) {
          const decision = await replica.consume("k", "small");
          if (decision.allowed) admitted++;
          else if (decision.isProvisional) await new Promise((resolve) => setTimeout(resolve, 50));
          else return admitted;
        }
      }),
    );
    expect(sum(admitted)).toBe(left);
  }
  // biome-ignore lint/suspicious/noConsole: the figure is what this test is for
  console.log(`four threads of a quota of 2,000, when they were killed:\n${rows.join("\n")}`);
});
