import { onTestFinished } from "vitest";
import { createLimiter, type Limiter, type LimiterOptions, type Tiers } from "../../../src/index.js";

/** What every engine is tested with. */
export const ENGINES = ["native", "js"] as const;

/** Noon of a day in the middle of a month: nothing rolls over by accident. */
export const NOON = Date.UTC(2026, 5, 15, 12);

const minute = (limit: number) => ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1.5 }) as const;
const month = (limit: number) => ({ name: "month", type: "quota", limit, period: "month" }) as const;

/** The tiers of the product. */
export const TIERS = {
  free: { limits: [minute(100), month(50_000)] },
  pro: { limits: [minute(1000), month(1_000_000)] },
  enterprise: { limits: [] },
  anonymous: { limits: [minute(30)] },
} satisfies Tiers;

/** Time that a test moves. */
export interface TestClock {
  now: number;
}

/** A limiter that closes with the test, and its clock. */
export function open(options: Partial<LimiterOptions> = {}): { limiter: Limiter; clock: TestClock } {
  const clock = { now: NOON };
  const limiter = createLimiter({ tiers: TIERS, clock: () => clock.now, ...options });
  onTestFinished(() => limiter.close());
  return { limiter, clock };
}

/** How many of `calls` calls are allowed. */
export function admitted(limiter: Limiter, key: string, tier: string, calls: number, cost = 1): number {
  let allowed = 0;
  for (let call = 0; call < calls; call++) if (limiter.consume(key, tier, cost).allowed) allowed++;
  return allowed;
}

/** Tokens left of one limit. */
export function remaining(limiter: Limiter, key: string, tier: string, name: string): number | undefined {
  return limiter.peek(key, tier, 0).limits.find((limit) => limit.name === name)?.remaining;
}
