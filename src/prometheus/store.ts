import type { Registry } from "prom-client";
import type { SharedLimiter } from "../shared/shared-limiter.js";
import { Meter } from "./meter.js";

/** Seconds; a store in the same network answers in well under a millisecond, and the deadline is 50 by default. */
const SECONDS = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 1];

/** Registers how the store of a shared limiter fares. What each replica says of all of them is not to be added up. */
export function registerStoreMetrics(registry: Registry, limiter: SharedLimiter, prefix: string): void {
  const meter = new Meter(registry, limiter, prefix);
  meter.counter(
    "tollkeeper_store_commands_total",
    "Commands sent to the store, by command and outcome: ok, late (past the deadline) or failed.",
    ["command", "outcome"],
    ({ store }, add) => {
      for (const [name, count] of store.commands) {
        const [command = "", outcome = ""] = name.split(" ");
        add({ command, outcome }, count);
      }
    },
  );
  limiter.onAnswer(
    meter.seconds(
      "tollkeeper_store_seconds",
      "Seconds until the store has answered, of what it answered within the deadline.",
      SECONDS,
    ),
  );
  meter.gauge(
    "tollkeeper_store_circuit_open",
    "1 while decisions are not shared and the outage policy decides.",
    "max",
    ({ store }) => (store.state === "ready" ? 0 : 1),
  );
  meter.gauge(
    "tollkeeper_store_replicas",
    "Replicas that share the limits, as last heard.",
    "max",
    ({ store }) => store.replicas,
  );
  meter.gauge(
    "tollkeeper_lease_outstanding",
    "Tokens taken ahead and not yet handed out.",
    "sum",
    ({ store }) => store.leaseOutstanding,
  );
  meter.gauge(
    "tollkeeper_worst_case_overshoot",
    "Tokens that a bucket may admit beyond its limit in any window, over all replicas.",
    "max",
    ({ store }) => store.worstCaseOvershoot,
  );
  meter.gauge(
    "tollkeeper_unreconciled",
    "Tokens admitted while the store was away that it has not heard of yet.",
    "sum",
    ({ store }) => store.unreconciled,
  );
}
