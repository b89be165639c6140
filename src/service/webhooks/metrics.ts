import { Counter, Gauge, type Registry } from "prom-client";
import type { Deliveries } from "./deliveries.js";

/** Registers how deliveries fare; the result counts an attempt. */
export function registerWebhookMetrics(registry: Registry, deliveries: Deliveries): (isDelivered: boolean) => void {
  const registers = [registry];
  const attempts = new Counter({
    name: "tollkeeper_webhook_attempts_total",
    help: "Deliveries of webhooks attempted by this replica, by outcome: delivered or failed.",
    labelNames: ["outcome"],
    registers,
  });
  for (const outcome of ["delivered", "failed"]) attempts.inc({ outcome }, 0);
  new Gauge({
    name: "tollkeeper_webhook_deliveries",
    help: "Deliveries of webhooks by state, over all replicas: pending, or dead, which were given up.",
    labelNames: ["state"],
    registers,
    aggregator: "max",
    collect() {
      const { pending, dead } = deliveries.counts;
      this.set({ state: "pending" }, pending);
      this.set({ state: "dead" }, dead);
    },
  });
  return (isDelivered) => attempts.inc({ outcome: isDelivered ? "delivered" : "failed" });
}
