/** One route of Fastify behind a limiter that may share, for the benchmark `redis`. */

import rateLimit from "@fastify/rate-limit";
import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { Redis } from "ioredis";
import type { RedisStorage } from "tollkeeper";
import { createLimiter, load } from "../build.js";
import { serve } from "../child.js";
import { AMPLE } from "../contestants.js";

const { default: tollkeeper } = await load<typeof import("tollkeeper/fastify")>("dist/esm/fastify/index.js");

/** What each server puts before the same route. */
export const APPS = {
  local: (app) => withTollkeeper(app, undefined),
  leased: (app, url) => withTollkeeper(app, { type: "redis", url, mode: "leased", timeoutMs: 2000, prefix: "app" }),
  exact: (app, url) => withTollkeeper(app, { type: "redis", url, mode: "exact", timeoutMs: 2000, prefix: "app" }),
  "@fastify/rate-limit": async (app, url) => {
    await app.register(rateLimit, { max: 1e9, timeWindow: "1 hour", keyGenerator: callerOf, redis: new Redis(url) });
  },
} satisfies Record<string, (app: FastifyInstance, url: string) => Promise<void>>;

export type AppName = keyof typeof APPS;

async function withTollkeeper(app: FastifyInstance, storage: RedisStorage | undefined): Promise<void> {
  const limiter = storage === undefined ? createLimiter({ tiers: AMPLE }) : createLimiter({ tiers: AMPLE, storage });
  if ("ready" in limiter) await limiter.ready();
  await app.register(tollkeeper, { limiter, identify: (request) => ({ key: callerOf(request), tier: "t" }) });
}

function callerOf({ headers }: FastifyRequest): string {
  return String(headers["x-api-key"]);
}

if (process.send !== undefined) {
  const [name, redisUrl] = process.argv.slice(2) as [AppName, string];
  const app = fastify();
  await APPS[name](app, redisUrl);
  app.get("/", async () => ({ hello: "world" }));
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  /** Asked where it is, it tells; asked for its processor time, µs so far. */
  serve((question: "address" | "cpu") => {
    if (question === "address") return url;
    const { user, system } = process.cpuUsage();
    return user + system;
  });
}
