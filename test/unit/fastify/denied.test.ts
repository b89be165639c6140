import { describe, expect, it } from "vitest";
import tollkeeper, { problem, type TollkeeperOptions } from "../../../src/fastify/index.js";
import { ATTEMPTS } from "../limiter/login.js";
import { day, fieldsOf, minute, openApp, openLimiter } from "./app.js";

const TIERS = { gold: { limits: [minute(1)] }, silver: { limits: [day(1)] } };

async function deny(onDenied: TollkeeperOptions["onDenied"], options: Partial<TollkeeperOptions> = {}) {
  const limiter = openLimiter(TIERS);
  const app = openApp();
  await app.register(tollkeeper, { limiter, onDenied, identify: () => ({ key: "a", tier: "gold" }), ...options });
  app.get("/", async () => "handled");
  app.get("/dear", { config: { toll: { cost: 2 } } }, async () => "handled");
  await app.inject("/");
  return { app, answer: await app.inject("/") };
}

describe("onDenied", () => {
  it("answers in place of the problem document, with its status and fields", async () => {
    const { answer } = await deny((request, _reply, decision) => ({ own: request.url, by: decision.deniedBy }));
    expect([answer.statusCode, answer.json()]).toEqual([429, { own: "/", by: "minute" }]);
    expect(answer.headers).toMatchObject({ "retry-after": "60", "cache-control": "no-store" });
    expect(answer.headers["ratelimit"]).toBe('"minute";r=0;t=60');
  });

  it.each<[string, TollkeeperOptions["onDenied"]]>([
    ["later", async () => "Slow down."],
    ["by reply.send", (_request, reply) => void reply.send("Slow down.")],
    ["by reply.send, and returns the reply", (_request, reply) => reply.send("Slow down.")],
    ["by reply.send, later", async (_request, reply) => reply.send("Slow down.")],
    ["by reply.send, much later", (_request, reply) => void setImmediate(() => reply.send("Slow down."))],
  ])("may answer %s", async (_when, onDenied) => {
    const { answer } = await deny(onDenied);
    expect([answer.statusCode, answer.body]).toEqual([429, "Slow down."]);
  });

  it("may give another status", async () => {
    const { answer } = await deny((_request, reply) => void reply.redirect("/pricing", 302));
    expect([answer.statusCode, answer.headers.location]).toEqual([302, "/pricing"]);
  });

  it.each<[string, TollkeeperOptions["onDenied"]]>([
    [
      "throws",
      () => {
        throw new Error("broken");
      },
    ],
    ["rejects", () => Promise.reject(new Error("broken"))],
  ])("that %s lets nobody in", async (_what, onDenied) => {
    expect((await deny(onDenied)).answer.statusCode).toBe(500);
  });

  it("is not asked of what is refused for something else", async () => {
    const { app } = await deny(() => "own");
    expect((await app.inject("/dear")).json()).toMatchObject({ code: "cost_exceeds_capacity" });
    const refusal = problem(401, "no", "No.");
    const refused = await deny(() => "own", { identify: () => ({ refusal }) });
    expect(refused.answer.json()).toMatchObject({ code: "no" });
  });
});

describe("fields", () => {
  const DRAFT = ["ratelimit", "ratelimit-policy", "retry-after"];
  const X = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-cost"];

  it.each<[TollkeeperOptions["fields"], string[]]>([
    [undefined, DRAFT],
    [{}, DRAFT],
    [{ tier: true }, DRAFT],
    [{ x: "epoch" }, [...DRAFT, ...X]],
    [{ x: "delta", tier: true }, [...DRAFT, "x-quota-tier", ...X]],
    [{ draft: false, x: "delta" }, ["retry-after", ...X]],
    [{ draft: false }, ["retry-after"]],
    [false, ["retry-after"]],
  ])("of %j are sent on a denial as on any answer: %j", async (fields, sent) => {
    const { answer } = await deny(undefined, { fields });
    expect(fieldsOf(answer)).toEqual(sent);
  });

  it("have the reset since 1970, or from now", async () => {
    const epoch = await deny(undefined, { fields: { x: "epoch" } });
    expect(epoch.answer.headers["x-ratelimit-reset"]).toBe(String(Date.UTC(2026, 10, 10) / 1000 + 60));
    const delta = await deny(undefined, { fields: { x: "delta" } });
    expect(delta.answer.headers["x-ratelimit-reset"]).toBe("60");
  });

  it("name no tier, nor does the answer to a denial, unless they are to", async () => {
    for (const path of ["/", "/dear"]) {
      const { app, answer } = await deny(undefined, { fields: { x: "epoch" } });
      const told = path === "/" ? answer : await app.inject(path);
      expect(JSON.stringify([told.headers, told.body])).not.toContain("gold");
      const open = await deny(undefined, { fields: { x: "epoch", tier: true } });
      const named = path === "/" ? open.answer : await open.app.inject(path);
      expect(named.json().detail).toContain("tier gold");
      expect(told.json().detail).not.toMatch(/tier|undefined/);
      if (path === "/") expect(named.headers["x-quota-tier"]).toBe("gold");
    }
  });

  it("advise against a retry of a quota that is used up", async () => {
    const { answer } = await deny(undefined, { identify: () => ({ key: "a", tier: "silver" }), fields: false });
    expect(fieldsOf(answer)).toEqual(["retry-after", "x-should-retry"]);
  });

  it("tell of a block how long it lasts, and that nothing is left", async () => {
    const limiter = openLimiter({ login: { limits: [ATTEMPTS] } });
    const app = openApp();
    await app.register(tollkeeper, { limiter, identify: () => ({ key: "ada", tier: "login" }) });
    app.get("/", async () => "handled");
    for (let attempt = 0; attempt < 5; attempt++) expect((await app.inject("/")).statusCode).toBe(200);
    const { headers, ...answer } = await app.inject("/");
    expect(answer.statusCode).toBe(429);
    expect(headers).toMatchObject({
      "retry-after": "3600",
      ratelimit: '"attempts";r=0;t=3600',
      "ratelimit-policy": '"attempts";q=5;w=4500',
    });
    expect(answer.json()).toMatchObject({
      code: "rate_limit_exceeded",
      "violated-policies": ["attempts"],
      retry_after: 3600,
    });
  });
});
