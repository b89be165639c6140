/** One contestant with all its keys in the table, for the benchmark `engine`: takes a sample when told to. */

import { Bench } from "tinybench";
import { serve } from "../child.js";
import { AMPLE, type ContestantName, contestant, type Limits, type Work } from "../contestants.js";
import { type Distribution, type Draw, nameOf, random, uniform, zipf, zipfWeights } from "../keys.js";

/** What to measure. */
export interface Sample {
  way: string;
  distribution: Distribution;
  strings: "kept" | "fresh";
  /** Decisions of which the average is taken. */
  calls: number;
  /** The same seed draws the same keys. */
  seed: number;
}

/** What a contestant tells of itself. */
export interface Profile {
  limits: Limits;
  ways: string[];
}

/** Of the decisions of a sample, how many more come before the clock starts, since another process had the caches. */
const WARM_SHARE = 1 / 8;

const [name, size, asked] = process.argv.slice(2) as [ContestantName, string, string];
const keys = Number(size);
const {
  limits,
  ways,
  fill = (keys) => Object.values(ways)[0]?.(keys)(),
} = await contestant(name, keys, AMPLE, Number(asked) as Limits);
const names = Array.from({ length: keys }, (_, key) => nameOf(key));
const weights = zipfWeights(keys);
await fill(names);
global.gc?.();

/** Asked for its profile it tells what it is; asked for a sample, the ns that one decision took on average. */
serve(async (sample: Sample | "profile"): Promise<Profile | number> => {
  if (sample === "profile") return { limits, ways: Object.keys(ways) };
  const way = ways[sample.way];
  if (way === undefined) throw new Error(`${name} has no way ${sample.way}`);
  const { calls, strings } = sample;
  const next = random(sample.seed);
  const draw = sample.distribution === "uniform" ? uniform(keys, next) : zipf(weights, next);
  await way(drawn(calls * WARM_SHARE, draw, strings))();
  return (await timed(way(drawn(calls, draw, strings)))) / calls;
});

function drawn(calls: number, draw: Draw, strings: Sample["strings"]): string[] {
  const text = strings === "kept" ? (key: number) => names[key] ?? "" : nameOf;
  return Array.from({ length: calls }, () => text(draw()));
}

/** How long it takes, in ns. */
async function timed(work: Work): Promise<number> {
  const bench = new Bench({ warmup: false, iterations: 1, time: 0, throws: true });
  bench.add("work", work, { async: work.constructor.name === "AsyncFunction" });
  const [task] = await bench.run();
  if (task?.result.state !== "completed") throw new Error("the benchmark did not run");
  return task.result.latency.mean * 1e6;
}
