/**
 * Two worker threads on one named limiter, against one.
 *
 * Both take decisions as fast as they can over the same stretch of time. Beside them two threads with a limiter each:
 * what the machine gives when nothing at all is shared. Before each round, how long memory takes from one thread to the other
 * and back: it is what sharing costs, and a virtual machine may have its processors near to each other in one minute and far
 * in the next. Then exactness: two threads ask twice as often as a fresh key allows, at the same time, and what they were
 * admitted is added up. And the same over a store: see `worker-leases.ts`.
 */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Stretch, Task } from "./children/thread.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { pairedRatios, shown, spread } from "./statistics.js";
import { workerLeases } from "./worker-leases.js";

const SETUPS = {
  "1 worker": { threads: 1, shared: true },
  "2 workers, one limiter": { threads: 2, shared: true },
  "2 workers, a limiter each": { threads: 2, shared: false },
} as const;

type Setup = keyof typeof SETUPS;

/** Time for the threads to hear of it, in ns. */
const START_IN_NS = 20_000_000n;

/** For which memory is passed, in ms. */
const PASS_MS = 20;

/** What was measured with so many keys. */
interface Race {
  lanes: Lane[];
  /** In which memory came to the other thread and back, in ns, one of each round. */
  passesNs: number[];
}

interface Lane {
  keys: number;
  setup: Setup;
  /** Decisions a second, one of each round. */
  rates: number[];
}

export async function workers(options: Options): Promise<Result> {
  const { quick } = options;
  const sizes = quick ? [1, 10_000] : [1, 10_000, 1_000_000];
  const [rounds, ms] = quick ? [3, 100] : [15, 500];
  const races: Race[] = [];
  for (const keys of sizes) races.push(await race(keys, rounds, ms));
  const lanes = races.flatMap((race) => race.lanes);
  const runs = await exactRuns(quick ? 10 : 100);
  const admitted = runs.map(({ admitted }) => admitted);
  const leased = await workerLeases(options);
  const exact = runs.filter(({ admitted, limit }) => admitted === limit).length;
  const passes = sizes.map((keys, index) => ({ keys, passNs: spread(races[index]?.passesNs ?? []) }));
  const table = passes.map(({ keys, passNs }) => [
    `${keys.toLocaleString("en")} keys`,
    { ...cellsOf(lanes, keys), "memory there and back, ns": shown(passNs) },
  ]);
  return {
    title: `millions of decisions a second by worker threads; ${exact} of ${runs.length} runs on one key exact`,
    rows: [
      ...lanes.map(({ keys, setup, rates }) => ({ keys, setup, decisionsPerSecond: spread(rates) })),
      ...sizes.map((keys) => ({ keys, ratio: "2 workers, one limiter / 1 worker", times: ratio(lanes, keys) })),
      ...passes,
      { runs: runs.length, exact, limit: runs[0]?.limit, fewest: Math.min(...admitted), most: Math.max(...admitted) },
      ...leased.rows,
    ],
    tables: [{ title: "M decisions a second, median (quarters)", rows: Object.fromEntries(table) }, ...leased.tables],
    panels: [
      {
        title: "two limits a decision, native",
        unit: "M decisions a second, more is better",
        bars: lanes.map(({ keys, setup, rates }) => {
          const { p25, median, p75 } = spread(rates.map((rate) => rate / 1e6));
          return { column: `${keys.toLocaleString("en")} keys`, name: setup, value: median, low: p25, high: p75 };
        }),
      },
      ...leased.panels,
    ],
  };
}

async function race(keys: number, rounds: number, ms: number): Promise<Race> {
  const entries = Object.entries(SETUPS) as [Setup, (typeof SETUPS)[Setup]][];
  const lanes: Lane[] = entries.map(([setup]) => ({ keys, setup, rates: [] }));
  // The first thread of the shared limiter is the one worker, too.
  const shared = [0, 1].map((thread) => start({ name: `shared ${keys}`, keys, seed: thread }));
  const alone = [0, 1].map((thread) => start({ name: `alone ${keys} ${thread}`, keys, seed: thread }));
  const passesNs: number[] = [];
  for (let round = -1; round < rounds; round++) {
    const [passes = 0] = await together(shared, { ms: PASS_MS, line: new SharedArrayBuffer(64) });
    if (round >= 0) passesNs.push((PASS_MS * 1e6) / passes);
    for (const [index, [, setup]] of entries.entries()) {
      const threads = (setup.shared ? shared : alone).slice(0, setup.threads);
      const calls = await together(threads, { ms });
      if (round >= 0) lanes[index]?.rates.push((sum(calls) / ms) * 1000);
    }
  }
  await Promise.all([...shared, ...alone].map((thread) => thread.terminate()));
  return { lanes, passesNs };
}

async function exactRuns(runs: number): Promise<{ limit: number; admitted: number }[]> {
  const limit = 20_000;
  const threads = [0, 1].map((thread) => start({ name: "exact", keys: 1, seed: thread, limit }));
  const found: { limit: number; admitted: number }[] = [];
  // Once for nothing, so that both have loaded.
  await together(threads, { key: "first", calls: 1 });
  for (let run = 0; run < runs; run++) {
    found.push({ limit, admitted: sum(await together(threads, { key: `run ${run}`, calls: limit })) });
  }
  await Promise.all(threads.map((thread) => thread.terminate()));
  return found;
}

function start(task: Task): Worker {
  return new Worker(new URL("children/thread.js", import.meta.url), { workerData: task });
}

/** Tells all threads to begin at one instant; resolves to what each has counted. */
function together(threads: readonly Worker[], stretch: Omit<Stretch, "startNs">): Promise<number[]> {
  const startNs = process.hrtime.bigint() + START_IN_NS;
  return Promise.all(
    threads.map(async (thread) => {
      thread.postMessage({ ...stretch, startNs });
      const [count] = await once(thread, "message");
      return Number(count);
    }),
  );
}

function ratio(lanes: readonly Lane[], keys: number, over: Setup = "2 workers, one limiter") {
  const rates = (setup: Setup) => lanes.find((lane) => lane.keys === keys && lane.setup === setup)?.rates ?? [];
  return pairedRatios(rates(over), rates("1 worker"));
}

function cellsOf(lanes: readonly Lane[], keys: number): Record<string, string> {
  const here = lanes.filter((lane) => lane.keys === keys);
  return {
    ...Object.fromEntries(here.map(({ setup, rates }) => [setup, shown(spread(rates.map((rate) => rate / 1e6)))])),
    "one limiter: × 1 worker": shown(ratio(lanes, keys)),
    "a limiter each: × 1 worker": shown(ratio(lanes, keys, "2 workers, a limiter each")),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
