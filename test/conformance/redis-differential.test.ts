import fc from "fast-check";
import { beforeAll, expect, it, onTestFinished, vi } from "vitest";
import {
  type Cost,
  createLimiter,
  type Decision,
  type Limiter,
  type SharedLimiter,
  TollkeeperError,
} from "../../src/index.js";
import { type RedisServer, redisForFile } from "../redis/server.js";
import { DECEMBER_30_2026, type Operation, operation, tiers } from "./operations.js";

let server: RedisServer;
beforeAll(async () => {
  server = await redisForFile();
  // Known to a first replica before the rest come, so that none of them waits to see whether others know more.
  const first = createLimiter({ tiers: { a: { limits: [] } }, storage: { type: "redis", url: server.url } });
  await first.ready();
  await first.close();
});

function correct(decision: Decision, kind: Operation["kind"], cost: Cost): boolean {
  if (kind === "release") return decision.release();
  if (kind === "settle" || kind === "charge") return decision[kind](cost);
  return decision.refund(kind === "quotas" ? "quotas" : "all");
}

/** What a caller sees of one operation. */
async function perform(
  limiter: Limiter | SharedLimiter,
  made: Decision[],
  { kind, key, tier, cost, of, grant, tiers }: Operation,
): Promise<unknown> {
  try {
    switch (kind) {
      case "consume":
      case "peek": {
        const decision = await limiter[kind](key, tier, cost);
        if (kind === "consume") made.push(decision);
        return { ...decision.toJSON(), holdsPlace: decision.holdsPlace };
      }
      case "grant":
        return (await limiter.grant(key, tier, typeof cost === "number" ? cost : 1, grant)).toJSON();
      case "reset":
        return await limiter.reset(key);
      case "reload":
        return limiter.reload(tiers);
      default: {
        const decision = made[of % made.length];
        if (decision === undefined) return undefined;
        const done = correct(decision, kind, cost);
        // A correction is on its way by now; what is asked next is answered after it, and time must not go on before.
        await limiter.reset("nobody");
        return done;
      }
    }
  } catch (error) {
    if (error instanceof TollkeeperError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

it("Redis in exact mode and the JavaScript engine answer every operation alike", async () => {
  // The engine's sweep forgets keys that are as good as new under their own tier, which Redis keeps.
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  onTestFinished(() => void vi.useRealTimers());
  let decisions = 0;
  let denials = 0;
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      tiers,
      fc.array(operation, { minLength: 1, maxLength: 120, size: "max" }),
      async (tiers, operations) => {
        let now = DECEMBER_30_2026;
        const clock = () => now;
        const js = { limiter: createLimiter({ tiers, engine: "js", clock }), made: [] as Decision[] };
        const storage = { type: "redis", url: server.url, mode: "exact", timeoutMs: 5000 } as const;
        const redis = {
          limiter: createLimiter({ tiers, clock, storage: { ...storage, prefix: `run${run++}` } }),
          made: [] as Decision[],
        };
        await redis.limiter.ready(); // which looks at the clock
        js.limiter.peek("other", "a", 0);
        for (const [index, next] of operations.entries()) {
          now += next.advanceMs;
          // Time that runs backwards stands still at the latest that a limiter has seen. Whether a reset, a reload, a
          // misuse or a heartbeat looks at the clock is nobody's promise, so both look at it before each operation.
          js.limiter.peek("other", "a", 0);
          await redis.limiter.peek("other", "a", 0);
          const expected = await perform(js.limiter, js.made, next);
          const actual = await perform(redis.limiter, redis.made, next);
          expect(actual, `operation ${index}, ${JSON.stringify(next)}`).toEqual(expected);
          if (typeof actual === "object") decisions++;
          if (typeof actual === "object" && !(actual as Decision).allowed) denials++;
        }
        await Promise.all([js.limiter.close(), redis.limiter.close()]);
      },
    ),
    { numRuns: 150, endOnFailure: true },
  );
  expect(decisions).toBeGreaterThan(2000);
  expect(denials).toBeGreaterThan(50);
}, 120_000);
