/** An event loop under a steady load, with a limiter or without, for the benchmark `pauses`. */

import { serve } from "../child.js";
import { AMPLE, type ContestantName, contestant } from "../contestants.js";
import { nameOf, random, zipf, zipfWeights } from "../keys.js";
import { redisLeases } from "../redis-leases.js";
import { quantile } from "../statistics.js";

/** A stretch of load. */
export interface Load {
  seconds: number;
  seed: number;
}

/** How late calls were begun, in ms. */
export interface Delays {
  p50: number;
  p99: number;
  p9999: number;
  max: number;
}

/** A call every 50 µs, that is 20,000 a second, due in groups of five. */
const GROUP_MS = 0.25;
const GROUP_CALLS = 5;

/** Calls whose data is still held, as by what waits for an answer: a second of them. */
const HELD = 20_000;
/** Keys taken in at once. */
const CHUNK = 1 << 13;
/** What a call brings, about a kilobyte once parsed. */
const BODY = JSON.stringify({
  items: Array.from({ length: 8 }, (_, id) => ({ id, name: `item ${id}`, tags: ["a", "b"], price: id * 1.5 })),
});

const [name, size, url] = process.argv.slice(2) as [ContestantName | "none", string, string];
const keys = Number(size);
const measured =
  name === "none"
    ? undefined
    : await (name === "leased" ? redisLeases(url, keys, AMPLE) : contestant(name, keys, AMPLE));
const [decide] = Object.values(measured?.ways ?? {});
const fill = measured?.fill ?? (async (keys: readonly string[]) => decide?.(keys)());
for (let from = 0; from < keys; from += CHUNK) {
  await fill(Array.from({ length: Math.min(CHUNK, keys - from) }, (_, index) => nameOf(from + index)));
}
const weights = zipfWeights(keys);
global.gc?.();
const held: unknown[] = new Array(HELD).fill(undefined);

serve(async ({ seconds, seed }: Load): Promise<Delays> => {
  const draw = zipf(weights, random(seed));
  const delays = new Float64Array(Math.round((seconds * 1000) / GROUP_MS));
  await new Promise<void>((resolve) => {
    const start = performance.now();
    let group = 0;
    // The loop never sleeps, since a timer is late by up to a millisecond of its own.
    const turn = (): void => {
      // All that fell due during a pause was kept waiting by it, and counts.
      while (group < delays.length && performance.now() >= start + group * GROUP_MS) {
        delays[group] = performance.now() - (start + group * GROUP_MS);
        for (let call = 0; call < GROUP_CALLS; call++) handle(draw(), group * GROUP_CALLS + call);
        group++;
      }
      if (group < delays.length) setImmediate(turn);
      else resolve();
    };
    turn();
  });
  delays.sort();
  const at = (share: number): number => quantile(delays, share);
  return { p50: at(0.5), p99: at(0.99), p9999: at(0.9999), max: at(1) };
});

function handle(key: number, call: number): void {
  held[call % HELD] = JSON.parse(BODY);
  const text = nameOf(key);
  if (decide !== undefined) void decide([text])();
}
