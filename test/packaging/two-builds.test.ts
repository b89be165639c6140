import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import Fastify from "fastify";
import { Registry } from "prom-client";
import { beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import type { Limiter, SharedLimiter, Tiers } from "../../src/index.js";

// An app in CommonJS that import()s a plugin, or the reverse, has both builds in one process.
const BUILDS = ["esm", "cjs"] as const;
type Build = (typeof BUILDS)[number];
type Entries = typeof import("../../src/index.js") &
  typeof import("../../src/fingerprint/index.js") & {
    plugin: typeof import("../../src/fastify/index.js");
    metrics: typeof import("../../src/prometheus/index.js");
  };

const builds = {} as Record<Build, Entries>;

beforeAll(async () => {
  for (const build of BUILDS) {
    const load = (file: string): Promise<object> => {
      const path = join(ROOT, "dist", build, file);
      return build === "esm" ? import(pathToFileURL(path).href) : createRequire(import.meta.url)(path);
    };
    builds[build] = {
      ...(await load("index.js")),
      ...(await load("fingerprint/index.js")),
      plugin: await load("fastify/index.js"),
      metrics: await load("prometheus/index.js"),
    } as Entries;
  }
  expect(builds.esm.TollkeeperError).not.toBe(builds.cjs.TollkeeperError);
});

const NOW = Date.UTC(2026, 0, 15, 12);
const minute = { name: "minute", type: "bucket", limit: 5, windowSeconds: 60, burst: 1 } as const;
const month = { name: "month", type: "quota", limit: 100, period: "month" } as const;
const tried = { name: "tried", type: "bucket", limit: 1, windowSeconds: 60, burst: 1, shadow: true } as const;
const TIERS: Tiers = { free: { limits: [minute, month] }, tried: { limits: [minute, tried] } };

interface Scenario {
  calls: string[];
  close?: boolean;
  tier?: string;
  shadow?: boolean;
  total?: number;
}

/** Statuses, fields and bodies of calls, whose route costs 2 unless it says otherwise. */
async function answers(
  limiter: Limiter | SharedLimiter,
  { plugin }: Entries,
  callerOf: Entries["plugin"]["callerOf"],
  { calls, close = false, tier = "free", shadow = false, total = 0 }: Scenario,
) {
  const app = Fastify();
  await app.register(plugin.default, { limiter, shadow, identify: () => ({ key: "acct:42", tier }) });
  app.post("/works", { config: { toll: { cost: 2 } } }, async (request) => ({
    caller: callerOf(request) ?? "nobody",
    shadowDenials: request.toll?.shadowDenials ?? "none",
  }));
  app.post("/dear", { config: { toll: { cost: 6 } } }, async () => "never");
  app.post("/fails", { config: { toll: { cost: 2 } } }, async () => Promise.reject(new Error("on purpose")));
  app.post("/total", { config: { toll: { cost: 1, total: () => total } } }, async () => "done");
  if (close) await limiter.close();
  const seen: { url: string; status: number; fields: object; body: string }[] = [];
  for (const url of calls) {
    const { statusCode: status, headers, body } = await app.inject({ method: "POST", url });
    const { date: _date, ...fields } = headers;
    seen.push({ url, status, fields, body });
  }
  await app.close();
  await limiter.close();
  return seen;
}

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const PAIRS = BUILDS.flatMap((core) => BUILDS.map((other) => [core, other] as const));

describe.each(PAIRS)("with tollkeeper of %s and its other entries of %s", (core, other) => {
  const of = (build: Build) => builds[build];

  it.each<[string, Scenario, ...statuses: number[]]>([
    ["calls until one is denied", { calls: ["/works", "/works", "/works"] }, 200, 200, 429],
    ["a call that fails", { calls: ["/fails", "/works"] }, 500, 200],
    ["a cost above capacity", { calls: ["/dear", "/works"] }, 422, 200],
    ["a cost above capacity in shadow mode", { calls: ["/dear"], shadow: true }, 200],
    ["a tier with shadow limits", { calls: ["/works", "/works"], tier: "tried" }, 200, 200],
    ["overrides", { calls: ["/dear", "/works", "/works"], tier: 'free{"minute":{"limit":3}}' }, 422, 200, 429],
    ["a whole cost", { calls: ["/total"], total: 3 }, 200],
    ["a whole cost above capacity", { calls: ["/total"], total: 7 }, 422],
    ["a closed limiter", { calls: ["/works"], close: true }, 503],
  ])("answers %s as with one build", async (_, scenario, ...statuses) => {
    const open = (build: Build) => of(build).createLimiter({ tiers: TIERS, engine: "js", clock: () => NOW });
    const seen = await answers(open(core), of(other), of(core).plugin.callerOf, scenario);
    expect(seen.map(({ status }) => status)).toEqual(statuses);
    expect(seen).toEqual(await answers(open("esm"), of("esm"), of("esm").plugin.callerOf, scenario));
  });

  it("answers 503 with Retry-After while Redis is away and the policy is closed", async () => {
    const url = `redis://127.0.0.1:${await closedPort()}`;
    const onOutage = { bucket: "closed", quota: "closed" } as const;
    const limiter = of(core).createLimiter({
      tiers: TIERS,
      storage: { type: "redis", url, onOutage },
      onStorageError: () => undefined,
    });
    const [seen] = await answers(limiter, of(other), of(core).plugin.callerOf, { calls: ["/works"] });
    expect(seen).toMatchObject({ status: 503, fields: { "retry-after": "1" } });
    expect(seen?.body).toContain("limiter_unavailable");
  });

  it("counts in metrics", async () => {
    const limiter = of(core).createLimiter({ tiers: TIERS });
    const registry = new Registry();
    of(other).metrics.registerLimiterMetrics(registry, limiter);
    limiter.consume("acct:42", "free");
    expect(await registry.metrics()).toContain('tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""} 1');
    await limiter.close();
  });

  it("knows each other's errors, and no others", () => {
    const thrownBy = (call: () => unknown): unknown => {
      try {
        return call();
      } catch (error) {
        return error;
      }
    };
    const { createLimiter, loadFingerprint, TollkeeperError } = of(core);
    const { TollkeeperError: Other, FingerprintError: OtherFingerprint } = of(other);
    const unknownTier = thrownBy(() => createLimiter({ tiers: {} }).consume("k", "gold"));
    const noSignals = thrownBy(() => loadFingerprint().identify({}));
    class Derived extends TollkeeperError {}
    const derived = new Derived("ERR_TIER_UNKNOWN", "none");
    const others = [
      new Error("ERR_TIER_UNKNOWN"),
      Object.assign(new Error("of somebody else"), { code: "ERR_TIER_UNKNOWN" }),
      null,
      "ERR_",
    ];

    expect(unknownTier instanceof Other).toBe(true);
    expect(unknownTier instanceof OtherFingerprint).toBe(false);
    expect(noSignals instanceof OtherFingerprint).toBe(true);
    expect(noSignals instanceof Other).toBe(false);
    expect(derived instanceof Other && derived instanceof Derived).toBe(true);
    expect(unknownTier instanceof Derived).toBe(false);
    for (const error of others) expect(error instanceof Other || error instanceof OtherFingerprint).toBe(false);
  });

  it.each(["js", "native"] as const)("shares the table of a name on the %s engine", async (engine) => {
    const options = { name: `both builds ${core} ${other}`, tiers: TIERS, engine, clock: () => NOW };
    const limiters = [core, other].map((build) => of(build).createLimiter(options));
    const allowed = limiters.map((limiter) => [1, 2, 3].filter(() => limiter.consume("k", "free").allowed).length);
    expect(allowed).toEqual([3, 2]);
    const conflict = expect.objectContaining({ code: "ERR_NAME_CONFLICT" });
    expect(() => of(other).createLimiter({ ...options, maxKeys: 5 })).toThrow(conflict);
    for (const limiter of limiters) await limiter.close();
    await of(other)
      .createLimiter({ ...options, maxKeys: 5 })
      .close();
  });
});
