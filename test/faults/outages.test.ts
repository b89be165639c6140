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
 * share again. `urls` are the replicas'; `during` resolves when the fault is over.
 */
async function suffer(fault: string, urls: readonly string[], during: () => Promise<void>) {
  const ways = (["exact", "leased"] as const).flatMap((mode) =>
    (["closed", "share"] as const).map((policy) => ({ mode, policy })),
  );
  const loads = await Promise.all(ways.map(({ mode, policy }) => Load.begin(mode, policy, urls, fault)));
  await lasting(CALM_MS);
  await during();
  const healedMs = performance.now();
  await vi.waitFor(() => expect(loads.flatMap(({ awaited }) => awaited)).toEqual([]), {
    timeout: 20_000,
    interval: 20,
  });
  const results = await Promise.all(loads.map((load) => load.end(fault, healedMs)));
  rows.push(...results);
  for (const row of results) {
    expect(row.calls).toBeGreaterThan(0);
    if (row.policy === "closed") expect(row.over, `${row.mode}: ${fault}`).toBe(0);
  }
  return results;
}

/** Lets a fault last: its length is part of the test. */
const lasting = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

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
  });
  for (const { lost } of results) expect(lost).toBe(0);
}, 40_000);

it("all replicas cut off", async () => {
  const relay = await relayed();
  const results = await suffer("partition of all", [relay.url, relay.url, relay.url], async () => {
    relay.cut();
    await lasting(2000);
    relay.mend();
  });
  for (const { lost } of results) expect(lost).toBe(0);
}, 40_000);

it("one replica of three cut off", async () => {
  const relay = await relayed();
  const results = await suffer("partition of one", [server.url, server.url, relay.url], async () => {
    relay.cut();
    await lasting(2000);
    relay.mend();
  });
  for (const { lost } of results) expect(lost).toBe(0);
}, 40_000);

it("connections forgotten by what lies between", async () => {
  const relay = await relayed();
  const results = await suffer("connections forgotten", [relay.url, relay.url, relay.url], async () => {
    relay.forget();
  });
  for (const { lost } of results) expect(lost).toBe(0);
}, 40_000);

it("FLUSHALL under load", async () => {
  const client = new Redis(server.url);
  await suffer("FLUSHALL", [server.url, server.url, server.url], async () => {
    await client.flushall();
    await lasting(CALM_MS);
  });
  client.disconnect();
}, 40_000);

it("Redis killed and back, empty", async () => {
  await suffer("kill -9, back empty", [server.url, server.url, server.url], async () => {
    await server.kill();
    await lasting(1000);
    await server.run();
  });
}, 40_000);

it("the master of Sentinels killed", async () => {
  await suffer("Sentinel failover", [sentinels.url, sentinels.url, sentinels.url], async () => {
    await sentinels.servers[0].kill();
  });
}, 40_000);

it("a master of a Cluster killed", async () => {
  await suffer("Cluster node loss", [cluster.url, cluster.url, cluster.url], async () => {
    const lost: RedisServer = await cluster.masterOf("{Cluster_node_loss-exact-closed:large}");
    await lost.kill();
  });
}, 40_000);
