/**
 * What limiting adds to one route of Fastify, by the work of the process alone: requests and answers are Node's, and no
 * network brings them. What else a machine does only ever makes a batch slower, so of each process the quickest counts.
 */
import { Child } from "./child.js";
import type { Batches } from "./children/plugin.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { BARE, SERVER_NAMES } from "./servers.js";
import { rounded, spread } from "./statistics.js";

export async function plugin({ quick }: Options): Promise<Result> {
  const processes = quick ? 1 : 7;
  const batches: Batches = { count: quick ? 30 : 250, calls: 300 };
  const quickest = new Map<string, number[]>(SERVER_NAMES.map((server) => [server, []]));
  for (let process = 0; process < processes; process++) {
    for (const server of SERVER_NAMES) {
      const child = new Child<Batches, number[]>("plugin", { args: [server], processor: 1 });
      try {
        quickest.get(server)?.push(Math.min(...(await child.ask(batches))));
      } finally {
        await child.stop();
      }
    }
  }
  const spreadOf = (server: string) => spread(quickest.get(server) ?? []);
  const bare = spreadOf(BARE).median;
  return {
    title: "what a call takes a process, with and without limits, without a network",
    rows: SERVER_NAMES.map((server) => ({
      server,
      processes: quickest.get(server)?.map((quickestUs) => ({ quickestUs })),
    })),
    tables: [
      {
        title: "µs a call: median of the processes' quickest batches (quarters)",
        rows: Object.fromEntries(
          SERVER_NAMES.map((server) => {
            const { p25, median, p75 } = spreadOf(server);
            return [
              server,
              { µs: `${rounded(median)} (${rounded(p25)}–${rounded(p75)})`, "above bare, µs": rounded(median - bare) },
            ];
          }),
        ),
      },
    ],
    panels: [
      {
        title: "GET of one small object",
        unit: "µs a call, less is better",
        bars: SERVER_NAMES.map((name) => {
          const { p25, median, p75 } = spreadOf(name);
          return { column: "", name, value: median, low: p25, high: p75 };
        }),
      },
    ],
  };
}
