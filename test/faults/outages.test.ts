import { Redis } from "ioredis";
import { afterAll, expect, it, onTestFinished, vi } from "vitest";
import { RedisCluster } from "../redis/cluster.js";
import { Relay } from "../redis/relay.js";
import { SentinelGroup } from "../redis/sentinels.js";
import { forFile, type RedisServer, redisForFile } from "../redis/server.js";
import { Load, type Row, tableOf } from "./load.js";

const CALM_MS = 700;
const rows: Row[] = [];
const [server, sentinels, cluster] = await Promise.all([
  redisForFile(),
  forFile(SentinelGroup.start()),
  forFile(RedisCluster.start()),
]);

// biome-ignore lint/suspicious/noConsole: the figures are what these tests are for
afterAll(() => console.log(tableOf(rows)));

/**
 * Calls three replicas without end in each mode and under two policies, breaks something, mends it, and waits until all
 * share again. `urls` are the replicas'; `during` resolves to when the fault was over.
 */
async function suffer(fault: string, urls: readonly string[], during: (loads: readonly Load[]) => Promise<number>) {
  const ways = (["exact", "leased"] as const).flatMap((mode) =>
    (["closed", "share"] as const).map((policy) => ({ mode, policy })),
  );
  const loads = await Promise.all(ways.map(({ mode, policy }) => Load.begin(mode, policy, urls, fault)));
  await lasting(CALM_MS);
  const faultEndedMs = await during(loads);
  await vi.waitFor(() => expect(loads.flatMap(({ awaited }) => awaited)).toEqual([]), {
    timeout: 20_000,
    interval: 20,
  });
  const results = await Promise.all(loads.map((load) => load.end(fault, faultEndedMs)));
  rows.push(...results);
  for (const row of results) {
    expect(row.calls).toBeGreaterThan(0);
    if (row.policy === "closed") expect(row.over, `${row.mode}: ${fault}`).toBe(0);
  }
  return results;
}

/** Lets a fault last: its length is part of the test. */
const lasting = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until those that ask for each call have missed Redis; returns when the wait began. */
async function noticed(loads: readonly Load[]): Promise<number> {
  const brokenMs = performance.now();
  const asking = loads.filter(({ mode }) => mode === "exact");
  await vi.waitFor(() => expect(asking.every((load) => load.hasMissed)).toBe(true), { timeout: 5000 });
  return brokenMs;
}

async function relayed(): Promise<Relay> {
  const relay = await Relay.start(server.port);
  onTestFinished(() => relay.stop());
  return relay;
}

it("200 ms of latency, which is more than the deadline", async () => {
  const relay = await relayed();
  const results = await suffer("latency 200 ms", [relay.url, relay.url, relay.url], async () => {
    relay.delayMs = 100;
    await lasting(2000);
    relay.delayMs = 0;
    return performance.now();
  });
  for (const { lost } of results) expect(lost).toBe(0);
}, 40_000);

it.each([
  ["all", 3],
  ["one", 1],
])(
  "of three replicas %s cut off",
  async (name, cutOff) => {
    const relay = await relayed();
    const urls = [0, 1, 2].map((replica) => (replica < 3 - cutOff ? server.url : relay.url));
    const results = await suffer(`partition of ${name}`, urls, async () => {
      relay.cut();
      await lasting(2000);
      relay.mend();
      return performance.now();
    });
    for (const { lost } of results) expect(lost).toBe(0);
  },
  40_000,
);

it("connections forgotten by what lies between", async () => {
  const relay = await relayed();
  const results = await suffer("connections forgotten", [relay.url, relay.url, relay.url], async () => {
    relay.forget();
    const forgottenMs = performance.now();
    await lasting(CALM_MS);
    return forgottenMs;
  });
  for (const { lost } of results) expect(lost).toBe(0);
}, 40_000);

it("FLUSHALL under load", async () => {
  const client = new Redis(server.url);
  await suffer("FLUSHALL", [server.url, server.url, server.url], async () => {
    await client.flushall();
    const flushedMs = performance.now();
    await lasting(CALM_MS);
    return flushedMs;
  });
  client.disconnect();
}, 40_000);

it.each(["exact", "leased"] as const)(
  "a replica killed: no other is held up (%s)",
  async (mode) => {
    const fault = "replica kill -9";
    const load = await Load.begin(mode, "closed", [server.url, server.url], fault);
    const { admitted, killedMs } = await load.killed();
    await vi.waitFor(() => expect(load.replicas.map((replica) => replica.stats().store.replicas)).toEqual([2, 2]), {
      timeout: 10_000,
    });
    const row = await load.end(fault, killedMs, admitted);
    rows.push(row);
    expect(row).toMatchObject({ over: 0, lost: 0, refused: 0 });
  },
  40_000,
);

it("Redis killed and back, empty", async () => {
  await suffer("kill -9, back empty", [server.url, server.url, server.url], async () => {
    await server.kill();
    await lasting(1000);
    await server.run();
    return performance.now();
  });
}, 40_000);

it("Redis stopped for ten seconds", async () => {
  await suffer("SIGSTOP 10 s", [server.url, server.url, server.url], async () => {
    server.signal("SIGSTOP");
    await lasting(10_000);
    server.signal("SIGCONT");
    return performance.now();
  });
}, 60_000);

it("the master of Sentinels killed", async () => {
  await suffer("Sentinel failover", [sentinels.url, sentinels.url, sentinels.url], async (loads) => {
    await sentinels.servers[0].kill();
    return noticed(loads);
  });
}, 40_000);

it("a master of a Cluster killed", async () => {
  await suffer("Cluster node loss", [cluster.url, cluster.url, cluster.url], async (loads) => {
    const lost: RedisServer = await cluster.masterOf("{Cluster_node_loss-exact-closed:large}");
    await lost.kill();
    return noticed(loads);
  });
}, 40_000);
