import Fastify from "fastify";
import { Registry } from "prom-client";
import { describe, expect, it, onTestFinished } from "vitest";
import tollkeeper, { type TollkeeperOptions } from "../../src/fastify/index.js";
import { createLimiter, type Tiers } from "../../src/index.js";
import { registerLimiterMetrics } from "../../src/prometheus/index.js";
import { redisForFile } from "../redis/server.js";
import { batch, identify, startService } from "./service.js";

const redis = await redisForFile();
let prefixes = 0;

const minute = { name: "minute", type: "bucket", limit: 5, windowSeconds: 86_400, burst: 1 } as const;
const month = { name: "month", type: "quota", limit: 8, period: "month" } as const;

describe("the whole plugin in shadow mode", () => {
  async function appWith(shadow: TollkeeperOptions["shadow"]) {
    const limiter = createLimiter({ tiers: { t: { limits: [minute] } }, engine: "js", clock: () => 1e12 });
    const registry = new Registry();
    registerLimiterMetrics(registry, limiter);
    const app = Fastify();
    onTestFinished(async () => {
      await app.close();
      await limiter.close();
    });
    await app.register(tollkeeper, {
      limiter,
      identify: () => ({ key: "k", tier: "t" }),
      ...(shadow === undefined ? {} : { shadow }),
    });
    app.get("/", async () => "in");
    app.get("/dear", { config: { toll: { cost: 9 } } }, async () => "in");
    app.get("/total", { config: { toll: { cost: 1, total: () => 9 } } }, async () => "in");
    return { app, lines: async () => (await registry.metrics()).split("\n") };
  }

  it("denies nobody, and counts whom it would have denied", async () => {
    const { app, lines } = await appWith(true);
    const statuses: number[] = [];
    for (let call = 0; call < 8; call++) statuses.push((await app.inject("/")).statusCode);
    expect(statuses).toEqual(Array(8).fill(200));
    expect(await lines()).toContain('tollkeeper_shadow_denials_total{tier="t",limit="minute"} 3');
    expect(await lines()).toContain('tollkeeper_decisions_total{tier="t",outcome="denied",limit="minute"} 3');
    const { headers } = await app.inject("/");
    expect(headers["ratelimit"]).toMatch(/^"minute";r=0;t=\d+$/);
    expect(headers["retry-after"]).toBeUndefined();
  });

  it("lets calls pass that could never pass, too", async () => {
    const { app, lines } = await appWith(true);
    expect((await app.inject("/dear")).statusCode).toBe(200);
    expect((await app.inject("/total")).statusCode).toBe(200);
    expect(await lines()).toContain('tollkeeper_shadow_denials_total{tier="t",limit=""} 2');
  });

  it("ends and begins without a restart, if it is a function", async () => {
    const mode = { isShadow: false };
    const { app } = await appWith(() => mode.isShadow);
    for (let call = 0; call < 5; call++) await app.inject("/");
    expect((await app.inject("/")).statusCode).toBe(429);
    mode.isShadow = true;
    expect((await app.inject("/")).statusCode).toBe(200);
  });

  it("is off by default, and is nothing else than on or off", async () => {
    const { app } = await appWith(undefined);
    expect((await app.inject("/dear")).statusCode).toBe(422);
    await expect(appWith("yes" as never)).rejects.toThrow("it may be true, false or a function");
  });

  it("is RATE_LIMIT_SHADOW of the service; a batch is counted once", async () => {
    const { app, free } = await startService({
      RATE_LIMIT_SHADOW: "true",
      RATE_LIMIT_FREE_MINUTE_LIMIT: "2",
      RATE_LIMIT_BURST_MULTIPLIER: "1",
    });
    for (let call = 0; call < 4; call++) expect((await app.inject(identify(free))).statusCode).toBe(200);
    expect((await app.inject(batch(2, free))).statusCode).toBe(200);
    const { payload } = await app.inject("/metrics");
    expect(payload).toContain('tollkeeper_shadow_denials_total{tier="free",limit="minute"} 3');
  });
});

describe("a limit in shadow mode", () => {
  it("is not announced to callers, and denies none of them", async () => {
    const limiter = createLimiter({
      tiers: { t: { limits: [{ ...minute, shadow: true }, month] } },
      clock: () => 1e12,
    });
    const app = Fastify();
    onTestFinished(async () => {
      await app.close();
      await limiter.close();
    });
    await app.register(tollkeeper, { limiter, identify: () => ({ key: "k", tier: "t" }) });
    app.get("/", async (request) => request.toll?.shadowDenials);
    const answers: Awaited<ReturnType<typeof app.inject>>[] = [];
    for (let call = 0; call < 9; call++) answers.push(await app.inject("/"));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([...Array(8).fill(200), 429]);
    expect(answers[5]?.json()).toEqual(["minute"]);
    expect(answers[0]?.headers["ratelimit-policy"]).toMatch(/^"month";q=8;w=\d+$/);
  });

  it.each(["exact", "leased"] as const)(
    "shared through Redis, %s: counts for all replicas, and denies nothing",
    async (mode) => {
      const prefix = `shadow-${prefixes++}`;
      const tiers: Tiers = {
        t: { limits: [{ ...minute, shadow: true }, month] },
        all: { limits: [{ ...month, shadow: true }] },
      };
      const [first, second] = await Promise.all(
        [0, 1].map(async () => {
          const limiter = createLimiter({
            tiers,
            storage: { type: "redis", url: redis.url, mode, prefix, timeoutMs: 5000 },
          });
          onTestFinished(() => limiter.close());
          await limiter.ready();
          return limiter;
        }),
      );
      if (first === undefined || second === undefined) throw new Error("two were opened");
      const denials: string[] = [];
      for (let call = 0; call < 8; call++) {
        const decision = await (call % 2 === 0 ? first : second).consume("k", "t");
        expect(decision.allowed).toBe(true);
        denials.push(decision.shadowDenials.join());
      }
      expect(denials).toEqual(["", "", "", "", "", "minute", "minute", "minute"]);
      expect(await first.consume("k", "t")).toMatchObject({ allowed: false, deniedBy: "month", shadowDenials: [] });
      const counted = [first, second].flatMap((limiter) => limiter.stats().shadow.map((each) => each.denials));
      expect(counted.reduce((sum, count) => sum + count, 0)).toBe(3);
      expect(first.tiers["t"]?.limits).toEqual([month, { ...minute, shadow: true }]);

      await first.reset("k");
      const refunded = await first.consume("k", "t", 5);
      expect(refunded).toMatchObject({ allowed: true, shadowDenials: [] });
      expect(refunded.refund()).toBe(true);
      expect((await first.consume("k", "t", 6)).shadowDenials).toEqual(["minute"]);
      expect((await first.peek("k", "all", 9)).shadowDenials).toEqual(["month"]);
      expect((await first.consumeMany(["a", "b"], "all")).map(({ allowed }) => allowed)).toEqual([true, true]);
    },
  );
});
