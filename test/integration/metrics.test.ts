import { readFileSync } from "node:fs";
import { Registry } from "prom-client";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type Tiers } from "../../src/index.js";
import { registerLimiterMetrics } from "../../src/prometheus/index.js";
import { metricsAsJson } from "../../src/service/management/metrics-json.js";
import { serve } from "../../src/service/serve.js";
import { redisForFile } from "../redis/server.js";
import { identify, startService } from "./service.js";

const redis = await redisForFile();

const TIERS: Tiers = { free: { limits: [{ name: "month", type: "quota", limit: 1000, period: "month" }] } };

async function start(environment: Record<string, string>) {
  const service = await serve({
    environment: { PORT: "0", RATE_LIMIT_STORAGE: "memory", RATE_LIMIT_LOG_LEVEL: "silent", ...environment },
    print: () => undefined,
    logStream: { write: () => undefined },
  });
  onTestFinished(() => service.stop());
  return service;
}

function namesIn(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? "");
}

it("docs/metrics.md has every metric of ours, and no other", async () => {
  // Those of Redis there are with it only, and those of the ledger without it.
  const shared = await start({ RATE_LIMIT_REDIS_URL: redis.url, RATE_LIMIT_REDIS_PREFIX: "metrics-docs" });
  const all = new Set<string>();
  for (const { metricsUrl } of [shared, await start({})]) {
    for (const name of namesIn(await (await fetch(metricsUrl)).text())) all.add(name);
  }
  const ours = [...all].filter((name) => /^(tollkeeper|fingerprint)_/.test(name));
  const documented = [...readFileSync("docs/metrics.md", "utf8").matchAll(/^\| `(\w+)/gm)].map(([, name]) => name);
  expect(documented.sort()).toEqual(ours.sort());
});

describe("a port of its own for metrics", () => {
  it("has them, and nothing else; the other port has none", async () => {
    const { url, metricsUrl } = await start({ RATE_LIMIT_METRICS_PORT: "0", RATE_LIMIT_METRICS_HOST: "::1" });
    expect(metricsUrl).toMatch(/^http:\/\/\[::1\]:\d+\/metrics$/);
    expect(new URL(metricsUrl).port).not.toBe(new URL(url).port);
    const answer = await fetch(metricsUrl);
    expect(answer.headers.get("content-type")).toContain("text/plain; version=0.0.4");
    expect(await answer.text()).toContain("tollkeeper_keys 0");
    expect((await fetch(new URL("/v1/identify", metricsUrl))).status).toBe(404);
    expect((await fetch(metricsUrl, { method: "POST" })).status).toBe(405);
    expect((await fetch(`${url}/metrics`)).status).toBe(404);
  });

  it("that is taken stops the start and names the setting", async () => {
    const { url } = await start({});
    const RATE_LIMIT_METRICS_PORT = new URL(url).port;
    await expect(start({ RATE_LIMIT_METRICS_PORT })).rejects.toMatchObject({
      code: "ERR_ADDRESS_IN_USE",
      message: expect.stringContaining("RATE_LIMIT_METRICS_PORT"),
    });
  });

  it("answers 500 if a figure can't be had, and says why in the log alone", async () => {
    const registry = new Registry();
    const failing = vi.spyOn(registry, "metrics").mockRejectedValue(new Error("no figure"));
    const told: unknown[] = [];
    const { metricsServer } = await import("../../src/service/metrics-server.js");
    const server = metricsServer(registry, (error) => told.push(error)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect([answer.status, await answer.text()]).toEqual([500, ""]);
    expect(told).toEqual([new Error("no figure")]);
    failing.mockRestore();
  });
});

it("the same figures as JSON: no infinity, no not-a-number", async () => {
  const registry = new Registry();
  const limiter = createLimiter({ tiers: TIERS });
  onTestFinished(() => limiter.close());
  registerLimiterMetrics(registry, limiter);
  limiter.consume("acct:1", "free");
  const metrics = await metricsAsJson(registry);
  expect(metrics.find(({ name }) => name === "tollkeeper_decisions_total")).toMatchObject({
    type: "counter",
    values: [{ name: "tollkeeper_decisions_total", labels: { tier: "free", outcome: "allowed" }, value: 1 }],
  });
  const seconds = metrics.find(({ name }) => name === "tollkeeper_decision_seconds");
  expect(seconds?.values.map(({ name }) => name)).toContain("tollkeeper_decision_seconds_bucket");
  expect(JSON.parse(JSON.stringify(metrics))).toEqual(metrics);
});

describe("decision_seconds", () => {
  it("times the first decision and then one in 256, and none where nobody asks", async () => {
    const limiter = createLimiter({ tiers: TIERS });
    onTestFinished(() => limiter.close());
    const clock = vi.spyOn(performance, "now");
    onTestFinished(() => clock.mockRestore());
    for (let call = 0; call < 600; call++) limiter.consume(`k${call}`, "free");
    expect(clock).not.toHaveBeenCalled();
    const told: number[] = [];
    const end = limiter.onDecision((seconds) => told.push(seconds));
    for (let call = 0; call < 513; call++) limiter.consume(`k${call}`, "free");
    expect(told).toHaveLength(3);
    expect(told.every((seconds) => seconds >= 0 && seconds < 1)).toBe(true);
    end();
    for (let call = 0; call < 300; call++) limiter.consume(`k${call}`, "free");
    expect(told).toHaveLength(3);
  });

  it("times a decision that Redis makes to its answer, and none that fails", async () => {
    const limiter = createLimiter({
      tiers: TIERS,
      storage: { type: "redis", url: redis.url, prefix: "metrics-seconds", mode: "exact", timeoutMs: 5000 },
    });
    onTestFinished(() => limiter.close());
    await limiter.ready();
    const told: number[] = [];
    limiter.onDecision((seconds) => told.push(seconds));
    const decision = limiter.consume("k", "free");
    expect(told).toEqual([]);
    await decision;
    expect(told).toHaveLength(1);
  });
});

describe("the cost of a scrape", () => {
  /** Steps of iterators over Maps and Sets while something runs: what grows when every key is looked at. */
  async function stepsOf(work: () => Promise<unknown>): Promise<number> {
    let steps = 0;
    const prototypes = [new Map().entries(), new Set().values()].map((iterator) => Object.getPrototypeOf(iterator));
    const originals = prototypes.map(({ next }) => next);
    for (const [index, prototype] of prototypes.entries()) {
      prototype.next = function (this: unknown) {
        steps++;
        return originals[index].call(this);
      };
    }
    const forEach = vi.spyOn(Map.prototype, "forEach");
    try {
      await work();
      return steps + forEach.mock.contexts.reduce<number>((sum, map) => sum + (map as Map<unknown, unknown>).size, 0);
    } finally {
      forEach.mockRestore();
      for (const [index, prototype] of prototypes.entries()) prototype.next = originals[index];
    }
  }

  it.each(["native", "js"] as const)("does not grow with the keys, nor does its answer: engine %s", async (engine) => {
    const limiter = createLimiter({ tiers: TIERS, engine });
    onTestFinished(() => limiter.close());
    const registry = new Registry();
    registerLimiterMetrics(registry, limiter);
    const scrape = () => registry.metrics();
    limiter.consume("k", "free");
    await scrape();
    const [before, linesBefore] = [await stepsOf(scrape), (await scrape()).split("\n").length];
    for (let key = 0; key < 20_000; key++) limiter.consume(`k${key}`, "free");
    expect(await stepsOf(scrape)).toBe(before);
    expect((await scrape()).split("\n")).toHaveLength(linesBefore);
    expect((await scrape()).split("\n")).toContain("tollkeeper_keys 20001");
  });

  it("does not grow with the keys that a replica holds leases of", async () => {
    const limiter = createLimiter({
      tiers: TIERS,
      storage: { type: "redis", url: redis.url, prefix: "metrics-leases", timeoutMs: 5000, leaseMs: 5000 },
    });
    onTestFinished(() => limiter.close());
    await limiter.ready();
    const registry = new Registry();
    registerLimiterMetrics(registry, limiter);
    const scrape = () => registry.metrics();
    await limiter.consume("k", "free");
    await scrape();
    const before = await stepsOf(scrape);
    await Promise.all(Array.from({ length: 2000 }, (_, key) => limiter.consume(`k${key}`, "free")));
    expect(await stepsOf(scrape)).toBe(before);
  });

  it("is one reading of the limiter, however many metrics there are", async () => {
    const limiter = createLimiter({ tiers: TIERS });
    onTestFinished(() => limiter.close());
    const registry = new Registry();
    registerLimiterMetrics(registry, limiter);
    const stats = vi.spyOn(limiter, "stats");
    await registry.metrics();
    expect(stats).toHaveBeenCalledTimes(1);
  });
});

it("no label holds a key, an account or an address: metrics labelled by user", async () => {
  const { app, free } = await startService({ RATE_LIMIT_SHADOW: "true" });
  for (let call = 0; call < 200; call++) await app.inject(identify(call % 2 === 0 ? free : undefined, "203.0.113.77"));
  const { payload } = await app.inject("/metrics");
  expect(payload).toContain("tollkeeper_shadow_denials_total{");
  for (const secret of [free, free.slice(9, 40), "test-free", "203.0.113.77"]) expect(payload).not.toContain(secret);
});
