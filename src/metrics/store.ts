import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { SharedLimiter, SharedLimiterStats } from "../limiter/shared-limiter.js";
import { oncePerScrape } from "./scrape.js";

/** Seconds; a store in the same network answers in well under a millisecond, and the deadline is 50 by default. */
const SECONDS = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 1];

/** Registers how the store of a shared limiter fares. */
export function registerStoreMetrics(registry: Registry, limiter: SharedLimiter): void {
  const registers = [registry];
  const stats = oncePerScrape(() => limiter.stats());
  new Counter({
    name: "tollkeeper_store_commands_total",
    help: "Commands sent to the store, by command and outcome: ok, late (past the deadline) or failed.",
    labelNames: ["command", "outcome"],
    registers,
    collect() {
      this.reset();
      for (const [name, count] of stats().store.commands) {
        const [command = "", outcome = ""] = name.split(" ");
        this.inc({ command, outcome }, count);
      }
    },
  });
  const seconds = new Histogram({
    name: "tollkeeper_store_seconds",
    help: "Seconds until the store has answered, of what it answered within the deadline.",
    buckets: SECONDS,
    registers,
  });
  limiter.onAnswer((elapsed) => seconds.observe(elapsed));

  const gauge = (name: string, help: string, read: (store: SharedLimiterStats["store"]) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(stats().store));
      },
    });
  gauge(
    "tollkeeper_store_circuit_open",
    "1 while decisions are not shared and the outage policy decides.",
    ({ state }) => (state === "together" ? 0 : 1),
  );
  gauge("tollkeeper_store_replicas", "Replicas that share the limits, as last heard.", ({ replicas }) => replicas);
  gauge(
    "tollkeeper_lease_outstanding",
    "Tokens taken ahead and not yet handed out.",
    (store) => store.leaseOutstanding,
  );
  gauge(
    "tollkeeper_worst_case_overshoot",
    "Tokens that a bucket may admit beyond its limit in any window, over all replicas.",
    (store) => store.worstCaseOvershoot,
  );
  gauge(
    "tollkeeper_unreconciled",
    "Tokens admitted while the store was away that it has not heard of yet.",
    (store) => store.unreconciled,
  );
}
