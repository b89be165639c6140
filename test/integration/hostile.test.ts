import { request } from "node:http";
import { runInNewContext } from "node:vm";
import Fastify, { type FastifyInstance } from "fastify";
import { describe, expect, it, onTestFinished } from "vitest";
import tollkeeper, { type Identify, identifyByAddress, type RouteToll } from "../../src/fastify/index.js";
import { createLimiter } from "../../src/index.js";
import { startService } from "./service.js";

const limits = [
  { name: "minute", type: "bucket", limit: 5, windowSeconds: 60, burst: 1 },
  { name: "month", type: "quota", limit: 100, period: "month" },
] as const;

async function appWith(identify: unknown, toll: RouteToll = {}): Promise<FastifyInstance> {
  const limiter = createLimiter({ tiers: { t: { limits: [...limits] } }, engine: "js", clock: () => 1e12 });
  const app = Fastify();
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  await app.register(tollkeeper, { limiter, identify: identify as Identify });
  app.post("/", { config: { toll } }, async () => "let in");
  return app;
}

describe("a caller that nobody has identified", () => {
  it.each([
    ["nothing", {}],
    ["no tier", { key: "k" }],
    ["null", null],
    ["a number", 5],
  ])("is not let in: %s", async (_, identity) => {
    for (const identify of [() => identity, async () => identity]) {
      const app = await appWith(identify);
      expect((await app.inject({ method: "POST", url: "/" })).statusCode).toBe(500);
    }
  });

  it.each([
    ["a thenable", () => ({ then: (resolve: (identity: object) => void) => resolve({ key: "k", tier: "t" }) })],
    ["a promise of another realm", () => runInNewContext("Promise.resolve({ key: 'k', tier: 't' })")],
  ])("is waited for: %s", async (_, identify) => {
    const app = await appWith(identify);
    const answers = await Promise.all(Array.from({ length: 8 }, () => app.inject({ method: "POST", url: "/" })));
    expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
  });
});

describe("a total that is none", () => {
  it.each([undefined, null, Number.NaN, -1, "3"])("lets nobody in: %s", async (total) => {
    const app = await appWith(() => ({ key: "k", tier: "t" }), { total: () => total as number });
    expect((await app.inject({ method: "POST", url: "/" })).statusCode).toBe(500);
  });
});

it("a trusted proxy that does not say for whom it calls is refused", async () => {
  const { app } = await startService({ RATE_LIMIT_TRUST_PROXY: "127.0.0.0/8" });
  const call = { method: "POST", url: "/v1/identify", payload: {} } as const;
  expect((await app.inject(call)).statusCode).toBe(403);
  expect((await app.inject({ ...call, headers: { "x-forwarded-for": "" } })).statusCode).toBe(403);
});

it("OPTIONS costs what any call costs", async () => {
  const { app, free } = await startService();
  await app.inject({ method: "OPTIONS", url: "/v1/identify", headers: { "x-api-key": free } });
  const { headers } = await app.inject({ method: "GET", url: "/nowhere", headers: { "x-api-key": free } });
  expect(headers["x-quota-monthly-remaining"]).toBe("49998");
});

it("ten thousand bad fields are answered with few words", async () => {
  const { app, pro } = await startService();
  for (const ciphers of [Array.from({ length: 10_000 }, () => []), Array.from({ length: 200 }, () => [])]) {
    const payload = { a: { tls: { ciphers } }, b: {} };
    const answer = await app.inject({ method: "POST", url: "/v1/compare", payload, headers: { "x-api-key": pro } });
    expect(answer.statusCode).toBe(400);
    expect(answer.body.length).toBeLessThan(8192);
  }
});

it("a bad item of a batch fails alone, however bad", async () => {
  const { app, pro } = await startService();
  const good = '{"id":"good","fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}';
  const deep = `${"[".repeat(6000)}${"]".repeat(6000)}`;
  const payload = `{"items":[${good},{"id":"\\ud800"},${deep},${good}]}`;
  const headers = { "x-api-key": pro, "content-type": "application/json" };
  const answer = await app.inject({ method: "POST", url: "/v1/batch", payload, headers });
  expect(answer.statusCode).toBe(200);
  const { results } = answer.json<{ results: { id: string | null; problem?: { code: string; path: string } }[] }>();
  expect(results.map(({ problem }) => problem?.path)).toEqual([undefined, "items[1]", "items[2]", undefined]);
});

it("a call may not take for ever to arrive", async () => {
  const { app } = await startService();
  expect(app.server.requestTimeout).toBe(30_000);
});

describe("forged X-Forwarded-For, before more fields than Node reads and the proxy's own line at the end,", () => {
  /** The answer to a call through a proxy that adds its line last, as HAProxy does. */
  async function answerTo(app: FastifyInstance, junk: number) {
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const fields = Array.from({ length: junk }, () => ["a", "b"]);
    const headers = [["host", "a"], ["x-forwarded-for", "203.0.113.9"], ...fields, ["x-forwarded-for", "198.51.100.1"]];
    return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      const call = request(`${url}/v1/quota`, { headers: headers.flat(), agent: false }, (answer) => {
        let body = "";
        answer.on("data", (chunk) => {
          body += chunk;
        });
        answer.on("end", () => resolve({ status: answer.statusCode, body }));
      });
      call.on("error", reject).end();
    });
  }

  it.each([
    [90, 200, "ip:198.51.100.1"],
    [100, 431, "header_too_large"],
    [1500, 431, "header_too_large"],
  ])("is not believed by the service: %i fields are %i", async (junk, status, says) => {
    const { app } = await startService({ RATE_LIMIT_TRUST_PROXY: "127.0.0.0/8" });
    const answer = await answerTo(app, junk);
    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining(says)]);
  });

  it.each([
    [900, 200, "ip:198.51.100.1"],
    [1000, 403, "address_unknown"],
    [2500, 403, "address_unknown"],
  ])("is not believed by the plugin: %i fields are %i", async (junk, status, says) => {
    const limiter = createLimiter({ tiers: { anonymous: { limits: [...limits] } }, engine: "js" });
    const app = Fastify();
    onTestFinished(async () => {
      await app.close();
      await limiter.close();
    });
    const identify = identifyByAddress({ trustProxy: ["127.0.0.0/8"] });
    await app.register(tollkeeper, { limiter, identify });
    app.get("/v1/quota", async (request) => identify(request));
    const answer = await answerTo(app, junk);
    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining(says)]);
  });
});
