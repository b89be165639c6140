import type { FastifyRequest } from "fastify";
import { describe, expect, it } from "vitest";
import tollkeeper, { callerOf, keepToll, problem } from "../../../src/fastify/index.js";
import { day, leftOf, minute, openApp, openLimiter } from "./app.js";

const TIERS = {
  all: { limits: [minute(5), day(100)] },
  each: { limits: [minute(2), day(100)] },
  unlimited: { limits: [] },
};

/** Limits over all callers together, and limits of each caller. */
async function openLayers(hook: "onRequest" | "preHandler" = "onRequest") {
  const limiter = openLimiter(TIERS);
  const app = openApp();
  await app.register(tollkeeper, { limiter, identify: () => ({ key: "all", tier: "all" }) });
  await app.register(tollkeeper, {
    limiter,
    hook,
    identify: ({ headers }) =>
      headers["x-refuse"] ? { refusal: problem(401, "no", "No.") } : { key: `user:${headers["x-user"]}`, tier: "each" },
  });
  app.get("/", async ({ toll, tolls }) => ({ tier: toll?.tier, tiers: tolls.map(({ tier }) => tier) }));
  app.post("/sum", { config: { toll: { total: ({ body }) => Number(body) } } }, async () => "done");
  const call = (user: string) => app.inject({ url: "/", headers: { "x-user": user } });
  const sum = (payload: string, user = "a") =>
    app.inject({ method: "POST", url: "/sum", payload, headers: { "content-type": "text/plain", "x-user": user } });
  return { app, limiter, call, sum };
}

describe("registered twice", () => {
  it("a call passes both, and is told of the one that leaves least", async () => {
    const { limiter, call } = await openLayers();
    const first = await call("a");
    expect(first.json()).toEqual({ tier: "each", tiers: ["all", "each"] });
    expect(first.headers["ratelimit"]).toMatch(/^"minute";r=1;/);
    expect([leftOf(limiter, "all", "all"), leftOf(limiter, "user:a", "each")]).toEqual([
      [4, 99],
      [1, 99],
    ]);
    await call("b");
    await call("c");
    const last = await call("d");
    expect(last.json()).toMatchObject({ tier: "all" });
    expect(last.headers["ratelimit"]).toMatch(/^"minute";r=1;/);
    expect(last.headers["ratelimit-policy"]).toMatch(/^"minute";q=5;/);
  });

  it("a denial by the second gives back what the first has taken", async () => {
    const { limiter, call } = await openLayers();
    const statuses = [await call("a"), await call("a"), await call("a"), await call("a")].map((a) => a.statusCode);
    expect(statuses).toEqual([200, 200, 429, 429]);
    expect(leftOf(limiter, "all", "all")).toEqual([3, 98]);
    const { headers } = await call("a");
    expect(headers["ratelimit"]).toMatch(/^"minute";r=0;/);
    expect(headers["ratelimit-policy"]).toMatch(/^"minute";q=2;/);
  });

  it("a denial by the first asks nobody else", async () => {
    const { limiter, call } = await openLayers();
    for (const user of ["a", "b", "c", "d", "e"]) expect((await call(user)).statusCode).toBe(200);
    expect((await call("f")).statusCode).toBe(429);
    expect(leftOf(limiter, "user:f", "each")).toEqual([2, 100]);
  });

  it("a denial once the body was read keeps the place in the rate, or large bodies could be sent for nothing", async () => {
    const { limiter, call } = await openLayers("preHandler");
    const statuses = [await call("a"), await call("a"), await call("a")].map((answer) => answer.statusCode);
    expect(statuses).toEqual([200, 200, 429]);
    expect(leftOf(limiter, "all", "all")).toEqual([2, 98]);
  });

  it("the whole cost is charged at both, or at neither", async () => {
    const { limiter, sum } = await openLayers();
    expect((await sum("2")).statusCode).toBe(200);
    expect([leftOf(limiter, "all", "all"), leftOf(limiter, "user:a", "each")]).toEqual([
      [3, 98],
      [0, 98],
    ]);
    const never = await sum("3", "b");
    expect([never.statusCode, never.json().maximum]).toEqual([422, 2]);
    expect([leftOf(limiter, "all", "all")[1], leftOf(limiter, "user:b", "each")[1]]).toEqual([98, 100]);
  });

  it("a caller that the second refuses has spent of the first, so that trying keys is not free", async () => {
    const { app, limiter } = await openLayers();
    expect((await app.inject({ url: "/", headers: { "x-refuse": "yes" } })).statusCode).toBe(401);
    expect(leftOf(limiter, "all", "all")).toEqual([4, 100]);
  });

  it("each gives back by its own rule", async () => {
    const limiter = openLimiter(TIERS);
    const app = openApp();
    await app.register(tollkeeper, { limiter, identify: () => ({ key: "all", tier: "all" }) });
    await app.register(tollkeeper, {
      limiter,
      refundOn: "success",
      identify: () => ({ key: "login", tier: "each" }),
    });
    app.get("/", async () => "in");
    app.get("/broken", async (_, reply) => reply.code(503).send("no"));
    await app.inject("/");
    expect([leftOf(limiter, "all", "all"), leftOf(limiter, "login", "each")]).toEqual([
      [4, 99],
      [2, 100],
    ]);
    await app.inject("/broken");
    expect([leftOf(limiter, "all", "all"), leftOf(limiter, "login", "each")]).toEqual([
      [3, 99],
      [1, 99],
    ]);
  });

  it("an unlimited tier is never the one that leaves least", async () => {
    const limiter = openLimiter(TIERS);
    for (const tiers of [
      ["all", "unlimited"],
      ["unlimited", "all"],
    ]) {
      const app = openApp();
      for (const tier of tiers) await app.register(tollkeeper, { limiter, identify: () => ({ key: tier, tier }) });
      app.get("/", async ({ toll }) => toll?.tier);
      const answer = await app.inject("/");
      expect([answer.body, answer.headers["ratelimit"]]).toEqual(["all", expect.stringMatching(/^"minute"/)]);
    }
  });

  it("callerOf is who the last has found, and keepToll keeps what all have taken", async () => {
    const { app, limiter } = await openLayers();
    app.get("/who", async (request) => callerOf(request));
    app.get(
      "/kept",
      {
        preValidation: async (request, reply) => {
          keepToll(request);
          return reply.code(400).send();
        },
      },
      async () => "",
    );
    expect((await app.inject({ url: "/who", headers: { "x-user": "a" } })).json()).toMatchObject({ key: "user:a" });
    await app.inject({ url: "/kept", headers: { "x-user": "a" } });
    expect([leftOf(limiter, "all", "all")[1], leftOf(limiter, "user:a", "each")[1]]).toEqual([98, 98]);
  });
});

