/** One limiter on a Redis, called directly, for the benchmarks `redis` and `scale`. */

import { createRequire } from "node:module";
import { Redis } from "ioredis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { createLimiter } from "../build.js";
import { serve } from "../child.js";
import { AMPLE } from "../contestants.js";
import { nameOf, random, uniform, zipf, zipfWeights } from "../keys.js";
import { quantile } from "../statistics.js";

/** What is to be called. */
export type Stint =
  /** Connects; only who is about to be called does, so that nobody's heartbeat counts for another. */
  | { what: "open" }
  /** So many calls a second, at even instants. */
  | { what: "steady"; perSecond: number; seconds: number; keys: number; seed: number }
  /** As fast as so many callers are answered; keys by Zipf's law. */
  | { what: "flat out"; callers: number; seconds: number; keys: number; seed: number }
  /** Each key once. */
  | { what: "each"; from: number; to: number }
  /** Gives back what it holds, and leaves. */
  | { what: "close" };

/** How it went. Latencies are from a call until its decision. */
export interface Outcome {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time of this process, in s. */
  readonly cpuS: number;
  /** Resident bytes at the end. */
  readonly bytes: number;
}

/** Asks for one token, of which there are plenty. */
type Consume = (key: string) => unknown;
type Contestant = { consume: Consume; close: () => Promise<unknown> };

/** Long enough that a busy machine is no outage. */
const TIMEOUT_MS = 2000;
const POINTS = 1e9;
const HOUR_S = 3600;
/** Calls of one caller between two turns of the event loop, at most. */
const TURN = 64;

export const CONTESTANTS = {
  local: async () => {
    const limiter = createLimiter({ tiers: AMPLE });
    return { consume: (key) => limiter.consume(key, "t"), close: async () => limiter.close() };
  },
  leased: (url) => shared(url, "leased"),
  exact: (url) => shared(url, "exact"),
  "rate-limiter-flexible": async (url) => {
    const storeClient = new Redis(url);
    const limiter = new RateLimiterRedis({ storeClient, points: POINTS, duration: HOUR_S, keyPrefix: "rlf" });
    return { consume: (key) => limiter.consume(key), close: () => storeClient.quit() };
  },
  "@fastify/rate-limit": async (url) => {
    const redis = new Redis(url);
    const Store = createRequire(import.meta.url)("@fastify/rate-limit/store/RedisStore.js") as new (
      continueExceeding: boolean,
      exponentialBackoff: boolean,
      redis: Redis,
    ) => { incr(key: string, done: (error: unknown) => void, windowMs: number, max: number): void };
    const store = new Store(false, false, redis);
    const consume = (key: string) =>
      new Promise<void>((resolve, reject) => {
        store.incr(key, (error) => (error ? reject(error) : resolve()), 1000 * HOUR_S, POINTS);
      });
    return { consume, close: () => redis.quit() };
  },
} satisfies Record<string, (url: string) => Promise<Contestant>>;

export type ContestantName = keyof typeof CONTESTANTS;

async function shared(url: string, mode: "leased" | "exact"): Promise<Contestant> {
  const limiter = createLimiter({
    tiers: AMPLE,
    storage: { type: "redis", url, mode, timeoutMs: TIMEOUT_MS, prefix: mode },
  });
  await limiter.ready();
  return { consume: (key) => limiter.consume(key, "t"), close: () => limiter.close() };
}

if (process.send !== undefined) {
  const [name, url] = process.argv.slice(2) as [ContestantName, string];
  let contestant: Contestant | undefined;
  serve(async (stint: Stint): Promise<Outcome> => {
    const latencies: number[] = [];
    const startMs = performance.now();
    const cpu = process.cpuUsage();
    if (stint.what === "open") contestant = await CONTESTANTS[name](url);
    else if (contestant === undefined) throw new Error(`${name} is not open`);
    else await run(stint, contestant, latencies);
    const { user, system } = process.cpuUsage(cpu);
    const sorted = Float64Array.from(latencies).sort();
    return {
      requests: sorted.length,
      seconds: (performance.now() - startMs) / 1000,
      p50Ms: quantile(sorted, 0.5),
      p99Ms: quantile(sorted, 0.99),
      cpuS: (user + system) / 1e6,
      bytes: process.memoryUsage.rss(),
    };
  });
}

async function run(stint: Stint, { consume, close }: Contestant, latencies: number[]): Promise<void> {
  const timed = async (key: string): Promise<void> => {
    const start = performance.now();
    const decision = consume(key);
    if (decision instanceof Promise) await decision;
    latencies.push(performance.now() - start);
  };
  if (stint.what === "steady") await steady(stint, timed);
  else if (stint.what === "flat out") await flatOut(stint, timed);
  else if (stint.what === "each") await each(stint, timed);
  else await close();
}

async function steady(
  { perSecond, seconds, keys, seed }: Extract<Stint, { what: "steady" }>,
  call: (key: string) => Promise<void>,
): Promise<void> {
  const draw = uniform(keys, random(seed));
  const startMs = performance.now();
  const calls: Promise<void>[] = [];
  for (let due = 0; due < perSecond * seconds; ) {
    for (; due < perSecond * seconds && startMs + (due * 1000) / perSecond <= performance.now(); due++) {
      calls.push(call(nameOf(draw())));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(calls);
}

async function flatOut(
  { callers, seconds, keys, seed }: Extract<Stint, { what: "flat out" }>,
  call: (key: string) => Promise<void>,
): Promise<void> {
  const names = Array.from({ length: keys }, (_, key) => nameOf(key));
  const draw = zipf(zipfWeights(keys), random(seed));
  const endMs = performance.now() + seconds * 1000;
  const caller = async (): Promise<void> => {
    while (performance.now() < endMs) {
      for (let calls = 0; calls < TURN; calls++) await call(names[draw()] ?? "");
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

async function each(
  { from, to }: Extract<Stint, { what: "each" }>,
  call: (key: string) => Promise<void>,
): Promise<void> {
  for (let key = from; key < to; key += TURN) {
    await Promise.all(Array.from({ length: Math.min(TURN, to - key) }, (_, index) => call(nameOf(key + index))));
  }
}
