/**
 * What a storage file costs with 1 M keys: writing all of them while an event loop decides, opening it, and its size.
 *
 * Every round changes all keys and writes them in one flush, while 20,000 decisions a second fall due at fixed instants;
 * the delay is from when one fell due until it was begun. The same load without a flush takes turns with it. The file is
 * closed and opened again in a fresh process, and once more after nine of ten keys were forgotten.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.js";
import type { Answer, Step } from "./children/storage.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { rounded, shown, spread } from "./statistics.js";

const DELAYS = { p50: "p50", p99: "p99", max: "the longest" } as const;

export async function storage({ quick }: Options): Promise<Result> {
  const keys = quick ? 50_000 : 1_000_000;
  const rounds = quick ? 2 : 8;
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-bench-"));
  try {
    return await measure(join(folder, "limits.redb"), keys, rounds);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measure(path: string, keys: number, rounds: number): Promise<Result> {
  const opened = () => new Child<Step, Answer>("storage", { args: [path, String(keys)] });
  const flushes: Answer[] = [];
  const rests: Answer[] = [];
  const first = opened();
  await first.ask({ step: "open" });
  for (let seed = 1; seed <= rounds; seed++) {
    const flush = await first.ask({ step: "rewrite", seed });
    flushes.push(flush);
    rests.push(await first.ask({ step: "rest", ms: flush.ms, seed }));
  }
  const closed = await first.ask({ step: "close" });
  await first.stop();

  const second = opened();
  const loaded = await second.ask({ step: "open" });
  await second.ask({ step: "forget" });
  const forgotten = await second.ask({ step: "close" });
  await second.stop();

  const third = opened();
  const reopened = await third.ask({ step: "open" });
  await third.ask({ step: "close" });
  await third.stop();

  const loops = { "while it flushes": flushes, "at rest": rests };
  const figures = Object.entries(DELAYS) as [keyof typeof DELAYS, string][];
  const of = (answers: readonly Answer[], figure: keyof Answer) => spread(answers.map((answer) => answer[figure]));
  const sizes = {
    "after the first flush": flushes[0],
    [`after ${rounds}`]: flushes.at(-1),
    closed,
    "opened again": loaded,
    "nine of ten forgotten, closed": forgotten,
    "opened after that": reopened,
  };
  const bytes = (answer: Answer | undefined): number => rounded((answer?.fileBytes ?? Number.NaN) / keys);
  return {
    title: `a storage file of ${keys.toLocaleString("en")} keys`,
    rows: [
      { keys, flushes, rests },
      ...Object.entries(sizes).map(([when, answer]) => ({ when, fileBytesPerKey: bytes(answer) })),
      { openMs: loaded.ms, openAfterForgettingMs: reopened.ms, closeMs: closed.ms },
    ],
    tables: [
      {
        title: "ms",
        rows: {
          "flush of every key": { ms: shown(of(flushes, "ms")) },
          "opening, keys taken up": { ms: rounded(loaded.ms) },
          "opening after most were forgotten": { ms: rounded(reopened.ms) },
          "closing, nothing left to write": { ms: rounded(closed.ms) },
        },
      },
      {
        title: `ms of delay of the event loop, median of ${rounds} rounds (quarters)`,
        rows: Object.fromEntries(
          Object.entries(loops).map(([loop, answers]) => [
            loop,
            Object.fromEntries(figures.map(([figure, title]) => [title, shown(of(answers, figure))])),
          ]),
        ),
      },
      {
        title: "size of the file",
        rows: Object.fromEntries(
          Object.entries(sizes).map(([when, answer]) => [when, { "bytes a key of all": bytes(answer) }]),
        ),
      },
    ],
    panels: [
      ...figures.map(([figure, title]) => ({
        title: `delay, ${title}`,
        unit: "ms",
        bars: Object.entries(loops).map(([name, answers]) => {
          const { p25, median, p75 } = of(answers, figure);
          return { column: "", name, value: median, low: p25, high: p75 };
        }),
      })),
      {
        title: "size of the file",
        unit: "bytes a key",
        bars: Object.entries(sizes).map(([name, answer]) => ({ column: "", name, value: bytes(answer) })),
      },
    ],
  };
}
