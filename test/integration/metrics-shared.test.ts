import { AggregatorRegistry, Registry } from "prom-client";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type Limiter, type SharedLimiter, type Tiers } from "../../src/index.js";
import { registerLimiterMetrics } from "../../src/prometheus/index.js";
import { LiveConfig } from "../../src/service/config/live.js";
import { registerReloadMetrics } from "../../src/service/reload.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();

const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 240, windowSeconds: 60, burst: 1 },
      { name: "month", type: "quota", limit: 1000, period: "month" },
    ],
  },
};

let prefixes = 0;
function openShared(prefix = `metrics-shared-${prefixes++}`): SharedLimiter {
  const limiter = createLimiter({ tiers: TIERS, storage: { type: "redis", url: redis.url, prefix, timeoutMs: 5000 } });
  onTestFinished(() => limiter.close());
  return limiter;
}

function openLocal(engine: "native" | "js"): Limiter {
  const limiter = createLimiter({ tiers: TIERS, engine });
  onTestFinished(() => limiter.close());
  return limiter;
}

const LIMITERS: Record<string, () => Limiter | SharedLimiter> = {
  native: () => openLocal("native"),
  js: () => openLocal("js"),
  redis: () => openShared(),
};

/** Values of a registry's text by line, such as `tollkeeper_keys`. */
async function valuesOf(registry: Registry): Promise<Map<string, number>> {
  const lines = (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

/** What several processes say together. */
const AGGREGATORS: Record<string, string> = {
  tollkeeper_decisions_total: "sum",
  tollkeeper_shadow_denials_total: "sum",
  tollkeeper_decision_seconds: "sum",
  tollkeeper_keys: "sum",
  tollkeeper_evictions_total: "sum",
  tollkeeper_overflow_total: "sum",
  tollkeeper_store_commands_total: "sum",
  tollkeeper_store_seconds: "sum",
  tollkeeper_store_circuit_open: "max",
  tollkeeper_store_replicas: "max",
  tollkeeper_lease_outstanding: "sum",
  tollkeeper_worst_case_overshoot: "max",
  tollkeeper_unreconciled: "sum",
  tollkeeper_places: "sum",
  tollkeeper_config_reloads_total: "sum",
  tollkeeper_config_last_reload_successful: "min",
  tollkeeper_config_last_reload_success_timestamp_seconds: "min",
};

describe("AggregatorRegistry", () => {
  it("adds up what each process counts, and not what each says of all", async () => {
    const prefix = `metrics-shared-${prefixes++}`;
    const limiters = Array.from({ length: 4 }, () => openShared(prefix));
    await Promise.all(limiters.map((limiter) => limiter.ready()));
    await vi.waitFor(() => expect(limiters.map((each) => each.stats().store.replicas)).toEqual([4, 4, 4, 4]), 10_000);
    const registries = limiters.map((limiter) => {
      const registry = new Registry();
      registerLimiterMetrics(registry, limiter);
      return registry;
    });
    await Promise.all(limiters.map((limiter) => limiter.consume("k", "free")));
    const figures = await Promise.all(registries.map((registry) => registry.getMetricsAsJSON()));
    // As it comes from another process.
    const together = await valuesOf(AggregatorRegistry.aggregate(JSON.parse(JSON.stringify(figures))));
    expect(together.get("tollkeeper_store_replicas")).toBe(4);
    expect(together.get("tollkeeper_worst_case_overshoot")).toBe(4); // 240 a minute, for one second.
    expect(together.get("tollkeeper_store_circuit_open")).toBe(0);
    expect(together.get('tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""}')).toBe(4);
    expect(together.get("tollkeeper_keys")).toBe(4);
    const alone = await Promise.all(registries.map(valuesOf));
    const sum = alone.reduce((sum, values) => sum + (values.get("tollkeeper_lease_outstanding") ?? 0), 0);
    expect(together.get("tollkeeper_lease_outstanding")).toBe(sum);
  });

  it("is told of each metric how", async () => {
    const registry = new Registry();
    registerLimiterMetrics(registry, openShared());
    registerReloadMetrics(registry, new LiveConfig({}));
    const told = (await registry.getMetricsAsJSON()).map(({ name, aggregator }) => [name, aggregator]);
    expect(Object.fromEntries(told)).toEqual(AGGREGATORS);
  });
});

describe.each(Object.entries(LIMITERS))("one registry with the limiter %s", (_kind, open) => {
  it("has several limiters, each under a prefix of its own", async () => {
    const registry = new Registry();
    const [api, login] = [open(), open()];
    registerLimiterMetrics(registry, api);
    registerLimiterMetrics(registry, login, { prefix: "login_" });
    await api.consume("k", "free");
    await login.consume("k", "free");
    await login.consume("k", "free");
    const values = await valuesOf(registry);
    expect(values.get('tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""}')).toBe(1);
    expect(values.get('login_tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""}')).toBe(2);
    const own = [...values.keys()].filter((name) => name.startsWith("tollkeeper_"));
    expect([...values.keys()].filter((name) => name.startsWith("login_")).length).toBe(own.length);
  });

  it("refuses a second under the same prefix, and registers nothing of it", async () => {
    const registry = new Registry();
    registerLimiterMetrics(registry, openLocal("js"));
    const before = registry.getMetricsAsArray().length;
    expect(() => registerLimiterMetrics(registry, open())).toThrow(
      expect.objectContaining({ code: "ERR_OPTION_INVALID", message: expect.stringContaining('prefix is ""') }),
    );
    expect(registry.getMetricsAsArray()).toHaveLength(before);
  });

  it("is scraped as before once the limiter is closed: counters stay, gauges have no value", async () => {
    const registry = new Registry();
    const [closed, other] = [open(), open()];
    registerLimiterMetrics(registry, closed);
    registerLimiterMetrics(registry, other, { prefix: "other_" });
    await closed.consume("k", "free");
    await other.consume("k", "free");
    const before = await valuesOf(registry);
    await closed.close();
    await other.consume("k", "free");
    for (let scrape = 0; scrape < 2; scrape++) {
      const after = await valuesOf(registry);
      const allowed = 'tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""}';
      expect([after.get(allowed), after.get(`other_${allowed}`)]).toEqual([1, 2]);
      const gone = [...before.keys()].filter((name) => !after.has(name));
      const gauges = (await registry.getMetricsAsJSON()).filter(({ type }) => String(type) === "gauge");
      const own = gauges.map(({ name }) => name).filter((name) => name.startsWith("tollkeeper_"));
      expect(gone.sort()).toEqual(own.sort());
      expect(await registry.getMetricsAsJSON()).toHaveLength(registry.getMetricsAsArray().length);
    }
  });

  it("is scraped as well where the limiter was closed before", async () => {
    const registry = new Registry();
    const limiter = open();
    registerLimiterMetrics(registry, limiter);
    await limiter.close();
    expect(await registry.metrics()).toContain("# TYPE tollkeeper_keys gauge");
  });
});

it.each([
  [{ prefix: "1_" }, /prefix is "1_"/],
  [{ prefix: "a-b" }, /prefix is "a-b"/],
  [{ prefix: 1 }, /prefix is 1/],
  [{ prefix: null }, /prefix is null/],
  [{ labels: {} }, /labels is unknown; it may be prefix/],
])("%j is refused", (options, message) => {
  expect(() => registerLimiterMetrics(new Registry(), openLocal("js"), options as never)).toThrow(
    expect.objectContaining({ code: "ERR_OPTION_INVALID", message: expect.stringMatching(message) }),
  );
});
