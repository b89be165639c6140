/**
 * How late an event loop under a steady load begins its calls, with 1 M keys in a limiter and without any limiter.
 *
 * 20,000 calls a second fall due at fixed instants. Each parses a kilobyte and holds it for a second, as what waits for
 * an answer does, and is decided for a random key. The delay is from when a call fell due until it was begun, so that
 * all calls that a pause kept waiting count, and not only the first. The processes take turns.
 */

import { Child } from "./child.js";
import type { Delays, Load } from "./children/pauses.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { shown, spread } from "./statistics.js";

const LOOPS = { "no limiter": "none", native: "native", js: "js" } as const;

const FIGURES = { p50: "p50", p99: "p99", p9999: "p99.99", max: "the longest" } as const;

export async function pauses({ quick }: Options): Promise<Result> {
  const keys = quick ? 100_000 : 1_000_000;
  const [rounds, seconds] = quick ? [2, 1] : [5, 10];
  const loops = Object.entries(LOOPS).map(([name, contestant]) => ({
    name,
    child: new Child<Load, Delays>("pauses", { args: [contestant, String(keys)] }),
    delays: [] as Delays[],
  }));
  try {
    for (const { child } of loops) await child.ask({ seconds: 1, seed: 0 });
    for (let round = 1; round <= rounds; round++) {
      for (const { child, delays } of loops) delays.push(await child.ask({ seconds, seed: round }));
    }
  } finally {
    await Promise.all(loops.map(({ child }) => child.stop()));
  }
  const figures = Object.entries(FIGURES) as [keyof Delays, string][];
  const of = (delays: readonly Delays[], figure: keyof Delays) => spread(delays.map((round) => round[figure]));
  return {
    title: `ms of delay of the event loop at 20,000 calls a second, ${keys.toLocaleString("en")} keys`,
    rows: loops.map(({ name, delays }) => ({ loop: name, keys, rounds: delays })),
    tables: [
      {
        title: `median of ${rounds} rounds of ${seconds} s (quarters), ms`,
        rows: Object.fromEntries(
          loops.map(({ name, delays }) => [
            name,
            Object.fromEntries(figures.map(([figure, title]) => [title, shown(of(delays, figure))])),
          ]),
        ),
      },
    ],
    panels: figures.map(([figure, title]) => ({
      title,
      unit: "ms",
      bars: loops.map(({ name, delays }) => {
        const { p25, median, p75 } = of(delays, figure);
        return { column: "", name, value: median, low: p25, high: p75 };
      }),
    })),
  };
}
