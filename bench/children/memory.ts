/** One contestant in a fresh process, for the benchmark `memory`: takes keys in, and tells what they weigh. */

import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "../child.js";
import { type ContestantName, contestant, FREE } from "../contestants.js";
import { nameOf } from "../keys.js";
import { redisLeases } from "../redis-leases.js";
import { spread } from "../statistics.js";

/** What the keys weigh. */
export interface Weight {
  /** Growth of the resident set, in bytes a key. */
  residentBytes: number;
  /** Growth of the V8 heap, in bytes a key. */
  heapBytes: number;
  /** A full garbage collection, in ms: the middle of three. */
  gcMs: number;
  /** The same before the first key was there. */
  gcBeforeMs: number;
}

const CHUNK = 1 << 13;
const COLLECTIONS = 3;
/** V8 gives pages back a little after a collection, in ms. */
const SETTLE_MS = 300;

/** Keys that are asked about and not taken in, for one that warms up. */
const WARM_KEYS = 200_000;

const [name, size, url] = process.argv.slice(2) as [ContestantName, string, string | undefined];
const keys = Number(size);

serve(async (): Promise<Weight> => {
  const measured = await (url === undefined ? contestant(name, keys, FREE) : redisLeases(url, keys, FREE));
  const [decide] = Object.values(measured.ways);
  if (decide === undefined) throw new Error(`${name} can't be called`);
  const { fill = async (keys: readonly string[]) => decide(keys)(), warm, settle } = measured;
  // What V8 needs for short-lived strings is there before the first key is.
  for (let from = 0; from < 1_000_000; from += CHUNK) chunk(from, CHUNK);
  for (let from = 0; warm !== undefined && from < WARM_KEYS; from += CHUNK) await warm(chunk(from, CHUNK));
  await steady();
  const gcBeforeMs = collections();
  const before = process.memoryUsage();
  for (let from = 0; from < keys; from += CHUNK) await fill(chunk(from, Math.min(CHUNK, keys - from)));
  await settle?.();
  await steady();
  const after = process.memoryUsage();
  return {
    residentBytes: (after.rss - before.rss) / keys,
    heapBytes: (after.heapUsed - before.heapUsed) / keys,
    gcMs: collections(),
    gcBeforeMs,
  };
});

function chunk(from: number, length: number): string[] {
  return Array.from({ length }, (_, index) => nameOf(from + index));
}

/** The ms that a full collection takes. */
function collections(): number {
  return spread(Array.from({ length: COLLECTIONS }, collect)).median;
}

/** Collects all garbage; returns the ms it took. */
function collect(): number {
  const start = performance.now();
  global.gc?.();
  return performance.now() - start;
}

async function steady(): Promise<void> {
  collect();
  collect();
  await sleep(SETTLE_MS);
}
