import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, expect, it, onTestFinished, vi } from "vitest";
import { createLimiter } from "../../src/index.js";
import { type Division, type Ledger, openLedger } from "../../src/ledger/index.js";
import { RedisCluster } from "../redis/cluster.js";
import { newPrefix } from "../redis/replicas.js";
import { SentinelGroup } from "../redis/sentinels.js";
import { RedisServer } from "../redis/server.js";

const FLUSH_MS = 400;
/** Calls that a process counts in a turn, about every 5 ms. */
const BATCH = 20;
const AROUND_MS = 1500;
const DAY_MS = 86_400_000;

// Counts, and tells after each turn how many calls it has counted so far, and how many of these are not written.
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  import { openLedger } from "tollkeeper/ledger";
  const [url, prefix, flushMs, batch] = process.argv.slice(1);
  const limiter = createLimiter({
    tiers: { free: { limits: [] } },
    storage: { type: "redis", url, prefix },
    onStorageError: () => undefined,
  });
  const ledger = openLedger({ limiter, meters: ["calls"], flushMs: Number(flushMs), onError: () => undefined });
  let [served, ends] = [0, false];
  process.stdin.on("data", () => { ends = true; });
  const tell = (word) => process.stdout.write(word + " " + served + " " + ledger.stats().unwritten.calls + "\\n");
  const close = async () => {
    for (;;) {
      try {
        await ledger.close();
        break;
      } catch { await new Promise((resolve) => setTimeout(resolve, 100)); }
    }
    process.stdout.write("closed " + served + " 0\\n");
    await limiter.close();
    process.exit(0);
  };
  const turn = () => {
    if (ends) return void close();
    for (let call = 0; call < batch; call++) {
      ledger.record({ account: "account " + (served++ % 50), meter: "calls", plan: "free", units: 0.5 });
    }
    tell("at");
    setTimeout(turn, 5);
  };
  turn();
