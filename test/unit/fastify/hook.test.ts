import cors from "@fastify/cors";
import type { FastifyRequest } from "fastify";
import { describe, expect, it } from "vitest";
import tollkeeper, { type TollkeeperOptions } from "../../../src/fastify/index.js";
import { day, leftOf, minute, openApp, openLimiter } from "./app.js";

const TIERS = { free: { limits: [minute(5), day(100)] } };

async function open(options: Partial<TollkeeperOptions> = {}) {
  const limiter = openLimiter(TIERS);
  const app = openApp();
  const identify = ({ body }: FastifyRequest) => ({
    key: `user:${(body as { user?: string } | null)?.user}`,
    tier: "free",
  });
  await app.register(cors);
  await app.register(tollkeeper, { limiter, identify, fields: { x: "epoch" }, ...options });
  const toll = { total: ({ body }: FastifyRequest) => (body as { cost?: number }).cost ?? 1 };
  app.post("/", { config: { toll } }, async () => "handled");
  app.all("/any", async () => "handled");
  const post = (payload: object) => app.inject({ method: "POST", url: "/", payload });
  return { app, limiter, post };
}

describe('hook: "preHandler"', () => {
  it("finds a key in the body, which onRequest does not", async () => {
    const late = await open({ hook: "preHandler" });
    expect((await late.post({ user: "a" })).statusCode).toBe(200);
    expect(leftOf(late.limiter, "user:a", "free")).toEqual([4, 99]);
    const early = await open();
    await early.post({ user: "a" });
    expect(leftOf(early.limiter, "user:a", "free")).toEqual([5, 100]);
  });

  it("finds who a hook before it has found", async () => {
    const limiter = openLimiter(TIERS);
    const app = openApp();
    app.decorateRequest("user", "");
    app.addHook("preHandler", async (request) => Object.assign(request, { user: "acct:7" }));
    await app.register(tollkeeper, {
      limiter,
      hook: "preHandler",
      identify: async (request) => ({ key: (request as unknown as { user: string }).user, tier: "free" }),
    });
    app.get("/", async () => "handled");
    expect((await app.inject("/")).statusCode).toBe(200);
    expect(leftOf(limiter, "acct:7", "free")).toEqual([4, 99]);
  });

  it("charges the whole cost at once", async () => {
    const { post, limiter } = await open({ hook: "preHandler" });
    const answers = [await post({ user: "a", cost: 4 }), await post({ user: "a", cost: 4 }), await post({ cost: 6 })];
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 429, 422]);
    expect(answers[1]?.headers["x-request-cost"]).toBe("4");
    expect(leftOf(limiter, "user:a", "free")).toEqual([1, 96]);
  });

  it("charges nothing for a body that is rejected before", async () => {
    const { app, limiter } = await open({ hook: "preHandler", identify: () => ({ key: "a", tier: "free" }) });
    const headers = { "content-type": "application/json" };
    expect((await app.inject({ method: "POST", url: "/", headers, payload: "{" })).statusCode).toBe(400);
    expect(leftOf(limiter, "a", "free")).toEqual([5, 100]);
  });

  it("leaves preflights that are answered before, and charges every other OPTIONS", async () => {
    const { app, limiter } = await open({ hook: "preHandler", identify: () => ({ key: "a", tier: "free" }) });
    const preflight = { origin: "https://app.example", "access-control-request-method": "POST" };
    expect((await app.inject({ method: "OPTIONS", url: "/any", headers: preflight })).statusCode).toBe(204);
    expect(leftOf(limiter, "a", "free")).toEqual([5, 100]);
    const bare = openApp();
    await bare.register(tollkeeper, { limiter, hook: "preHandler", identify: () => ({ key: "a", tier: "free" }) });
    bare.all("/any", async () => "handled");
    await bare.inject({ method: "OPTIONS", url: "/any", headers: preflight });
    expect(leftOf(limiter, "a", "free")).toEqual([4, 99]);
  });

  it("gives a quota back where the call fails, and keeps it where it does not", async () => {
    const { app, limiter } = await open({ hook: "preHandler", identify: () => ({ key: "a", tier: "free" }) });
    app.get("/broken", async (_, reply) => reply.code(500).send());
    app.get("/none", async (_, reply) => reply.code(404).send());
    await app.inject("/broken");
    expect(leftOf(limiter, "a", "free")).toEqual([4, 100]);
    await app.inject("/none");
    expect(leftOf(limiter, "a", "free")).toEqual([3, 99]);
  });
});
