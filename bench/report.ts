import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { drawChart, type Panel } from "./chart.js";
import type { Options } from "./options.js";

/** What a benchmark has found. */
export interface Result {
  /** One line: what was measured, in which unit. */
  title: string;
  /** Every figure, as it goes into the JSON. */
  rows: readonly object[];
  /** The figures to read first, printed. */
  tables: readonly Table[];
  panels: readonly Panel[];
}

export interface Table {
  title: string;
  /** A name for each row, and its cells by column. */
  rows: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Prints the tables, and writes the JSON and the plot: to `docs/benchmarks/`, or when quick to `bench/results/`. */
export function publish(name: string, { title, rows, tables, panels }: Result, options: Options): void {
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown"}, Node ${process.versions.node}`;
  console.log(`\n${name}: ${title}\n${machine}`);
  for (const table of tables) {
    console.log(`\n${table.title}`);
    console.table(table.rows);
  }
  const folder = join(ROOT, options.quick ? "bench/results" : "docs/benchmarks");
  mkdirSync(folder, { recursive: true });
  const measuredOn = new Date().toISOString().slice(0, 10);
  const json = JSON.stringify({ name, title, machine, measuredOn, quick: options.quick, rows }, null, 2);
  writeFileSync(join(folder, `${name}.json`), `${json}\n`);
  const subtitle = `${machine}${options.quick ? "; a quick run, whose figures mean little" : ""}`;
  writeFileSync(join(folder, `${name}.svg`), drawChart(`${name}: ${title}`, subtitle, panels));
}
