import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { describe, expect, it, onTestFinished } from "vitest";
import tollkeeper, { callerOf, type Identity, problem, type TollkeeperOptions } from "../../../src/fastify/index.js";
import { createLimiter, type Limiter, type Tiers } from "../../../src/index.js";

const bucket = (limit: number) => ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1 }) as const;

const TIERS: Tiers = {
  anonymous: { limits: [bucket(5)] },
  trusted: { limits: [bucket(50)] },
  daily: { limits: [{ name: "day", type: "quota", limit: 2, period: "day" }] },
};

function openLimiter(tiers = TIERS): Limiter {
  const limiter = createLimiter({ tiers, engine: "js", clock: () => Date.UTC(2026, 10, 10) });
  onTestFinished(() => limiter.close());
  return limiter;
}

/** An app of someone else's with the plugin, a route that costs 1 and one per kind of toll. */
async function openApp(options: Partial<TollkeeperOptions> = {}): Promise<FastifyInstance> {
  const app = fastify();
  onTestFinished(() => app.close());
  app.get("/early", async () => "registered before the plugin");
  await app.register(tollkeeper, { limiter: openLimiter(), fields: { x: "epoch" }, ...options });
  app.get("/one", async ({ toll }) => ({ cost: toll?.cost, allowed: toll?.allowed }));
  app.get("/two", { config: { toll: { cost: 2 } } }, async () => "two");
  app.get("/free", { config: { toll: false } }, async ({ toll }) => ({ toll: toll ?? null }));
  app.get("/zero", { config: { toll: { cost: 0 } } }, async () => "zero");
  app.post("/sum", { config: { toll: { total: ({ body }) => Number(body) } } }, async ({ toll }) => ({
    cost: toll?.cost,
  }));
  return app;
}

const left = async (app: FastifyInstance, url: string) => (await app.inject(url)).headers["x-ratelimit-remaining"];

