/** One way to count what was served, in a fresh process, for the benchmark `ledger`. */

import { createLimiter } from "tollkeeper";
import { openLedger } from "tollkeeper/ledger";
import { serve } from "../child.js";
import { nameOf, random, uniform } from "../keys.js";

/** What is asked, in any order but `fill` first. */
export type Step =
  /** A call for each account and meter, and what a cell weighs then. */
  | { step: "fill" }
  /** Calls of accounts and meters at random. */
  | { step: "record"; seed: number }
  /** A call for each account and meter again, then their writing while the event loop is asked how late it is. */
  | { step: "flush" }
  /** The same loop for that long, and nothing written. */
  | { step: "rest"; ms: number };

export interface Answer {
  /** ns a call, of `record`; bytes a cell, of `fill`; ms, of `flush`. */
  value: number;
  /** The longest turn of the event loop meanwhile, in ms. */
  longestMs: number;
}

/** One month of one plan, of which the time does not matter here. */
const NOW_MS = Date.UTC(2026, 10, 10, 12);
const METERS = ["identify", "compare", "batch", "search"];
const CALLS = 1 << 18;

const [engine, size, path] = process.argv.slice(2) as ["native" | "js", string, string | undefined];
const names = Array.from({ length: Number(size) }, (_, account) => nameOf(account));
const storage = path === undefined ? ({ type: "memory" } as const) : ({ type: "file", path, flushMs: 60_000 } as const);
const limiter = createLimiter({ tiers: { free: { limits: [] } }, engine, storage });
const ledger = openLedger({ limiter, meters: METERS, flushMs: 60_000, maxCells: 2_000_000, clock: () => NOW_MS });

serve(async (question: Step): Promise<Answer> => {
  const start = performance.now();
  switch (question.step) {
    case "fill": {
      for (let times = 0; times < 4; times++) gc?.();
      const before = process.memoryUsage().rss;
      fill();
      gc?.();
      return { value: (process.memoryUsage().rss - before) / (names.length * METERS.length), longestMs: 0 };
    }
    case "record": {
      const draw = uniform(names.length * METERS.length, random(question.seed));
      for (let call = 0; call < CALLS; call++) record(draw());
      return { value: ((performance.now() - start) * 1e6) / CALLS, longestMs: 0 };
    }
    case "flush": {
      fill();
      const filled = performance.now();
      const longestMs = await longestTurn(ledger.flush());
      return { value: performance.now() - filled, longestMs };
    }
    case "rest":
      return { value: question.ms, longestMs: await longestTurn(new Promise((over) => setTimeout(over, question.ms))) };
  }
});

function fill(): void {
  for (let cell = 0; cell < names.length * METERS.length; cell++) record(cell);
}

function record(cell: number): void {
  const account = names[Math.floor(cell / METERS.length)] ?? "";
  ledger.record({ account, meter: METERS[cell % METERS.length] ?? "", plan: "free" });
}

async function longestTurn(over: Promise<unknown>): Promise<number> {
  let [last, longest, done] = [performance.now(), 0, false];
  const ended = over.finally(() => {
    done = true;
  });
  while (!done) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  await ended;
  return longest;
}
