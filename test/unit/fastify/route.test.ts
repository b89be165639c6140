import type { FastifyRequest } from "fastify";
import { describe, expect, it } from "vitest";
import tollkeeper, { callerOf, type FixedToll, problem, type TollkeeperOptions } from "../../../src/fastify/index.js";
import { day, leftOf, minute, openApp, openLimiter } from "./app.js";

const TIERS = {
  free: { limits: [minute(10), day(100)] },
  login: { limits: [minute(2)] },
};

async function open(tolls: Record<string, FixedToll>, options: Partial<TollkeeperOptions> = {}) {
  const limiter = openLimiter(TIERS);
  const app = openApp({ logger: false });
  const identify = () => ({ key: "acct:1", tier: "free" });
  await app.register(tollkeeper, { limiter, identify, fields: { x: "epoch" }, ...options });
  for (const [path, toll] of Object.entries(tolls)) {
    app.get(`/${path}`, { config: { toll } }, async (request) => callerOf(request)?.key ?? "nobody");
  }
  app.get("/", async () => "plain");
  return { app, limiter };
}

describe("a route that names a tier", () => {
  it("has its limits, counted by themselves over all routes of that tier", async () => {
    const { app, limiter } = await open({ login: { tier: "login" }, reset: { tier: "login" } });
    const statuses: number[] = [];
    for (const url of ["/login", "/reset", "/login", "/", "/reset"]) statuses.push((await app.inject(url)).statusCode);
    expect(statuses).toEqual([200, 200, 429, 200, 429]);
    expect(leftOf(limiter, "acct:1", "free")).toEqual([9, 99]);
    expect(leftOf(limiter, "acct:1\0login", "login")).toEqual([0]);
  });

  it("counts nobody as another caller who has the tier's name in the key", async () => {
    const named = (request: FastifyRequest) => ({ key: String((request.query as { key: string }).key), tier: "free" });
    const { app, limiter } = await open({ login: { tier: "login", identify: named }, other: { identify: named } });
    for (let call = 0; call < 3; call++) await app.inject("/other?key=acct:1%00login");
    expect(leftOf(limiter, "acct:1\0login", "login")).toEqual([2]);
    expect((await app.inject("/login?key=acct:1")).statusCode).toBe(200);
    expect(leftOf(limiter, "acct:1\0login", "login")).toEqual([1]);
  });

  it("still says who calls", async () => {
    const { app } = await open({ login: { tier: "login" } });
    expect((await app.inject("/login")).body).toBe("acct:1");
  });

  it("that there is not is 500, and names no tier to the client", async () => {
    const { app } = await open({ login: { tier: "lost" } });
    const { statusCode, body } = await app.inject("/login");
    expect(statusCode).toBe(500);
    expect(body).not.toMatch(/lost|free|login/);
  });

  it("may decide the whole cost by the body", async () => {
    const { app, limiter } = await open({
      two: { tier: "login", total: () => 2 },
      three: { tier: "login", total: () => 3 },
    });
    const answers = [await app.inject("/two"), await app.inject("/two")];
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 429]);
    expect(leftOf(limiter, "acct:1\0login", "login")).toEqual([0]);
    const other = await open({ three: { tier: "login", total: () => 3 } });
    expect((await other.app.inject("/three")).json()).toMatchObject({ code: "cost_exceeds_capacity", maximum: 2 });
  });
});

describe("a route that says who calls", () => {
  it.each([
    ["at once", (request: FastifyRequest) => ({ key: `ip:${request.ip}`, tier: "login" })],
    ["later", async (request: FastifyRequest) => ({ key: `ip:${request.ip}`, tier: "login" })],
  ])("is asked in place of the plugin's own: %s", async (_when, identify) => {
    const { app, limiter } = await open({ own: { identify } });
    expect((await app.inject("/own")).body).toBe("ip:127.0.0.1");
    expect([leftOf(limiter, "ip:127.0.0.1", "login"), leftOf(limiter, "acct:1", "free")]).toEqual([[1], [10, 100]]);
  });

  it("may refuse", async () => {
    const { app } = await open({ own: { identify: () => ({ refusal: problem(401, "no", "Not here.") }) } });
    expect((await app.inject("/own")).json()).toMatchObject({ status: 401, code: "no" });
  });
});

describe("a cost that is a function", () => {
  const cost = ({ query }: FastifyRequest) => Number((query as { cost: string }).cost);

  it("is asked of each call", async () => {
    const { app, limiter } = await open({ priced: { cost } });
    expect((await app.inject("/priced?cost=3")).headers["x-request-cost"]).toBe("3");
    expect((await app.inject("/priced?cost=0.5")).headers["x-request-cost"]).toBe("0.5");
    expect((await app.inject("/priced?cost=0")).headers["x-request-cost"]).toBeUndefined();
    expect(leftOf(limiter, "acct:1", "free")).toEqual([6.5, 96.5]);
    expect((await app.inject("/priced?cost=11")).json()).toMatchObject({ status: 422, maximum: 10 });
  });

  it.each(["-1", "NaN", "0.0001", "x"])("of %s is 500, and spends nothing", async (given) => {
    const { app, limiter } = await open({ priced: { cost } });
    const { statusCode, body } = await app.inject(`/priced?cost=${given}`);
    expect([statusCode, body.includes("cost")]).toEqual([500, false]);
    expect(leftOf(limiter, "acct:1", "free")).toEqual([10, 100]);
  });

  it("is the least of what the body decides, and above 0 there", async () => {
    const { app, limiter } = await open({ both: { cost, total: () => 4 } });
    expect((await app.inject("/both?cost=2")).headers["x-request-cost"]).toBe("4");
    expect((await app.inject("/both?cost=5")).statusCode).toBe(500);
    expect((await app.inject("/both?cost=0")).statusCode).toBe(500);
    expect(leftOf(limiter, "acct:1", "free")[0]).toBe(1);
  });
});

it.each([{ tier: 1 }, { identify: "me" }, { cost: "1" }])("a toll of %j can't be registered", async (toll) => {
  const { app } = await open({});
  expect(() => app.get("/bad", { config: { toll: toll as never } }, async () => "")).toThrow(
    expect.objectContaining({ code: "ERR_OPTION_INVALID", message: expect.stringMatching(/^config\.toll\.\w+ is /) }),
  );
});
