import fastify, { type FastifyInstance, type FastifyServerOptions, type LightMyRequestResponse } from "fastify";
import { onTestFinished } from "vitest";
import { createLimiter, type Limiter, type Tiers } from "../../../src/index.js";

/** A bucket of a minute, which begins full and holds no more than its limit. */
export const minute = (limit: number) =>
  ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1 }) as const;

export const day = (limit: number) => ({ name: "day", type: "quota", limit, period: "day" }) as const;

/** A limiter whose clock stands still. */
export function openLimiter(tiers: Tiers): Limiter {
  const limiter = createLimiter({ tiers, engine: "js", clock: () => Date.UTC(2026, 10, 10) });
  onTestFinished(() => limiter.close());
  return limiter;
}

export function openApp(options: FastifyServerOptions = {}): FastifyInstance {
  const app = fastify(options);
  onTestFinished(() => app.close());
  return app;
}

/** What is left of each limit of a key. */
export function leftOf(limiter: Limiter, key: string, tier: string): number[] {
  return limiter.peek(key, tier, 0).limits.map(({ remaining }) => remaining);
}

/** The names of the fields that say how a caller stands. */
export function fieldsOf({ headers }: LightMyRequestResponse): string[] {
  return Object.keys(headers)
    .filter((name) => /limit|quota|x-|retry/.test(name))
    .sort();
}