describe("a route", () => {
  it("costs 1, what its config says, or nothing", async () => {
    const app = await openApp();
    expect(await left(app, "/one")).toBe("4");
    expect(await left(app, "/two")).toBe("2");
    expect(await left(app, "/free")).toBeUndefined();
    expect(await left(app, "/zero")).toBeUndefined();
    expect(await left(app, "/one")).toBe("1");
  });

  it("registered before the plugin is limited too", async () => {
    expect(await left(await openApp(), "/early")).toBe("4");
  });

  it("asks who calls a free route that wants to know, and charges 1 to whoever is refused", async () => {
    const limiter = openLimiter();
    const app = fastify();
    onTestFinished(() => app.close());
    const refusal = problem(403, "refused", "Not you.");
    const identify = ({ headers }: FastifyRequest) => {
      const caller = { key: "acct:42", tier: "daily" };
      return headers["x-refuse"] === undefined ? caller : { ...caller, refusal };
    };
    await app.register(tollkeeper, { limiter, identify, fields: { x: "epoch" } });
    const config = { toll: { cost: 0, identified: true } };
    app.get("/known", { config }, async (request) => ({ caller: callerOf(request), toll: request.toll ?? null }));
    expect((await app.inject("/known")).json()).toEqual({ caller: { key: "acct:42", tier: "daily" }, toll: null });
    expect(limiter.stats().keys).toBe(0);
    const refused = await app.inject({ url: "/known", headers: { "x-refuse": "yes" } });
    expect([refused.statusCode, refused.headers["x-request-cost"]]).toEqual([403, "1"]);
  });

  it("finds the decision at request.toll", async () => {
    const app = await openApp();
    expect((await app.inject("/one")).json()).toEqual({ cost: 1, allowed: true });
    expect((await app.inject("/free")).json()).toEqual({ toll: null });
  });

  it("is charged what its body turns out to cost, whole or not at all", async () => {
    const app = await openApp();
    const sum = (payload: string) =>
      app.inject({ method: "POST", url: "/sum", payload, headers: { "content-type": "text/plain" } });
    const answers = [await sum("3"), await sum("3"), await sum("1"), await sum("6"), await sum("1")];
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 429, 200, 429, 429]);
    expect(answers.map(({ headers }) => headers["x-request-cost"])).toEqual(["3", "3", "1", "1", "1"]);
    expect(answers.map(({ headers }) => headers["x-ratelimit-remaining"])).toEqual(["2", "1", "0", "0", "0"]);
    expect(answers[0]?.json()).toEqual({ cost: 3 });
    const other = await openApp();
    const never = await other.inject({
      method: "POST",
      url: "/sum",
      payload: "6",
      headers: { "content-type": "text/plain" },
    });
    expect(never.statusCode).toBe(422);
    expect(never.json()).toMatchObject({ code: "cost_exceeds_capacity", cost: 6, maximum: 5 });
  });

  it.each([undefined, null, Number.NaN, Number.POSITIVE_INFINITY, -1, 0, 1.0001, "3"])(
    "whose total is %j is 500, and its first cost is spent",
    async (total) => {
      const app = await openApp();
      let handled = false;
      app.get("/bad", { config: { toll: { total: () => total as number } } }, async () => {
        handled = true;
      });
      const { statusCode, headers } = await app.inject("/bad");
      expect(statusCode).toBe(500);
      expect(headers["x-ratelimit-remaining"]).toBe("4");
      expect(handled).toBe(false);
    },
  );

  it("whose total throws nothing is not let in", async () => {
    const app = await openApp();
    const total = () => {
      // biome-ignore lint/style/useThrowOnlyError: as careless code may
      throw undefined;
    };
    app.get("/bad", { config: { toll: { total } } }, async () => "let in");
    expect((await app.inject("/bad")).statusCode).toBe(500);
  });

  it("of a cost that the tier never holds is 422 with the maximum", async () => {
    const app = await openApp();
    app.get("/dear", { config: { toll: { cost: 6 } } }, async () => "dear");
    const answer = await app.inject("/dear");
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ cost: 6, maximum: 5 });
  });

  it.each([
    { cost: -1 },
    { cost: "2" },
    { cost: 0.0001 },
    { cost: Number.NaN },
    { price: 1 },
    { total: 5 },
    { cost: 0, total: () => 1 },
    { cost: 0, identified: 1 },
    { cost: 1, identified: false },
    2,
    true,
  ])("of the toll %j can't be registered", async (toll) => {
    const app = await openApp();
    expect(() => app.get("/bad", { config: { toll: toll as never } }, async () => "bad")).toThrow(
      expect.objectContaining({ code: "ERR_OPTION_INVALID" }),
    );
  });
});

describe("identify", () => {
  const by = (identity: Identity | Promise<Identity>) => openApp({ identify: () => identity });

  it("says whose tokens are spent, at once or later", async () => {
    expect((await (await by({ key: "acct:1", tier: "trusted" })).inject("/one")).headers["x-ratelimit-remaining"]).toBe(
      "49",
    );
    const later = await by(Promise.resolve({ key: "acct:1", tier: "trusted" }));
    expect((await later.inject("/one")).headers["x-ratelimit-remaining"]).toBe("49");
  });

  it("that fails, lets nobody in", async () => {
    for (const identify of [
      () => Promise.reject(new Error("the user table is down")),
      () => {
        throw new Error("the user table is down");
      },
      () => ({ key: "acct:1", tier: "no such tier" }),
      () => ({ key: "", tier: "anonymous" }),
      () => undefined as never,
      () => ({}) as never,
      () => Promise.resolve({}) as never,
      () => Promise.reject(),
      () => {
        // biome-ignore lint/style/useThrowOnlyError: as careless code may
        throw undefined;
      },
    ]) {
      expect((await (await openApp({ identify })).inject("/one")).statusCode).toBe(500);
    }
  });

  it("is not asked on free routes", async () => {
    const app = await openApp({
      identify: () => {
        throw new Error("asked");
      },
    });
    expect((await app.inject("/free")).statusCode).toBe(200);
  });
});

