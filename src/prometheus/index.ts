/**
 * Metrics of a limiter for prom-client.
 *
 * @module tollkeeper/prometheus
 */
import type { Registry } from "prom-client";
import { optionInvalid } from "../errors.js";
import type { Limiter, LimiterStats } from "../limiter/limiter.js";
import type { SharedLimiter, SharedLimiterStats } from "../shared/shared-limiter.js";
import { COUNTED, type CountingLedger, registerLedger } from "./ledger.js";
import { Meter } from "./meter.js";
import { registerStoreMetrics } from "./store.js";

export type { CountedMeter, CountedUsage, CountingLedger, UnwrittenUsage } from "./ledger.js";

/** Seconds; a decision in process takes well under a microsecond, one that asks Redis a round trip. */
const SECONDS = [
  0.000_000_1, 0.000_000_25, 0.000_000_5, 0.000_001, 0.000_002_5, 0.000_005, 0.000_01, 0.000_1, 0.001, 0.01, 0.1,
];

/** How the metrics of a limiter are named. */
export interface LimiterMetricsOptions {
  /** Comes before every name, such as `login_`, so that a registry can have several limiters; empty by default. */
  prefix?: string;
}

/**
 * Registers a limiter's own counts as Prometheus metrics, read when they are scraped. No label holds a key. Once the
 * limiter is closed its counters stay as they were last read, and its gauges have no value.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, also where the registry has a limiter under that prefix.
 */
export function registerLimiterMetrics(
  registry: Registry,
  limiter: Limiter | SharedLimiter,
  options: LimiterMetricsOptions = {},
): void {
  const prefix = checkedPrefix(registry, options, DECISIONS, "a limiter");
  const meter = new Meter<LimiterStats | SharedLimiterStats>(registry, limiter, prefix);
  if (limiter.engine === "redis") registerStoreMetrics(registry, limiter, prefix);
  meter.counter(
    DECISIONS,
    "Decisions by tier and outcome, and by the limit that denied.",
    ["tier", "outcome", "limit"],
    ({ tiers }, add) => {
      for (const { tier, allowed, denied } of tiers) {
        add({ tier, outcome: "allowed", limit: "" }, allowed);
        for (const [limit, count] of Object.entries(denied)) add({ tier, outcome: "denied", limit }, count);
      }
    },
  );
  meter.counter(
    "tollkeeper_shadow_denials_total",
    "Calls that a limit would have denied, had it not been in shadow mode.",
    ["tier", "limit"],
    ({ shadow }, add) => {
      for (const { tier, limit, denials } of shadow) add({ tier, limit }, denials);
    },
  );
  limiter.onDecision(
    meter.seconds("tollkeeper_decision_seconds", "Seconds that a decision took, of one in 256.", SECONDS),
  );
  meter.gauge("tollkeeper_keys", "Keys held now.", "sum", ({ keys }) => keys);
  meter.counter(
    "tollkeeper_evictions_total",
    "Keys forgotten because they were as good as new, or to make room.",
    [],
    ({ evictions }, add) => add({}, evictions),
  );
  meter.counter(
    "tollkeeper_overflow_total",
    "Decisions made on the shared bucket of their tier because no more keys could be held.",
    [],
    ({ overflow }, add) => add({}, overflow),
  );
  meter.gauge(
    "tollkeeper_places",
    "Places that running calls hold of limits of concurrency.",
    "sum",
    ({ places }) => places,
  );
}

/**
 * Registers what a ledger has counted, as {@link registerLimiterMetrics} does a limiter's own counts. No label holds an account.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, also where the registry has a ledger under that prefix.
 */
export function registerLedgerMetrics(
  registry: Registry,
  ledger: CountingLedger,
  options: LimiterMetricsOptions = {},
): void {
  registerLedger(registry, ledger, checkedPrefix(registry, options, COUNTED, "a ledger"));
}

const DECISIONS = "tollkeeper_decisions_total";

function checkedPrefix(
  registry: Registry,
  { prefix = "", ...unknown }: LimiterMetricsOptions,
  first: string,
  what: string,
): string {
  const [option] = Object.keys(unknown);
  if (option !== undefined) throw optionInvalid(option, "unknown", "prefix");
  if (typeof prefix !== "string" || !/^([a-z_][a-z\d_]*)?$/i.test(prefix)) {
    const shown = typeof prefix === "string" ? JSON.stringify(prefix) : prefix;
    throw optionInvalid("prefix", shown, "letters, digits and _, of which no digit comes first");
  }
  if (registry.getSingleMetric(prefix + first) !== undefined) {
    throw optionInvalid(
      "prefix",
      JSON.stringify(prefix),
      `another, such as login_, since the registry has ${what} under that one`,
    );
  }
  return prefix;
}
