/** A worker thread that shares a named limiter over Redis, or over a store that grants all, for the benchmark `workers`. */

import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import type { SharedLimiter } from "tollkeeper";
import { createLimiter } from "../build.js";
import { AMPLE, ending } from "../contestants.js";
import { hold, type LeasedLimiter, leasedLimiter } from "../held-leases.js";
import { nameOf, random, uniform } from "../keys.js";

/** What a thread works on. */
export interface LeasingTask {
  /** The limiter's. */
  name: string;
  keys: number;
  seed: number;
  /** Where the Redis is; without one every key holds a lease, all along. */
  url?: string;
  /** Tokens that a key has, if it has an end. */
  limit?: number;
}

/** What it is told to do, from an instant of `process.hrtime` on. */
export type LeasingStretch = { startNs: bigint } & (
  | /** Decide for so long from what is held, as fast as it can; the answer is how many decisions were made. */
  { what: "held"; ms: number }
  /** So many calls a second for so long, of all keys, at even instants; the answer is how many were made. */
  | { what: "steady"; perSecond: number; ms: number }
  /** Call for one key until it is denied for good, waiting as long as it is told; the answer is how many were admitted. */
  | { what: "all of"; key: string }
  /** Give back what is held, and leave. */
  | { what: "close" }
);

/** Draws, gone through again and again. */
const DRAWN = 1 << 18;
/** Decisions between two looks at the clock. */
const BETWEEN = 1 << 8;
/** Tokens of a decision from what is held: so few that a lease lasts, however many threads use up a single one. */
const LEAST_COST = 0.001;
/** Keys taken in at once. */
const CHUNK = 1 << 13;
/** Of leases of Redis, in ms, where a key has an end: who waits for what others hold waits no longer. */
const SHORT_MS = 100;
/** Long enough that a busy machine is no outage. */
const TIMEOUT_MS = 2000;

const { name, keys, seed, url, limit }: LeasingTask = workerData;
const names = Array.from({ length: keys }, (_, key) => nameOf(key));
const draw = uniform(keys, random(seed));
const calls = Array.from({ length: DRAWN }, () => names[draw()] ?? "");
const leased = { name, tiers: AMPLE, maxKeys: Math.max(keys, 1000) };
const held = url === undefined ? (await leasedLimiter(leased)).limiter : undefined;
const shared = url === undefined ? undefined : await overRedis(url);
for (let from = 0; held !== undefined && from < keys; from += CHUNK) await hold(held, names.slice(from, from + CHUNK));
parentPort?.postMessage("ready");

parentPort?.on("message", async (stretch: LeasingStretch) => {
  while (process.hrtime.bigint() < stretch.startNs);
  parentPort?.postMessage(await run(stretch));
});

async function run(stretch: LeasingStretch): Promise<number> {
  if (held !== undefined && stretch.what === "held") return decided(held, stretch.startNs, stretch.ms);
  if (shared === undefined) throw new Error(`a thread without a Redis was told: ${stretch.what}`);
  if (stretch.what === "steady") return steady(shared, stretch.perSecond, stretch.ms);
  if (stretch.what === "all of") return allOf(shared, stretch.key);
  await shared.close();
  return 0;
}

async function overRedis(url: string): Promise<SharedLimiter> {
  const limiter = createLimiter({
    name,
    tiers: limit === undefined ? AMPLE : ending(limit),
    storage: { type: "redis", url, timeoutMs: TIMEOUT_MS, leaseMs: limit === undefined ? 1000 : SHORT_MS },
  });
  await limiter.ready();
  return limiter;
}

function decided(limiter: LeasedLimiter, startNs: bigint, ms: number): number {
  const endNs = startNs + BigInt(ms) * 1_000_000n;
  let count = 0;
  while (process.hrtime.bigint() < endNs) {
    for (let call = 0; call < BETWEEN; call++) {
      const decision = limiter.consume(calls[(count + call) % DRAWN] ?? "", "t", LEAST_COST);
      if (decision instanceof Promise || !decision.allowed)
        throw new Error("a key did not hold a lease, and all should");
    }
    count += BETWEEN;
  }
  return count;
}

async function steady(limiter: SharedLimiter, perSecond: number, ms: number): Promise<number> {
  const startMs = performance.now();
  const count = (perSecond * ms) / 1000;
  const asked: Promise<unknown>[] = [];
  for (let due = 0; due < count; ) {
    for (; due < count && startMs + (due * 1000) / perSecond <= performance.now(); due++) {
      const decision = limiter.consume(calls[due % DRAWN] ?? "", "t");
      if (decision instanceof Promise) asked.push(decision);
    }
    await sleep(1);
  }
  await Promise.all(asked);
  return count;
}

async function allOf(limiter: SharedLimiter, key: string): Promise<number> {
  for (let count = 0; ; ) {
    const decision = await limiter.consume(key, "t");
    if (decision.allowed) count++;
    else if (!decision.isProvisional) return count;
    else await sleep(decision.retryAfterMs);
  }
}
