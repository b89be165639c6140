/** The same with limits that replicas share, where every decision comes later. */
import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../src/index.js";
import { redisForFile } from "../redis/server.js";
import { call } from "./client.js";
import { FRAMEWORKS } from "./frameworks.js";
import type { Layer, Setup } from "./site.js";

/** Nothing of a rate comes back while the test runs. */
const rate = { name: "rate", type: "bucket", limit: 3, windowSeconds: 86_400, burst: 1 } as const;
const tiers = { free: { limits: [rate, { name: "month", type: "quota", limit: 100, period: "month" } as const] } };

const redis = await redisForFile();

const as = (key: string): Layer => ({ identify: async () => ({ key, tier: "free" }) });

const setupOf = (key: string): Setup => ({
  layers: [as(key), as(`${key} too`)],
  routes: {
    "/": {},
    "/failing": { handle: () => ({ status: 503 }) },
    "/batch": { total: (body) => (body as unknown[]).length },
  },
});

describe.each(Object.entries(FRAMEWORKS))("%s", (framework, serve) => {
  it("charges, gives back and denies, over two layers", async () => {
    const limiter = createLimiter({
      tiers,
      storage: { type: "redis", url: redis.url, mode: "exact", prefix: framework.replaceAll(/\W/g, "") },
    });
    await limiter.ready();
    const { port, close } = await serve(setupOf("acct:1"), limiter);
    onTestFinished(async () => {
      await close();
      await limiter.close();
    });
    const month = async (key: string) => (await limiter.peek(key, "free", 0)).limits[1]?.remaining;
    const statusOf = async (path: string, body?: string) => {
      const headers = { "content-type": "application/json" };
      return (await call(port, body === undefined ? { path } : { path, method: "POST", body, headers })).status;
    };
    expect(await statusOf("/failing")).toBe(503);
    await expect.poll(() => month("acct:1 too")).toBe(100);
    expect(await statusOf("/batch", "[1,2]")).toBe(200);
    expect([await month("acct:1"), await month("acct:1 too")]).toEqual([98, 98]);
    expect(await statusOf("/")).toBe(429);
    expect(await statusOf("/batch", "[")).toBe(429);
    expect([await month("acct:1"), await month("acct:1 too")]).toEqual([98, 98]);
  });
});
