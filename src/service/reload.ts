import type { FastifyBaseLogger } from "fastify";
import { Counter, Gauge, type Registry } from "prom-client";
import type { Limiter, SharedLimiter } from "tollkeeper";
import type { LiveConfig, Reload } from "./config/live.js";
import type { Config } from "./config/schema.js";
import { tiersOf } from "./config/tiers.js";
import { isExplained } from "./errors.js";

/** Whose tiers change with the configuration. */
type Reloadable = Pick<Limiter | SharedLimiter, "reload">;

/** Puts a new version of the configuration in force and says in the log what has become of it. */
export function reload(live: LiveConfig, limiter: Reloadable, log: FastifyBaseLogger): Reload {
  const result = live.reload((next) => {
    putTiers(next, live.config, limiter);
    log.level = next.logLevel;
  });
  if (result.outcome === "applied") {
    const { changed, waiting } = result;
    log.info({ changed }, changed.length > 0 ? "the configuration has changed" : "the configuration is as it was");
    if (waiting.length > 0) log.warn({ settings: waiting }, "these settings change at the next start only");
  } else {
    const { error } = result;
    const reason = isExplained(error) ? { code: error.code, reason: error.message } : { err: error };
    log.error(reason, "the new configuration can't be used; the one before stays in force");
  }
  return result;
}

function putTiers(next: Config, present: Config, limiter: Reloadable): void {
  const tiers = tiersOf(next);
  if (JSON.stringify(tiers) !== JSON.stringify(tiersOf(present))) limiter.reload(tiers);
}

/** Registers what has become of new versions of the configuration. */
export function registerReloadMetrics(registry: Registry, live: LiveConfig): void {
  const registers = [registry];
  new Counter({
    name: "tollkeeper_config_reloads_total",
    help: "New versions of the configuration, by outcome: applied or refused.",
    labelNames: ["outcome"],
    registers,
    collect() {
      this.reset();
      for (const [outcome, count] of Object.entries(live.counts)) this.inc({ outcome }, count);
    },
  });
  new Gauge({
    name: "tollkeeper_config_last_reload_successful",
    help: "1 if the last version of the configuration was good, 0 while an older one is in force.",
    aggregator: "min",
    registers,
    collect() {
      this.set(live.isGood ? 1 : 0);
    },
  });
  new Gauge({
    name: "tollkeeper_config_last_reload_success_timestamp_seconds",
    help: "When the configuration in force was read, in seconds since 1970.",
    aggregator: "min",
    registers,
    collect() {
      this.set(live.appliedMs / 1000);
    },
  });
}