describe("the address", () => {
  it("is not Fastify's request.ip, which trustProxy: true lets the client choose", async () => {
    const app = fastify({ trustProxy: true });
    onTestFinished(() => app.close());
    await app.register(tollkeeper, { limiter: openLimiter(), fields: { x: "epoch" } });
    app.get("/", async () => "ok");
    const from = (header: string) => app.inject({ url: "/", headers: { "x-forwarded-for": header } });
    expect((await from("203.0.113.1")).headers["x-ratelimit-remaining"]).toBe("4");
    expect((await from("203.0.113.2")).headers["x-ratelimit-remaining"]).toBe("3");
  });

  it("that is not known is a 403, and takes nobody's tokens: no address means unlimited, or one shared bucket", async () => {
    const limiter = openLimiter();
    const app = await openApp({ limiter, trustProxy: ["127.0.0.1"] });
    for (let call = 0; call < 10; call++) {
      const answer = await app.inject({ url: "/one", headers: { "x-forwarded-for": "unknown" } });
      expect(answer.statusCode).toBe(403);
      expect(answer.headers["content-type"]).toBe("application/problem+json");
    }
    expect(limiter.stats().keys).toBe(0);
  });
});

describe("a reload of the tiers", () => {
  it.each([
    ["another", (tier: string) => ({ key: "acct:1", tier }), [200, { cost: 3 }]],
    ["another, found later", async (tier: string) => ({ key: "acct:1", tier }), [200, { cost: 3 }]],
    ["none", () => ({ refusal: problem(401, "unknown", "Not any more.") }), [401, { code: "unknown" }]],
  ])("that takes a caller's tier away while its body comes has it be of %s", async (_, then, [status, answer]) => {
    const limiter = openLimiter();
    let isReloaded = false;
    const identify = () => (isReloaded ? then("trusted") : { key: "acct:1", tier: "daily" });
    const app = await openApp({ limiter, identify });
    app.addHook("preValidation", async () => {
      const { daily, ...others } = limiter.tiers;
      if (daily !== undefined) limiter.reload(others);
      isReloaded = true;
    });
    const called = await app.inject({
      method: "POST",
      url: "/sum",
      payload: "3",
      headers: { "content-type": "text/plain" },
    });
    expect([called.statusCode, called.json()]).toEqual([status, expect.objectContaining(answer)]);
    expect(limiter.peek("acct:1", "trusted", 0).limits[0]?.remaining).toBe(status === 200 ? 47 : 50);
  });

  it("is seen in the very next answer", async () => {
    const limiter = openLimiter();
    const app = await openApp({ limiter });
    expect((await app.inject("/one")).headers["ratelimit-policy"]).toBe('"minute";q=5;w=60');
    limiter.reload({ ...TIERS, anonymous: { limits: [bucket(10)] } });
    const { headers } = await app.inject("/one");
    expect(headers["ratelimit-policy"]).toBe('"minute";q=10;w=60');
    expect(headers["ratelimit"]).toMatch(/^"minute";r=7;/);
  });
});

it("a daily quota that is used up has a code of its own, and the advice not to retry", async () => {
  const app = await openApp({ identify: () => ({ key: "acct:1", tier: "daily" }) });
  await app.inject("/two");
  const { headers, body } = await app.inject("/one");
  expect(headers).toMatchObject({ "retry-after": "86400", "x-should-retry": "false" });
  expect(JSON.parse(body)).toMatchObject({ code: "daily_quota_exceeded", "violated-policies": ["day"] });
});