`;

/** A process that counts. */
class Counter {
  served = 0;
  unwritten = 0;
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;

  constructor(url: string, prefix: string) {
    const program = ["--input-type=module", "-e", PROGRAM, url, prefix, String(FLUSH_MS), String(BATCH)];
    this.#child = spawn(process.execPath, program, { stdio: ["pipe", "pipe", "inherit"] });
    this.#closed = once(this.#child, "close");
    onTestFinished(() => void this.#child.kill("SIGKILL"));
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const [, served, unwritten] = line.split(" ");
      [this.served, this.unwritten] = [Number(served), Number(unwritten)];
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Whether it has begun to write. */
  get writes(): boolean {
    return this.served > 0 && this.unwritten < this.served;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }

  async end(): Promise<void> {
    this.#child.stdin?.write("end\n");
    await this.#closed;
  }
}

const rows: string[] = [];
// biome-ignore lint/suspicious/noConsole: the figures are what these tests are for
afterAll(() => console.log(["| fault | served | ledger | bound |", "| --- | --- | --- | --- |", ...rows].join("\n")));

/** Three processes count while something happens, which says how many calls it may have taken along. */
async function underLoad(
  fault: string,
  url: string,
  happen: (counters: readonly [Counter, Counter, Counter]) => Promise<number>,
): Promise<void> {
  const prefix = newPrefix();
  const counters = [new Counter(url, prefix), new Counter(url, prefix), new Counter(url, prefix)] as const;
  await vi.waitFor(() => expect(counters.map(({ writes }) => writes)).toEqual([true, true, true]), { timeout: 20_000 });
  await wait(AROUND_MS);
  const bound = await happen(counters);
  await wait(AROUND_MS);
  await Promise.all(counters.map((counter) => counter.end()));
  const served = counters.reduce((sum, counter) => sum + counter.served, 0);

  const ledger = openAuditor(url, prefix);
  const told = await Promise.all((["hour", "day", "month"] as const).map((by) => callsOf(ledger, by)));
  expect(new Set(told).size).toBe(1);
  const [calls = 0] = told;
  rows.push(`| ${fault} | ${served} | ${calls} | ${bound} |`);
  expect(calls).toBeGreaterThanOrEqual(served - bound);
  // Of one that was killed what it had counted since its last word is not known.
  expect(calls).toBeLessThanOrEqual(served + (bound > 0 ? BATCH : 0));
}

function openAuditor(url: string, prefix: string): Ledger {
  const limiter = createLimiter({
    tiers: { free: { limits: [] } },
    storage: { type: "redis", url, prefix, timeoutMs: 5000 },
    onStorageError: () => undefined,
  });
  const ledger = openLedger({ limiter, meters: ["calls"], onError: () => undefined });
  onTestFinished(async () => {
    await ledger.close();
    await limiter.close();
  });
  return ledger;
}

/** All calls of the days about today. */
async function callsOf(ledger: Ledger, by: Division): Promise<number> {
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const asked = { from: today - DAY_MS, to: today + 2 * DAY_MS, by, group: ["account"] } as const;
  const { rows } = await vi.waitFor(() => ledger.report(asked), { timeout: 20_000, interval: 50 });
  expect(rows.length).toBeGreaterThanOrEqual(50);
  return rows.reduce((sum, { calls }) => sum + calls, 0);
}

async function startServer(...args: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(...args);
  onTestFinished(() => server.stop());
  return server;
}

const AOF = ["--appendonly", "yes", "--appendfsync", "everysec"];

it("kill -9 of a process", { timeout: 60_000 }, async () => {
  const server = await startServer();
  await underLoad("a process: kill -9", server.url, async ([killed]) => {
    await killed.kill();
    return killed.unwritten + BATCH;
  });
});

it("kill -9 of Redis, back with its data", { timeout: 60_000 }, async () => {
  const server = await startServer(...AOF);
  await underLoad("Redis: kill -9, back with its data", server.url, async () => {
    await server.kill();
    await wait(AROUND_MS);
    await server.run();
    return 0;
  });
});

it("kill -9 of Redis, back empty", { timeout: 60_000 }, async () => {
  const server = await startServer();
  await underLoad("Redis: kill -9, back empty", server.url, async () => {
    await server.kill();
    await wait(AROUND_MS);
    await server.run();
    return 0;
  });
});

it("SIGSTOP of Redis", { timeout: 60_000 }, async () => {
  const server = await startServer();
  await underLoad("Redis: SIGSTOP for 5 s", server.url, async () => {
    server.signal("SIGSTOP");
    await wait(5000);
    server.signal("SIGCONT");
    return 0;
  });
});

it("FLUSHALL", { timeout: 60_000 }, async () => {
  const server = await startServer();
  await underLoad("Redis: FLUSHALL", server.url, async () => {
    const redis = new Redis(server.port);
    await redis.flushall();
    redis.disconnect();
    return 0;
  });
});

it("failover of Sentinels", { timeout: 120_000 }, async () => {
  const group = await SentinelGroup.start();
  onTestFinished(() => group.stop());
  await underLoad("Sentinel failover", group.url, async ([one]) => {
    await group.servers[0].kill();
    await vi.waitFor(() => expect(one.unwritten).toBeGreaterThan(500), { timeout: 20_000, interval: 10 });
    await vi.waitFor(() => expect(one.unwritten).toBeLessThan(500), { timeout: 40_000, interval: 10 });
    return 0;
  });
});

it("loss of a master of a Cluster", { timeout: 120_000 }, async () => {
  const cluster = await RedisCluster.start();
  onTestFinished(() => cluster.stop());
  await underLoad("a master of a Cluster: kill -9", cluster.url, async ([one]) => {
    await cluster.servers[1]?.kill();
    await vi.waitFor(() => expect(one.unwritten).toBeGreaterThan(300), { timeout: 20_000, interval: 10 });
    await vi.waitFor(() => expect(one.unwritten).toBeLessThan(300), { timeout: 40_000, interval: 10 });
    return 0;
  });
});
