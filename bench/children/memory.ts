/** One contestant in a fresh process, for the benchmark `memory`: takes keys in, and tells what they weigh. */

import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "../child.js";
import { type ContestantName, contestant, FREE } from "../contestants.js";
import { nameOf } from "../keys.js";
import { spread } from "../statistics.js";

/** What the keys weigh. */
export interface Weight {
  /** Growth of the resident set, in bytes a key. */
  residentBytes: number;
  /** Growth of the V8 heap, in bytes a key. */
  heapBytes: number;
  /** A full garbage collection, in ms: the middle of three. */
  gcMs: number;
}

const CHUNK = 1 << 13;
const COLLECTIONS = 3;
/** V8 gives pages back a little after a collection, in ms. */
const SETTLE_MS = 300;

const [name, size] = process.argv.slice(2) as [ContestantName, string];
const keys = Number(size);

serve(async (): Promise<Weight> => {
  const { ways } = await contestant(name, keys, FREE);
  const [decide] = Object.values(ways);
  if (decide === undefined) throw new Error(`${name} can't be called`);
  // What V8 needs for short-lived strings is there before the first key is.
  for (let from = 0; from < 1_000_000; from += CHUNK) chunk(from, CHUNK);
  await steady();
  const before = process.memoryUsage();
  for (let from = 0; from < keys; from += CHUNK) await decide(chunk(from, Math.min(CHUNK, keys - from)))();
  await steady();
  const after = process.memoryUsage();
  return {
    residentBytes: (after.rss - before.rss) / keys,
    heapBytes: (after.heapUsed - before.heapUsed) / keys,
    gcMs: spread(Array.from({ length: COLLECTIONS }, collect)).median,
  };
});

function chunk(from: number, length: number): string[] {
  return Array.from({ length }, (_, index) => nameOf(from + index));
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
