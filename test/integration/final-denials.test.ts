import Fastify from "fastify";
import { expect, it, onTestFinished } from "vitest";
import tollkeeper from "../../src/fastify/index.js";
import { createLimiter } from "../../src/index.js";
import { redisForFile } from "../redis/server.js";

const QUOTA = 60;

async function replica(url: string) {
  const limiter = createLimiter({
    tiers: { free: { limits: [{ name: "month", type: "quota", limit: QUOTA, period: "month" }] } },
    storage: { type: "redis", url, prefix: "final", leaseMs: 400, timeoutMs: 1000 },
  });
  await limiter.ready();
  const app = Fastify();
  await app.register(tollkeeper, { limiter, identify: () => ({ key: "acct:1", tier: "free" }) });
  app.get("/", async () => "served");
  onTestFinished(() => app.close().then(() => limiter.close()));
  return () => app.inject({ url: "/" });
}

it("a month is called used up only when no replica can give anything back", async () => {
  const { url } = await redisForFile();
  const [first, second] = [await replica(url), await replica(url)];
  // The first takes ahead what it will need, and is then left alone.
  const burst = await Promise.all(Array.from({ length: 30 }, first));
  expect(burst.map(({ statusCode }) => statusCode)).toEqual(burst.map(() => 200));
  const again = await Promise.all(Array.from({ length: 10 }, first));
  let served = burst.length + again.filter(({ statusCode }) => statusCode === 200).length;
  let early = 0;
  for (;;) {
    const { statusCode, headers, ...answer } = await second();
    if (statusCode === 200) {
      served++;
      continue;
    }
    expect(statusCode).toBe(429);
    const { code } = answer.json();
    if (served === QUOTA && code === "monthly_quota_exceeded") {
      expect(headers["x-should-retry"]).toBe("false");
      expect(Number(headers["retry-after"])).toBeGreaterThan(2);
      expect(early, "denials while the first held tokens").toBeGreaterThan(0);
      return;
    }
    expect([code, headers["x-should-retry"]], `after ${served}`).toEqual(["rate_limit_exceeded", undefined]);
    expect(Number(headers["retry-after"])).toBeLessThanOrEqual(2);
    expect(++early).toBeLessThan(5);
    await new Promise((resolve) => setTimeout(resolve, Number(headers["retry-after"]) * 1000));
  }
}, 30_000);