it.each([
  ["hour", "hourly_quota_exceeded", "The hourly quota is used up; this call passes in 3600 s.", 3600],
  ["week", "weekly_quota_exceeded", "The weekly quota is used up; this call passes in 518400 s.", 518_400],
  ["year", "yearly_quota_exceeded", "The yearly quota is used up; this call passes in 4492800 s.", 4_492_800],
  ["once", "quota_exhausted", "The quota is used up, and does not begin anew.", null],
] as const)("a quota of the period %s that is used up is %s", async (period, code, detail, seconds) => {
  const limiter = openLimiter({ t: { limits: [{ name: "quota", type: "quota", limit: 1, period }] } });
  const app = await openApp({ limiter, identify: () => ({ key: "acct:1", tier: "t" }) });
  const allowed = await app.inject("/one");
  const { statusCode, headers, body } = await app.inject("/one");
  expect(statusCode).toBe(429);
  expect(headers["retry-after"]).toBe(seconds === null ? undefined : String(seconds));
  expect(headers["x-should-retry"]).toBe("false");
  expect(JSON.parse(body)).toMatchObject({ code, detail, retry_after: seconds, "violated-policies": ["quota"] });
  const reset = seconds === null ? undefined : String(Date.UTC(2026, 10, 10) / 1000 + seconds);
  for (const answer of [allowed, { headers }]) {
    expect(answer.headers["ratelimit"]).toBe(seconds === null ? '"quota";r=0' : `"quota";r=0;t=${seconds}`);
    expect(answer.headers["x-ratelimit-reset"]).toBe(reset);
  }
});

it("a limit of 0 is a denial that no wait ends, and says so", async () => {
  const limiter = openLimiter({ t: { limits: [bucket(0)] } });
  const app = await openApp({
    limiter,
    identify: () => ({ key: "acct:1", tier: "t" }),
    fields: { x: "delta", tier: true },
  });
  const { statusCode, headers, body } = await app.inject("/one");
  expect(statusCode).toBe(429);
  expect(headers).toMatchObject({ "x-should-retry": "false", "x-ratelimit-limit": "0", "x-ratelimit-remaining": "0" });
  expect(headers["retry-after"]).toBeUndefined();
  expect(headers["x-ratelimit-reset"]).toBeUndefined();
  expect(headers["ratelimit"]).toBe('"minute";r=0');
  const detail = "The limit of tier t is 0, and no wait helps.";
  expect(JSON.parse(body)).toMatchObject({ code: "limit_is_zero", detail, retry_after: null });
  expect((await app.inject("/zero")).statusCode).toBe(200);
});

describe("options", () => {
  it.each([
    [{ limiter: undefined }, /limiter is undefined; it may be what createLimiter returned/],
    [{ limter: 1 }, /limter is unknown/],
    [{ trustProxy: true }, /choose its own address/],
    [{ trustProxy: 1 }, /choose its own address/],
    [{ fields: "no" }, /fields is no; it may be/],
    [{ fields: { y: true } }, /fields.y is unknown/],
    [{ fields: { x: "iso" } }, /fields.x is iso; it may be "epoch", "delta"/],
    [{ fields: { tier: 1 } }, /fields.tier is 1; it may be true or false/],
    [{ hook: "onSend" }, /hook is onSend; it may be "onRequest" or "preHandler"/],
    [{ refundOn: "never" }, /refundOn is never/],
    [{ onDenied: {} }, /onDenied is {}; it may be a function/],
    [{ shadow: "yes" }, /shadow is yes/],
    [{ identify: "address" }, /identify/],
    [
      { identify: () => ({ key: "a", tier: "b" }), trustProxy: [] },
      /trustProxy is \[\]; it may be left out beside identify/,
    ],
    [{ limiter: openLimiter, trusted: [] }, /^limiter is function openLimiter/],
  ])("%j are refused", async (options, message) => {
    await expect(openApp(options as never)).rejects.toMatchObject({
      code: "ERR_OPTION_INVALID",
      message: expect.stringMatching(message),
    });
  });

  it("need the tiers that addresses are of", async () => {
    const limiter = openLimiter({ free: { limits: [] } });
    await expect(openApp({ limiter })).rejects.toThrow(/without a tier anonymous/);
    const half = openLimiter({ anonymous: { limits: [] } });
    await expect(openApp({ limiter: half, trusted: ["10.0.0.0/8"] })).rejects.toThrow(/without a tier trusted/);
  });
});
