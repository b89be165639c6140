import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Limiter } from "../limiter/limiter.js";
import type { SharedLimiter } from "../limiter/shared-limiter.js";
import { oncePerScrape } from "./scrape.js";
import { registerStoreMetrics } from "./store.js";

/** Seconds; a decision in process takes well under a microsecond, one that asks Redis a round trip. */
const SECONDS = [
  0.000_000_1, 0.000_000_25, 0.000_000_5, 0.000_001, 0.000_002_5, 0.000_005, 0.000_01, 0.000_1, 0.001, 0.01, 0.1,
];

/**
 * Registers a limiter's own counts as Prometheus metrics, read when they are scraped. No label holds a key.
 *
 * @param registry One per limiter: the names are taken once in each.
 */
export function registerLimiterMetrics(registry: Registry, limiter: Limiter | SharedLimiter): void {
  const registers = [registry];
  const stats = oncePerScrape(() => limiter.stats());
  if (limiter.engine === "redis") registerStoreMetrics(registry, limiter);
  new Counter({
    name: "tollkeeper_decisions_total",
    help: "Decisions by tier and outcome, and by the limit that denied.",
    labelNames: ["tier", "outcome", "limit"],
    registers,
    collect() {
      this.reset();
      for (const { tier, allowed, denied } of stats().tiers) {
        this.inc({ tier, outcome: "allowed", limit: "" }, allowed);
        for (const [limit, count] of Object.entries(denied)) this.inc({ tier, outcome: "denied", limit }, count);
      }
    },
  });
  new Counter({
    name: "tollkeeper_shadow_denials_total",
    help: "Calls that a limit would have denied, had it not been in shadow mode.",
    labelNames: ["tier", "limit"],
    registers,
    collect() {
      this.reset();
      for (const { tier, limit, denials } of stats().shadow) this.inc({ tier, limit }, denials);
    },
  });
  const seconds = new Histogram({
    name: "tollkeeper_decision_seconds",
    help: "Seconds that a decision took, of one in 256.",
    buckets: SECONDS,
    registers,
  });
  limiter.onDecision((elapsed) => seconds.observe(elapsed));
  new Gauge({
    name: "tollkeeper_keys",
    help: "Keys held now.",
    registers,
    collect() {
      this.set(stats().keys);
    },
  });
  new Counter({
    name: "tollkeeper_evictions_total",
    help: "Keys forgotten because they were as good as new, or to make room.",
    registers,
    collect() {
      this.reset();
      this.inc(stats().evictions);
    },
  });
  new Counter({
    name: "tollkeeper_overflow_total",
    help: "Decisions made on the shared bucket of their tier because no more keys could be held.",
    registers,
    collect() {
      this.reset();
      this.inc(stats().overflow);
    },
  });
}
