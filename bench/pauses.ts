/**
 * How late an event loop under a steady load begins its calls, with many keys in a limiter and without any limiter.
 *
 * 20,000 calls a second fall due at fixed instants. Each parses a kilobyte and holds it for a second, as what waits for
 * an answer does, and is decided for a key by Zipf's law. The delay is from when a call fell due until it was begun, so that
 * all calls that a pause kept waiting count, and not only the first. The processes take turns. "leased" has a real Redis:
 * some of its calls are of keys that hold nothing, and ask it.
 */

import { BESIDE } from "./beside.js";
import { Child } from "./child.js";
import type { Delays, Load } from "./children/pauses.js";
import type { Options } from "./options.js";
import { RedisServer } from "./redis-server.js";
import type { Result } from "./report.js";
import { shown, spread } from "./statistics.js";

const LOOPS = { "no limiter": "none", native: "native", js: "js", leased: "leased", [BESIDE]: "leased" } as const;

const FIGURES = { p50: "p50", p99: "p99", p9999: "p99.99", max: "the longest" } as const;

interface Loop {
  name: string;
  keys: number;
  rounds: Delays[];
}

export async function pauses({ quick, beside }: Options): Promise<Result> {
  const sizes = quick ? [100_000] : [200_000, 1_000_000];
  const [rounds, seconds] = quick ? [2, 1] : [5, 10];
  const loops: Loop[] = [];
  for (const keys of sizes) loops.push(...(await race(keys, rounds, seconds, beside)));
  const figures = Object.entries(FIGURES) as [keyof Delays, string][];
  const of = ({ rounds }: Loop, figure: keyof Delays) => spread(rounds.map((round) => round[figure]));
  return {
    title: "ms of delay of the event loop at 20,000 calls a second, with many keys",
    rows: loops.map(({ name, ...row }) => ({ loop: name, ...row })),
    tables: sizes.map((keys) => ({
      title: `${keys.toLocaleString("en")} keys: median of ${rounds} rounds of ${seconds} s (quarters), ms`,
      rows: Object.fromEntries(
        loops
          .filter((loop) => loop.keys === keys)
          .map((loop) => [
            loop.name,
            Object.fromEntries(figures.map(([figure, title]) => [title, shown(of(loop, figure))])),
          ]),
      ),
    })),
    panels: figures.map(([figure, title]) => ({
      title,
      unit: "ms",
      bars: loops.map((loop) => {
        const { p25, median, p75 } = of(loop, figure);
        const column = `${loop.keys.toLocaleString("en")} keys`;
        return { column, name: loop.name, value: median, low: p25, high: p75 };
      }),
    })),
  };
}

async function race(keys: number, rounds: number, seconds: number, beside: string | undefined): Promise<Loop[]> {
  const server = await RedisServer.start();
  const loops = Object.entries(LOOPS)
    .filter(([name]) => name !== BESIDE || beside !== undefined)
    .map(([name, contestant]) => ({
      name,
      child: new Child<Load, Delays>("pauses", {
        args: [contestant, String(keys), server.url],
        build: name === BESIDE ? beside : undefined,
      }),
      delays: [] as Delays[],
    }));
  try {
    for (const { child } of loops) await child.ask({ seconds: 1, seed: 0 });
    for (let round = 1; round <= rounds; round++) {
      for (const { child, delays } of loops) delays.push(await child.ask({ seconds, seed: round }));
    }
  } finally {
    await Promise.all(loops.map(({ child }) => child.stop()));
    await server.stop();
  }
  return loops.map(({ name, delays }) => ({ name, keys, rounds: delays }));
}