it("registered for a prefix as well, its routes pass both, and others the one", async () => {
  const limiter = openLimiter(TIERS);
  const app = openApp();
  await app.register(tollkeeper, { limiter, identify: () => ({ key: "all", tier: "all" }) });
  const tiers = async ({ tolls }: FastifyRequest) => tolls.map(({ tier }) => tier);
  app.get("/outer", tiers);
  for (const name of ["one", "two"]) {
    await app.register(
      async (scope) => {
        await scope.register(tollkeeper, { limiter, identify: () => ({ key: name, tier: "each" }) });
        scope.get("/inner", tiers);
      },
      { prefix: `/${name}` },
    );
  }
  expect((await app.inject("/outer")).json()).toEqual(["all"]);
  expect((await app.inject("/one/inner")).json()).toEqual(["all", "each"]);
  expect((await app.inject("/two/inner")).json()).toEqual(["all", "each"]);
  expect(leftOf(limiter, "one", "each")).toEqual([1, 99]);
});

it("registered in two scopes without one around them, each has its own", async () => {
  const limiter = openLimiter(TIERS);
  const app = openApp();
  for (const name of ["one", "two"]) {
    await app.register(
      async (scope) => {
        await scope.register(tollkeeper, { limiter, identify: () => ({ key: name, tier: "each" }) });
        scope.get("/", async ({ tolls }) => tolls.length);
      },
      { prefix: `/${name}` },
    );
  }
  app.get("/", async () => "free");
  expect([(await app.inject("/one")).body, (await app.inject("/two")).body]).toEqual(["1", "1"]);
  expect((await app.inject("/")).headers["ratelimit"]).toBeUndefined();
});

it("where the tighter layer says nothing, the other still does", async () => {
  const limiter = openLimiter(TIERS);
  const app = openApp();
  await app.register(tollkeeper, { limiter, identify: () => ({ key: "a", tier: "each" }), fields: false });
  await app.register(tollkeeper, { limiter, identify: () => ({ key: "all", tier: "all" }) });
  app.get("/", async ({ toll }) => toll?.tier);
  const { body, headers } = await app.inject("/");
  expect([body, headers["ratelimit"]]).toEqual(["each", '"minute";r=4;t=12, "day";r=99;t=86400']);
});
