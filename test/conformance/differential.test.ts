import fc from "fast-check";
import { expect, it } from "vitest";
import {
  createLimiter,
  type Decision,
  type Limiter,
  type LimitSpec,
  type Tiers,
  TollkeeperError,
} from "../../src/index.js";

const DECEMBER_30_2026 = 1_798_588_800_000;

const milli = (max: number) => fc.integer({ min: 1, max: max * 1000 }).map((value) => value / 1000);

const bucket = (name: string) =>
  fc.record({
    name: fc.constant(name),
    type: fc.constant("bucket" as const),
    limit: fc.oneof(milli(20), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 10_000 })),
    windowSeconds: fc.oneof(milli(5), fc.constantFrom(1, 7, 60, 3600, 86_400)),
    burst: fc.constantFrom(1, 1.001, 1.25, 1.5, 2, 3.333),
  });

const quota = (name: string, period: "day" | "month") =>
  fc.record({
    name: fc.constant(name),
    type: fc.constant("quota" as const),
    limit: fc.oneof(milli(20), fc.integer({ min: 1, max: 100 })),
    period: fc.constant(period),
    ...(period === "month" ? { anchorDay: fc.integer({ min: 1, max: 31 }) } : {}),
  });

/** Up to four limits in any order: every tier has its own, and the names mean the same in all. */
const limits: fc.Arbitrary<LimitSpec[]> = fc
  .tuple(bucket("second"), bucket("minute"), quota("day", "day"), quota("month", "month"))
  .chain((all) => fc.shuffledSubarray<LimitSpec>(all));

const tiers: fc.Arbitrary<Tiers> = fc.record({
  a: fc.record({ limits }),
  b: fc.record({ limits }),
  c: fc.record({ limits }),
});

const cost = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(0, 0.001, 0.5, 1, 1, 2, 3) },
  { weight: 3, arbitrary: milli(8) },
  { weight: 1, arbitrary: fc.constantFrom(40, 1000) },
);
const operation = fc.record({
  advanceMs: fc.oneof(
    { weight: 60, arbitrary: fc.integer({ min: 0, max: 500 }) },
    { weight: 10, arbitrary: fc.integer({ min: 0, max: 30_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 86_400_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: -10_000, max: 40 * 86_400_000 }) },
  ),
  kind: fc.oneof(
    { weight: 20, arbitrary: fc.constant("consume" as const) },
    { weight: 8, arbitrary: fc.constantFrom("peek", "refund", "quotas", "settle") },
    { weight: 1, arbitrary: fc.constantFrom("reset", "reload") },
  ),
  key: fc.constantFrom("k1", "k2", "k\ud800", "k\u0142", "kB"),
  tier: fc.constantFrom("a", "b", "c"),
  cost,
  of: fc.nat(30),
  tiers,
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** What a caller sees of one operation. */
function perform(limiter: Limiter, made: Decision[], { kind, key, tier, cost, of, tiers }: Operation): unknown {
  try {
    switch (kind) {
      case "consume":
      case "peek": {
        const decision = limiter[kind](key, tier, cost);
        if (kind === "consume") made.push(decision);
        return decision.toJSON();
      }
      case "reset":
        return limiter.reset(key);
      case "reload":
        return limiter.reload(tiers);
      case "settle":
        return made[of % made.length]?.settle(cost);
      default:
        return made[of % made.length]?.refund(kind === "quotas" ? "quotas" : "all");
    }
  } catch (error) {
    if (error instanceof TollkeeperError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

it("the native and the JavaScript engine answer every operation alike", async () => {
  let decisions = 0;
  let denials = 0;
  await fc.assert(
    fc.asyncProperty(
      tiers,
      fc.array(operation, { minLength: 1, maxLength: 120, size: "max" }),
      async (tiers, operations) => {
        let now = DECEMBER_30_2026;
        const engines = (["native", "js"] as const).map((engine) => ({
          limiter: createLimiter({ tiers, engine, clock: () => now }),
          made: [] as Decision[],
        }));
        for (const [index, next] of operations.entries()) {
          now += next.advanceMs;
          const [native, js] = engines.map(({ limiter, made }) => perform(limiter, made, next));
          expect(native, `operation ${index}, ${JSON.stringify(next)}`).toEqual(js);
          if (typeof native === "object") decisions++;
          if (typeof native === "object" && !(native as Decision).allowed) denials++;
        }
        const [native, js] = engines.map(({ limiter }) => ({ ...limiter.stats(), engine: "" }));
        expect(native).toEqual(js);
        await Promise.all(engines.map(({ limiter }) => limiter.close()));
      },
    ),
    { numRuns: 2000 },
  );
  expect(decisions).toBeGreaterThan(30_000);
  expect(denials).toBeGreaterThan(500);
}, 120_000);
