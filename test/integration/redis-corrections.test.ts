/** That a denial is believed no longer than until its key is changed, under whichever tier either was. */
import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter, type Decision, type SharedLimiter } from "../../src/index.js";
import { newPrefix } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const day = (limit: number) => ({ limits: [{ name: "day", type: "quota", limit, period: "day" }] }) as const;
const parallel = { name: "parallel", type: "concurrency", limit: 9, timeoutSeconds: 60 } as const;
const tiers = {
  large: day(20),
  small: day(2),
  same: day(2),
  placed: { limits: [...day(2).limits, parallel] },
};

type Correct = (decision: Decision, limiter: SharedLimiter) => unknown;

/** What happens to a key that has spent 1.5, and what is left of 2 for a call of 1 then, once it was decided. */
const changes: Record<string, { correct: Correct; left: number; allowed: boolean }> = {
  "is charged more": { correct: (decision) => decision.charge(0.25), left: 0.25, allowed: false },
  "is settled at more": { correct: (decision) => decision.settle(2), left: 0, allowed: false },
  "is settled at less": { correct: (decision) => decision.settle(0.5), left: 0.5, allowed: true },
  "is refunded": { correct: (decision) => decision.refund(), left: 1, allowed: true },
  "has its quotas refunded": { correct: (decision) => decision.refund("quotas"), left: 1, allowed: true },
  "is undone": { correct: (decision) => decision.undo(), left: 1, allowed: true },
  "is granted tokens": { correct: ({ tier }, limiter) => limiter.grant("k", tier, 3), left: 2.5, allowed: true },
  "spends of each limit": {
    correct: ({ tier }, limiter) => limiter.consume("k", tier, { day: 0.25 }),
    left: 0.25,
    allowed: false,
  },
  "spends under a tier that Redis alone decides": {
    correct: (_, limiter) => limiter.consume("k", "placed", 0.25),
    left: 0.25,
    allowed: false,
  },
  "is reset": { correct: (_, limiter) => limiter.reset("k"), left: 1, allowed: true },
};

const kinds = ["exact", "leased"].flatMap((mode) => ["native", "js"].map((engine) => ({ mode, engine }) as const));

describe.each(kinds as { mode: "exact" | "leased"; engine: "native" | "js" }[])(
  "a denial that is believed, $mode, in the $engine engine",
  ({ mode, engine }) => {
    async function opened(tier: string) {
      const storage = { type: "redis", url: redis.url, prefix: newPrefix(), mode, timeoutMs: 5000 } as const;
      const limiter = createLimiter({ tiers, engine, storage });
      onTestFinished(() => limiter.close());
      await limiter.ready(60_000);
      return { limiter, spent: await limiter.consume("k", tier, 1.5) };
    }

    /** What a call is told that comes when Redis has answered all that was asked before. */
    async function askedAfter(limiter: SharedLimiter) {
      await limiter.reset("nobody");
      const { allowed, limits } = await limiter.consume("k", "small", 1);
      return { allowed, left: limits[0]?.remaining };
    }

    describe.each(["small", "same", "large", "placed"])("of a key that spent under the tier %s", (tier) => {
      it.each(Object.entries(changes))("ends when it %s", async (_, { correct, ...expected }) => {
        const { limiter, spent } = await opened(tier);
        expect((await limiter.consume("k", "small", 1)).allowed).toBe(false);
        await correct(spent, limiter);
        expect(await askedAfter(limiter)).toEqual(expected);
      });

      it.each(Object.entries(changes))("does not begin after it %s", async (_, { correct, ...expected }) => {
        const { limiter, spent } = await opened(tier);
        const denied = limiter.consume("k", "small", 1);
        await Promise.all([denied, correct(spent, limiter)]);
        // If it was asked before.
        if (!(await denied).allowed) expect(await askedAfter(limiter)).toEqual(expected);
      });
    });
  },
);
