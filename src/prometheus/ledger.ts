import type { Registry } from "prom-client";
import { Meter } from "./meter.js";

/** What a ledger tells of itself; `openLedger` of `tollkeeper/ledger` returns one. */
export interface CountingLedger {
  /** What it holds, and has counted. */
  stats(): CountedUsage;
}

/** What a ledger holds, and has counted. */
export interface CountedUsage {
  /** Cells in memory. */
  cells: number;
  /** Calls and tokens that are in memory only. */
  unwritten: UnwrittenUsage;
  /** Calls that found no room. */
  overflow: number;
  /** Calls by meter. */
  counted: readonly CountedMeter[];
}

/** What is in memory only. */
export interface UnwrittenUsage {
  /** Calls, served and denied. */
  calls: number;
  /** Tokens. */
  units: number;
}

/** Calls of one meter, by what has become of them. */
export interface CountedMeter {
  /** What was sold. */
  meter: string;
  /** Such as have used something. */
  served: number;
  /** Such as were denied. */
  denied: number;
  /** Such as got everything back. */
  refunded: number;
}

/** Registers what a ledger counts, under names that begin with `prefix`. */
export function registerLedger(registry: Registry, ledger: CountingLedger, prefix: string): void {
  const meter = new Meter<CountedUsage>(registry, ledger, prefix);
  meter.counter(
    COUNTED,
    "Calls that the ledger has counted, by meter and outcome: served, denied or refunded.",
    ["meter", "outcome"],
    ({ counted }, add) => {
      for (const { meter, served, denied, refunded } of counted) {
        add({ meter, outcome: "served" }, served);
        add({ meter, outcome: "denied" }, denied);
        add({ meter, outcome: "refunded" }, refunded);
      }
    },
  );
  meter.gauge("tollkeeper_ledger_cells", "Cells of the ledger in memory.", "sum", ({ cells }) => cells);
  meter.gauge(
    "tollkeeper_ledger_unwritten",
    "Calls that the ledger has counted and not written to the file yet.",
    "sum",
    ({ unwritten }) => unwritten.calls,
  );
  meter.gauge(
    "tollkeeper_ledger_bound",
    "Tokens that the ledger has counted and not written to the file yet: the most that a crash would lose.",
    "sum",
    ({ unwritten }) => unwritten.units,
  );
  meter.counter(
    "tollkeeper_ledger_overflow_total",
    "Calls counted for no account because no more cells could be held.",
    [],
    ({ overflow }, add) => add({}, overflow),
  );
}

/** The first of the names, by which a registry is known to have a ledger. */
export const COUNTED = "tollkeeper_ledger_counted_total";
