/** A limiter with a storage file, in an event loop under load, for the benchmark `storage`. */

import { statSync } from "node:fs";
import { createLimiter } from "tollkeeper";
import { serve } from "../child.js";
import { AMPLE } from "../contestants.js";
import { nameOf, random, uniform } from "../keys.js";
import { quantile } from "../statistics.js";

/** What is asked, in any order but `close` last. */
export type Step =
  /** How long it took to open the file and to take its keys up. */
  | { step: "open" }
  /** Changes every key and writes them all, under load. */
  | { step: "rewrite"; seed: number }
  /** The same load for that long, and nothing written. */
  | { step: "rest"; ms: number; seed: number }
  /** Forgets nine of ten keys, and writes that. */
  | { step: "forget" }
  | { step: "close" };

export interface Answer {
  /** What the step took. */
  ms: number;
  /** Size of the file after it. */
  fileBytes: number;
  /** How late calls were begun meanwhile, in ms. */
  p50: number;
  p99: number;
  max: number;
}

/** 20,000 calls a second, due in groups of five. */
const GROUP_MS = 0.25;
const GROUP_CALLS = 5;

const [path, size] = process.argv.slice(2) as [string, string];
const keys = Number(size);
const begun = performance.now();
// No timer of its own writes between the steps: a round is shorter than half of `flushMs`.
const storage = { type: "file", path, flushMs: 60_000 } as const;
const limiter = createLimiter({ tiers: AMPLE, maxKeys: keys, storage });
const openMs = performance.now() - begun;

serve(async (question: Step): Promise<Answer> => {
  const start = performance.now();
  switch (question.step) {
    case "open":
      return answer(openMs, []);
    case "rewrite": {
      for (let key = 0; key < keys; key++) limiter.consume(nameOf(key), "t");
      const flushed = performance.now();
      const delays = await delaysUntil(limiter.flush(), question.seed);
      return answer(performance.now() - flushed, delays);
    }
    case "rest": {
      const over = new Promise((resolve) => setTimeout(resolve, question.ms));
      return answer(question.ms, await delaysUntil(over, question.seed));
    }
    case "forget":
      for (let key = 0; key < keys; key++) if (key % 10 !== 0) limiter.reset(nameOf(key));
      await limiter.flush();
      break;
    case "close":
      await limiter.close();
  }
  return answer(performance.now() - start, []);
});

function answer(ms: number, delays: readonly number[]): Answer {
  const sorted = Float64Array.from(delays).sort();
  const at = (share: number): number => quantile(sorted, share);
  return { ms, fileBytes: statSync(path).size, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** The loop never sleeps, since a timer is late by up to a millisecond of its own. */
async function delaysUntil(over: Promise<unknown>, seed: number): Promise<number[]> {
  const draw = uniform(keys, random(seed));
  const delays: number[] = [];
  const start = performance.now();
  let done = false;
  const ended = over.finally(() => {
    done = true;
  });
  while (!done) {
    // All that fell due during a pause was kept waiting by it, and counts.
    for (let due = start + delays.length * GROUP_MS; performance.now() >= due; due += GROUP_MS) {
      delays.push(performance.now() - due);
      for (let call = 0; call < GROUP_CALLS; call++) limiter.consume(nameOf(draw()), "t");
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  return delays;
}
