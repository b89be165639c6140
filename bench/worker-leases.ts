/**
 * Worker threads on one named limiter over Redis, against one thread.
 *
 * Three parts. How many decisions a second they make from leases that they hold, over a store that grants all. How many commands
 * they send to a real Redis, at the same calls a second in all. And exactness: all call for a fresh key of a quota until
 * it is denied for good, and what they were admitted is added up.
 */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { BESIDE, BUILD_VARIABLE } from "./beside.js";
import type { LeasingStretch, LeasingTask } from "./children/leasing-thread.js";
import type { Options } from "./options.js";
import { RedisServer } from "./redis-server.js";
import type { Result } from "./report.js";
import { pairedRatios, rounded, shown, spread } from "./statistics.js";

const COUNTS = [1, 2, 4] as const;

/** Time for the threads to hear of it, in ns. */
const START_IN_NS = 20_000_000n;
/** Calls a second of all threads together, and of how many keys. */
const STEADY = { perSecond: 8000, keys: 100 };
/** Of a quota that is used up. */
const LIMIT = 20_000;

interface Build {
  name: "leased" | typeof BESIDE;
  root: string | undefined;
}

interface Throughput {
  build: Build["name"];
  keys: number;
  threads: number;
  /** Decisions a second, one of each round. */
  rates: number[];
}

interface Sent {
  build: Build["name"];
  threads: number;
  /** Commands sent for a request, and all that were carried out, one of each round. */
  perRequest: number[];
  runPerRequest: number[];
}

interface Exactness {
  build: Build["name"];
  threads: number;
  runs: number;
  limit: number;
  exact: number;
  fewest: number;
  most: number;
}

/** What it has found, as a part of the benchmark `workers`. */
export async function workerLeases({ quick, beside }: Options): Promise<Pick<Result, "rows" | "tables" | "panels">> {
  const builds: Build[] = [{ name: "leased", root: undefined }];
  if (beside !== undefined) builds.push({ name: BESIDE, root: beside });
  const sizes = quick ? [10_000] : [1, 10_000, 1_000_000];
  const throughputs: Throughput[] = [];
  for (const keys of sizes) {
    for (const build of builds) throughputs.push(...(await race(build, keys, quick ? 3 : 15, quick ? 100 : 500)));
  }
  const server = await RedisServer.start();
  try {
    const sent = await commands(server, builds, quick ? 1 : 5, quick ? 1000 : 4000);
    const exactness: Exactness[] = [];
    for (const build of builds) {
      for (const threads of [2, 4]) exactness.push(await exactRuns(server, build, threads, quick ? 5 : 100));
    }
    return resultOf(throughputs, sent, exactness);
  } finally {
    await server.stop();
  }
}

async function race(build: Build, keys: number, rounds: number, ms: number): Promise<Throughput[]> {
  const threads: Worker[] = [];
  // One after the other: the first takes the keys in, and the others find them there.
  for (let seed = 0; seed < Math.max(...COUNTS); seed++) {
    threads.push(await start(build, { name: `held ${keys}`, keys, seed }));
  }
  const lanes = COUNTS.map((count): Throughput => ({ build: build.name, keys, threads: count, rates: [] }));
  for (let round = -1; round < rounds; round++) {
    for (const lane of lanes) {
      const calls = await together(threads.slice(0, lane.threads), { what: "held", ms });
      if (round >= 0) lane.rates.push((sum(calls) / ms) * 1000);
    }
  }
  await Promise.all(threads.map((thread) => thread.terminate()));
  return lanes;
}

async function commands(server: RedisServer, builds: readonly Build[], rounds: number, ms: number): Promise<Sent[]> {
  const lanes = builds.flatMap((build) =>
    COUNTS.map((threads) => ({
      build,
      sent: { build: build.name, threads, perRequest: [], runPerRequest: [] } as Sent,
    })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { build, sent } of lanes) {
      const task = { name: "leased-steady", keys: STEADY.keys, url: server.url };
      const threads = await startAll(build, sent.threads, task);
      const stretch = { what: "steady", perSecond: STEADY.perSecond / sent.threads } as const;
      await together(threads, { ...stretch, ms: 1000 });
      await server.reset();
      const calls = await together(threads, { ...stretch, ms });
      const meter = await server.read();
      sent.perRequest.push(meter.sent / sum(calls));
      sent.runPerRequest.push(meter.run / sum(calls));
      await stop(threads);
    }
  }
  return lanes.map(({ sent }) => sent);
}

