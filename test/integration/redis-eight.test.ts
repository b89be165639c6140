import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import type { LimitSpec, SharedLimiter } from "../../src/index.js";
import { openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"];
const QUOTA = 300;
const CALLERS = 8;
const LEASE_MS = 500;

/** Eight quotas, of which the one at `least` ends first. */
const quotas = (least: number): LimitSpec[] =>
  NAMES.map((name, index) => ({ name, type: "quota", limit: index === least ? QUOTA : 1000 + index, period: "month" }));

/** Calls until the denial is final; says how many calls were allowed, and which limit denied. */
async function callUntilUsedUp(limiter: SharedLimiter) {
  for (let allowed = 0; ; ) {
    const decision = await limiter.consume("acct:1", "t");
    if (decision.allowed) allowed++;
    else if (decision.isProvisional) await sleep(Math.min(decision.retryAfterMs, LEASE_MS));
    else return { allowed, deniedBy: decision.deniedBy };
  }
}

const CASES = (["leased", "exact"] as const).flatMap((mode) =>
  (["native", "js"] as const).flatMap((engine) => [0, 3, 4, 7].map((least) => ({ mode, engine, least }))),
);

it.each(CASES)(
  "of eight limits over Redis number $least denies after exactly its quota: $mode, $engine",
  async ({ mode, engine, least }) => {
    const tiers = { t: { limits: quotas(least) } };
    const replicas = await openReplicas(redis.url, times(2, tiers), { mode, leaseMs: LEASE_MS }, [], engine);
    const ends = await Promise.all(
      times(CALLERS, undefined).map((_, caller) => callUntilUsedUp(replicas[caller % 2] as SharedLimiter)),
    );
    expect(ends.map(({ deniedBy }) => deniedBy)).toEqual(times(CALLERS, NAMES[least]));
    expect(ends.reduce((sum, { allowed }) => sum + allowed, 0)).toBe(QUOTA);
    const stands = await replicas[0].peek("acct:1", "t", 0);
    const left = NAMES.map((_, index) => (index === least ? 0 : 1000 + index - QUOTA));
    expect(stands.limits.map(({ remaining }) => remaining)).toEqual(left);
    const refunded = await (replicas[1] as SharedLimiter).consume("acct:2", "t", 5);
    expect(refunded.refund()).toBe(true);
  },
);
