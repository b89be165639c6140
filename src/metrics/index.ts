import { Counter, Gauge, type Registry } from "prom-client";
import type { Limiter } from "../limiter/limiter.js";
import type { SharedLimiter } from "../limiter/shared.js";
import { registerStoreMetrics } from "./store.js";

/**
 * Registers a limiter's own counts as Prometheus metrics, read when they are scraped. No label holds a key.
 *
 * @param registry One per limiter: the names are taken once in each.
 */
export function registerLimiterMetrics(registry: Registry, limiter: Limiter | SharedLimiter): void {
  const registers = [registry];
  if (limiter.engine === "redis") registerStoreMetrics(registry, limiter);
  new Counter({
    name: "tollkeeper_decisions_total",
    help: "Decisions by tier and outcome, and by the limit that denied.",
    labelNames: ["tier", "outcome", "limit"],
    registers,
    collect() {
      this.reset();
      for (const { tier, allowed, denied } of limiter.stats().tiers) {
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
      for (const { tier, limit, denials } of limiter.stats().shadow) this.inc({ tier, limit }, denials);
    },
  });
  new Gauge({
    name: "tollkeeper_keys",
    help: "Keys held now.",
    registers,
    collect() {
      this.set(limiter.stats().keys);
    },
  });
  new Counter({
    name: "tollkeeper_evictions_total",
    help: "Keys forgotten because they were as good as new, or to make room.",
    registers,
    collect() {
      this.reset();
      this.inc(limiter.stats().evictions);
    },
  });
  new Counter({
    name: "tollkeeper_overflow_total",
    help: "Decisions made on the shared bucket of their tier because no more keys could be held.",
    registers,
    collect() {
      this.reset();
      this.inc(limiter.stats().overflow);
    },
  });
}
