/**
 * What it costs to count what was served: a call, a cell, and the writing of 400,000 cells to the limiter's file.
 *
 * Accounts and meters are drawn at random, so that with many of them each count waits for memory. Native and JavaScript take
 * turns, in processes of their own. The flush is of cells that have all changed; the longest turn of the event loop meanwhile
 * stands beside that of as long a rest.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.js";
import type { Answer, Step } from "./children/ledger.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { rounded, shown, spread } from "./statistics.js";

const ENGINES = ["native", "js"] as const;
const METERS = 4;

interface Row {
  engine: (typeof ENGINES)[number];
  accounts: number;
  bytes: number;
  ns: number[];
}

export async function ledger({ quick }: Options): Promise<Result> {
  const rounds = quick ? 5 : 40;
  const rows: Row[] = [];
  for (const accounts of [1_000, 100_000]) rows.push(...(await count(accounts, rounds)));
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-bench-"));
  try {
    return resultOf(rows, await flush(join(folder, "limits.redb"), quick ? 3 : 12));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function count(accounts: number, rounds: number): Promise<Row[]> {
  const children = ENGINES.map((engine) => new Child<Step, Answer>("ledger", { args: [engine, String(accounts)] }));
  const rows: Row[] = [];
  for (const [index, child] of children.entries()) {
    const { value } = await child.ask({ step: "fill" });
    rows.push({ engine: ENGINES[index] ?? "native", accounts, bytes: value, ns: [] });
  }
  for (let seed = 1; seed <= rounds; seed++) {
    for (const [index, child] of children.entries()) {
      const { value } = await child.ask({ step: "record", seed });
      rows[index]?.ns.push(value);
    }
  }
  for (const child of children) await child.stop();
  return rows;
}

interface Flushes {
  ms: number[];
  longestMs: number[];
  atRestMs: number[];
}

async function flush(path: string, rounds: number): Promise<Flushes> {
  const child = new Child<Step, Answer>("ledger", { args: ["native", "100000", path] });
  const flushes: Flushes = { ms: [], longestMs: [], atRestMs: [] };
  for (let round = 0; round < rounds; round++) {
    const { value, longestMs } = await child.ask({ step: "flush" });
    flushes.ms.push(value);
    flushes.longestMs.push(longestMs);
    flushes.atRestMs.push((await child.ask({ step: "rest", ms: value })).longestMs);
  }
  await child.stop();
  return flushes;
}

function resultOf(rows: Row[], flushes: Flushes): Result {
  const titleOf = ({ engine, accounts }: Row) => `${engine}, ${accounts.toLocaleString("en")} × ${METERS}`;
  const barOf = (name: string, samples: readonly number[]) => {
    const { p25, median, p75 } = spread(samples);
    return { column: "", name, value: median, low: p25, high: p75 };
  };
  return {
    title: "ns a call that is counted, resident bytes a cell, ms of a flush of 400,000 cells",
    rows: [...rows, flushes],
    tables: [
      {
        title: "accounts × meters",
        rows: Object.fromEntries(
          rows.map((row) => [
            titleOf(row),
            { "ns a record": shown(spread(row.ns)), "bytes a cell": rounded(row.bytes) },
          ]),
        ),
      },
      {
        title: "flush of 400,000 cells, ms",
        rows: {
          "all of it": { ms: shown(spread(flushes.ms)) },
          "the event loop's longest turn": { ms: shown(spread(flushes.longestMs)) },
          "the same at rest": { ms: shown(spread(flushes.atRestMs)) },
        },
      },
    ],
    panels: [
      { title: "a call that is counted", unit: "ns", bars: rows.map((row) => barOf(titleOf(row), row.ns)) },
      {
        title: "a cell",
        unit: "resident bytes",
        bars: rows.map((row) => ({ column: "", name: titleOf(row), value: rounded(row.bytes) })),
      },
    ],
  };
}
