/** A worker thread with a limiter, for the benchmark `workers`. */

import { parentPort, workerData } from "node:worker_threads";
import { createLimiter } from "tollkeeper";
import { AMPLE, ending } from "../contestants.js";
import { nameOf, random, uniform } from "../keys.js";

/** What a thread works on. */
export interface Task {
  /** The limiter's. */
  name: string;
  keys: number;
  seed: number;
  /** Tokens that a key has, if it has an end, on a clock that stands still. */
  limit?: number;
}

/** What it is told to do, from an instant of `process.hrtime` on. */
export interface Stretch {
  startNs: bigint;
  /** Decide for so long, in ms, over all keys; the answer is how many decisions were made. */
  ms?: number;
  /** Instead pass this memory to the other thread and back for so long; the answer is how often. */
  line?: SharedArrayBuffer;
  /** Or decide so often for one key; the answer is how many were admitted. */
  key?: string;
  calls?: number;
}

/** Draws, gone through again and again. */
const DRAWN = 1 << 18;
/** Decisions between two looks at the clock. */
const BETWEEN = 1 << 8;

const { name, keys, seed, limit }: Task = workerData;
const limiter = createLimiter({
  engine: "native",
  name,
  maxKeys: Math.max(keys, 1000),
  ...(limit === undefined ? { tiers: AMPLE } : { tiers: ending(limit), clock: () => Date.UTC(2026, 0, 15) }),
});
const names = Array.from({ length: keys }, (_, key) => nameOf(key));
if (limit === undefined) for (const key of names) limiter.consume(key, "t");
const draw = uniform(keys, random(seed));
const calls = Array.from({ length: DRAWN }, () => names[draw()] ?? "");

parentPort?.on("message", ({ startNs, ms = 0, line, key, calls = 0 }: Stretch) => {
  while (process.hrtime.bigint() < startNs);
  const endNs = startNs + BigInt(ms) * 1_000_000n;
  parentPort?.postMessage(line ? passed(line, endNs) : key === undefined ? decided(endNs) : admitted(key, calls));
});

/** The two threads have seeds 0 and 1, which say whose turn it is. */
function passed(line: SharedArrayBuffer, endNs: bigint): number {
  const turn = new Int32Array(line);
  for (let count = 0; ; count++) {
    for (let look = 1; Atomics.load(turn, 0) !== 2 * count + seed; look++) {
      if (look % BETWEEN === 0 && process.hrtime.bigint() > endNs) return count;
    }
    Atomics.store(turn, 0, 2 * count + seed + 1);
    if (count % BETWEEN === 0 && process.hrtime.bigint() > endNs) return count;
  }
}

function decided(endNs: bigint): number {
  let count = 0;
  while (process.hrtime.bigint() < endNs) {
    for (let call = 0; call < BETWEEN; call++) {
      const key = calls[(count + call) % DRAWN] ?? "";
      if (!limiter.consume(key, "t").allowed) throw new Error("a call was denied, and none should be");
    }
    count += BETWEEN;
  }
  return count;
}

function admitted(key: string, calls: number): number {
  let count = 0;
  for (let call = 0; call < calls; call++) if (limiter.consume(key, "t").allowed) count++;
  return count;
}
