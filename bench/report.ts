import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";

/** One line of a table: what was measured, and its figures. */
export type Row = Record<string, string | number>;

/** The middle of some samples. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** The quarters of some samples, between which half of them lie. */
export function spread(samples: readonly number[]): { p25: number; p75: number } {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { p25: at(0.25), p75: at(0.75) };
}

/** Prints a table, and writes it as JSON to `bench/results/`. */
export function report(name: string, unit: string, rows: readonly Row[]): void {
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown"}, Node ${process.versions.node}`;
  console.log(`\n${name}: ${unit}\n${machine}`);
  console.table(
    rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, rounded(value)]))),
  );
  mkdirSync("bench/results", { recursive: true });
  writeFileSync(`bench/results/${name}.json`, `${JSON.stringify({ name, unit, machine, rows }, null, 2)}\n`);
}

function rounded(value: string | number): string | number {
  return typeof value === "number" ? Number(value.toPrecision(3)) : value;
}
