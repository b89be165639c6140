import { Registry } from "prom-client";
import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter, type Tiers } from "../../../src/index.js";
import { registerLimiterMetrics } from "../../../src/prometheus/index.js";

const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 2, windowSeconds: 60, burst: 1 },
      { name: "month", type: "quota", limit: 3, period: "month" },
    ],
  },
};

describe.each(["native", "js"] as const)("the metrics of a limiter with the %s engine", (engine) => {
  function open(maxKeys = 10) {
    const clock = { nowMs: Date.UTC(2026, 10, 10) };
    const limiter = createLimiter({ tiers: TIERS, engine, maxKeys, clock: () => clock.nowMs });
    onTestFinished(() => limiter.close());
    const registry = new Registry();
    registerLimiterMetrics(registry, limiter);
    return { limiter, clock, lines: async () => (await registry.metrics()).split("\n") };
  }

  it("count decisions by tier, outcome and the limit that denied, as they stand at each scrape", async () => {
    const { limiter, clock, lines } = open();
    for (let call = 0; call < 3; call++) limiter.consume("acct:1", "free");
    const first = await lines();
    expect(first).toContain('tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""} 2');
    expect(first).toContain('tollkeeper_decisions_total{tier="free",outcome="denied",limit="minute"} 1');
    clock.nowMs += 60_000;
    for (let call = 0; call < 2; call++) limiter.consume("acct:1", "free");
    const second = await lines();
    expect(second).toContain('tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""} 3');
    expect(second).toContain('tollkeeper_decisions_total{tier="free",outcome="denied",limit="month"} 1');
    expect(await lines()).toEqual(second);
  });

  it("count keys and decisions that shared a bucket for want of room", async () => {
    const { limiter, lines } = open(2);
    for (const key of ["a", "b", "c", "d"]) limiter.consume(key, "free");
    const metrics = await lines();
    expect(metrics).toContain("tollkeeper_keys 2");
    expect(metrics).toContain("tollkeeper_overflow_total 2");
    expect(metrics).toContain("tollkeeper_evictions_total 0");
  });

  it("label nothing with a key: metrics labelled by user", async () => {
    const { limiter, lines } = open();
    limiter.consume("acct:somebody", "free");
    expect((await lines()).join("\n")).not.toContain("somebody");
  });
});
