/**
 * What a key weighs, and how long a full garbage collection takes with all of them there.
 *
 * Each contestant takes the keys in as fresh strings that nobody else keeps, in a fresh process for each number of
 * them, with V8's default limits. A contestant that can't hold them is shown with what it died of. "leased" takes them of a
 * real Redis: each key has held a lease and given back what it did not use.
 */

import { BESIDE } from "./beside.js";
import { Child } from "./child.js";
import type { Weight } from "./children/memory.js";
import { CONTESTANT_NAMES, type ContestantName } from "./contestants.js";
import type { Options } from "./options.js";
import { RedisServer } from "./redis-server.js";
import type { Result } from "./report.js";
import { rounded } from "./statistics.js";

interface Row {
  contestant: ContestantName | typeof BESIDE;
  keys: number;
  weight?: Weight;
  died?: string;
}

const FIGURES = [
  { figure: "residentBytes", title: "resident memory", unit: "bytes a key" },
  { figure: "heapBytes", title: "V8 heap", unit: "bytes a key" },
  { figure: "gcMs", title: "full garbage collection", unit: "ms" },
] as const;

/** With more, every key is asked for twice and given back, which takes Redis minutes. */
const MOST_KEYS_LEASED = 1_000_000;

export async function memory({ quick, large, beside }: Options): Promise<Result> {
  const sizes = quick ? [100_000] : [200_000, 1_000_000, 4_000_000, ...(large ? [10_000_000] : [])];
  const names = [...CONTESTANT_NAMES, ...(beside === undefined ? [] : ([BESIDE] as const))];
  const rows: Row[] = [];
  for (const keys of sizes) {
    for (const contestant of names) {
      if (contestant === "leased" || contestant === BESIDE) {
        if (keys > MOST_KEYS_LEASED) continue;
        rows.push({ contestant, keys, ...(await weighLeased(keys, contestant === BESIDE ? beside : undefined)) });
      } else {
        rows.push({ contestant, keys, ...(await weigh([contestant, String(keys)])) });
      }
    }
  }
  return {
    title: "resident bytes and V8 heap a key, ms of a full garbage collection",
    rows,
    tables: sizes.map((keys) => ({
      title: `${keys.toLocaleString("en")} keys`,
      rows: Object.fromEntries(rows.filter((row) => row.keys === keys).map((row) => [row.contestant, cellsOf(row)])),
    })),
    panels: FIGURES.map(({ figure, title, unit }) => ({
      title,
      unit,
      bars: rows.map(({ contestant, keys, weight, died = "" }) => ({
        column: `${keys.toLocaleString("en")} keys`,
        name: contestant,
        value: weight?.[figure] ?? Number.NaN,
        note: died,
      })),
    })),
  };
}

async function weighLeased(keys: number, build: string | undefined): Promise<Pick<Row, "weight" | "died">> {
  const server = await RedisServer.start();
  try {
    return await weigh(["leased", String(keys), server.url], build);
  } finally {
    await server.stop();
  }
}

async function weigh(args: readonly string[], build?: string): Promise<Pick<Row, "weight" | "died">> {
  const child = new Child<null, Weight>("memory", { args, build });
  try {
    return { weight: await child.ask(null) };
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith("died: ")) return { died: message };
    throw error;
  } finally {
    await child.stop();
  }
}

function cellsOf({ weight, died = "" }: Row): Record<string, string | number> {
  if (weight === undefined) return { "resident bytes a key": died };
  return {
    "resident bytes a key": rounded(weight.residentBytes),
    "V8 heap bytes a key": rounded(weight.heapBytes),
    "full collection, ms": rounded(weight.gcMs),
    "before the keys, ms": rounded(weight.gcBeforeMs),
  };
}
