import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Decision, type Limiter, overriddenTier, type Tiers } from "../../../src/index.js";
import { ENGINES, open } from "./engines.js";

const NOW = Date.UTC(2026, 4, 10);

const minute = (limit: number, burst = 1, windowSeconds = 60) => ({
  limits: [
    { name: "minute", type: "bucket", limit, windowSeconds, burst } as const,
    { name: "month", type: "quota", limit: limit * 100, period: "month" } as const,
  ],
});

const TIERS: Tiers = { free: minute(100), pro: minute(1000) };

/** How a decision is corrected by -100 tokens of its 100, or by +100. */
const GIVES_BACK: [string, (decision: Decision) => void][] = [
  ["refunded", (decision) => decision.refund()],
  ["settled at nothing", (decision) => decision.settle(0)],
];

describe.each(ENGINES)("what a call under pro has cost, %s engine", (engine) => {
  /** How the key comes under another size of the limit, and the tier that it is then asked under. */
  const moves: [string, (limiter: Limiter) => string][] = [
    ["another tier", () => "free"],
    ["an override", () => overriddenTier("pro", { minute: { limit: 100 }, month: { limit: 10_000 } })],
    [
      "a reload",
      (limiter) => {
        limiter.reload({ free: minute(100), pro: minute(100) });
        return "pro";
      },
    ],
    [
      "a reload that drops the tier",
      (limiter) => {
        limiter.reload({ free: minute(100) });
        return "free";
      },
    ],
  ];
  const opened = () => open({ tiers: TIERS, engine, clock: () => NOW }).limiter;
  const left = (limiter: Limiter, tier: string) => limiter.peek("k", tier, 0).limits.map(({ remaining }) => remaining);

  describe.each(moves)("is counted by the limit that it was charged under, after %s", (_, move) => {
    it.each(GIVES_BACK)("when %s", (_, giveBack) => {
      const limiter = opened();
      limiter.consume("k", "pro", 800);
      const [decision] = limiter.consumeMany(["k"], "pro", 100);
      const tier = move(limiter);
      // A tenth of each bucket is left, and 900 of the month are used.
      limiter.consume("k", tier, 1);
      expect(left(limiter, tier)).toEqual([9, 9099]);
      giveBack(decision as Decision);
      expect(left(limiter, tier)).toEqual([19, 9199]);
    });

    it("when settled above its cost", () => {
      const limiter = opened();
      const decision = limiter.consume("k", "pro", 100);
      const tier = move(limiter);
      limiter.consume("k", tier, 1);
      decision.settle(200);
      expect(left(limiter, tier)).toEqual([79, 9799]);
    });
  });

  it("is so in shadow mode too, and up as well as down", () => {
    const shadow = (limit: number) => ({ limits: minute(limit).limits.map((each) => ({ ...each, shadow: true })) });
    const tiers = { free: shadow(100), pro: shadow(1000), watch: minute(1000) };
    const { limiter } = open({ tiers, engine, clock: () => NOW });
    limiter.consume("k", "free", 90);
    const decision = limiter.consume("k", "free", 10);
    limiter.consume("k", "pro", 0.001);
    decision.refund();
    // 10 of 100 are 100 of 1,000.
    expect(limiter.peek("k", "watch", 0).limits[0]?.remaining).toBeCloseTo(100, 2);
  });
});

it("gives back at most what was taken, and alike in both engines, whatever tiers the key has gone through", () => {
  const size = fc.record({
    limit: fc.oneof(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 5 })),
    windowSeconds: fc.constantFrom(0.007, 1, 7, 60, 86_399),
    burst: fc.constantFrom(1, 1.001, 1.5, 3.333),
  });
  fc.assert(
    fc.property(size, size, size, fc.integer({ min: 1, max: 1000 }), (a, b, c, share) => {
      const bucket = (size: typeof a) => ({ limits: [{ name: "w", type: "bucket", ...size } as const] });
      const cost = (a.limit * share) / 1000;
      const after = ENGINES.map((engine) => {
        const tiers = { a: bucket(a), b: bucket(b), c: bucket(c) };
        const { limiter } = open({ tiers, engine, clock: () => NOW });
        const decision = limiter.consume("k", "a", cost);
        limiter.consume("k", "b", 0.001).refund();
        limiter.consume("k", "c", 0.001).refund();
        decision.refund();
        return limiter.peek("k", "a", 0).limits[0]?.remaining ?? Number.NaN;
      });
      expect(after[0]).toBe(after[1]);
      expect(after[0]).toBeLessThanOrEqual(a.limit);
      // What three changes of tier have rounded off.
      expect(after[0]).toBeGreaterThanOrEqual(a.limit - 0.01);
    }),
    { numRuns: 300 },
  );
});