async function exactRuns(server: RedisServer, build: Build, count: number, runs: number): Promise<Exactness> {
  const threads = await startAll(build, count, { name: "leased-exact", keys: 1, url: server.url, limit: LIMIT });
  const admitted: number[] = [];
  for (let run = 0; run < runs; run++) {
    admitted.push(sum(await together(threads, { what: "all of", key: `${build.name} ${count} ${run}` })));
  }
  await stop(threads);
  return {
    build: build.name,
    threads: count,
    runs,
    limit: LIMIT,
    exact: admitted.filter((tokens) => tokens === LIMIT).length,
    fewest: Math.min(...admitted),
    most: Math.max(...admitted),
  };
}

function startAll(build: Build, count: number, task: Omit<LeasingTask, "seed">): Promise<Worker[]> {
  return Promise.all(Array.from({ length: count }, (_, seed) => start(build, { ...task, seed })));
}

async function start({ root }: Build, workerData: LeasingTask): Promise<Worker> {
  const env = { ...process.env, ...(root !== undefined && { [BUILD_VARIABLE]: root }) };
  const thread = new Worker(new URL("children/leasing-thread.js", import.meta.url), { workerData, env });
  await once(thread, "message");
  return thread;
}

async function stop(threads: readonly Worker[]): Promise<void> {
  await together(threads, { what: "close" });
  await Promise.all(threads.map((thread) => thread.terminate()));
}

type Distributed<T> = T extends unknown ? Omit<T, "startNs"> : never;

/** Tells all threads to begin at one instant; resolves to what each has counted. */
function together(threads: readonly Worker[], stretch: Distributed<LeasingStretch>): Promise<number[]> {
  const startNs = process.hrtime.bigint() + START_IN_NS;
  return Promise.all(
    threads.map(async (thread) => {
      thread.postMessage({ ...stretch, startNs });
      const [count] = await once(thread, "message");
      return Number(count);
    }),
  );
}

function resultOf(
  throughputs: readonly Throughput[],
  sent: readonly Sent[],
  exactness: readonly Exactness[],
): Pick<Result, "rows" | "tables" | "panels"> {
  const timesOne = ({ build, keys, rates }: Throughput) => {
    const one = throughputs.find((lane) => lane.build === build && lane.keys === keys && lane.threads === 1);
    return pairedRatios(rates, one?.rates ?? []);
  };
  const nameOf = ({ build, threads }: { build: string; threads: number }) =>
    `${threads} ${threads === 1 ? "worker" : "workers, one limiter"}, ${build}`;
  const columnOf = (keys: number) => `${keys.toLocaleString("en")} keys`;
  const cellsOf = (lane: Throughput) => ({
    "M decisions a second": shown(spread(lane.rates.map((rate) => rate / 1e6))),
    "× 1 worker": shown(timesOne(lane)),
  });
  return {
    rows: [
      ...throughputs.map(({ rates, ...lane }) => ({
        ...lane,
        decisionsPerSecond: spread(rates),
        timesOne: timesOne({ ...lane, rates }),
      })),
      ...sent.map(({ perRequest, runPerRequest, ...lane }) => ({
        ...lane,
        commandsPerRequest: spread(perRequest),
        withThoseInScripts: spread(runPerRequest),
      })),
      ...exactness,
    ],
    tables: [
      {
        title: "from leases that are held, median (quarters)",
        rows: Object.fromEntries(throughputs.map((lane) => [`${columnOf(lane.keys)}: ${nameOf(lane)}`, cellsOf(lane)])),
      },
      {
        title: `over Redis, ${STEADY.keys} keys, ${STEADY.perSecond} calls a second in all, median (quarters)`,
        rows: Object.fromEntries(
          sent.map((lane) => [
            nameOf(lane),
            {
              "commands sent a request": shown(spread(lane.perRequest)),
              "with those in scripts": shown(spread(lane.runPerRequest)),
            },
          ]),
        ),
      },
      {
        title: "a quota over Redis, used up",
        rows: Object.fromEntries(
          exactness.map(({ build, threads, ...counts }) => [nameOf({ build, threads }), counts]),
        ),
      },
    ],
    panels: [
      {
        title: "two limits a decision, from leases that are held",
        unit: "M decisions a second, more is better",
        bars: throughputs.map((lane) => {
          const { p25, median, p75 } = spread(lane.rates.map((rate) => rate / 1e6));
          return { column: columnOf(lane.keys), name: nameOf(lane), value: median, low: p25, high: p75 };
        }),
      },
      {
        title: "over Redis, the same calls a second in all",
        unit: "commands sent a request, less is better",
        bars: sent.map((lane) => {
          const { p25, median, p75 } = spread(lane.perRequest);
          return { column: "", name: nameOf(lane), value: rounded(median), low: p25, high: p75 };
        }),
      },
    ],
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
