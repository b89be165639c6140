import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ENGINES, open, remaining } from "./engines.js";

describe.each(ENGINES)("consumeMany, %s engine", (engine) => {
  it("says of each key what consume would, in order, also of more keys than cross at once", () => {
    const { limiter: many } = open({ engine });
    const { limiter: single } = open({ engine });
    const keys = fc.array(fc.constantFrom("a", "bc", "ab", "c", "é", "ł", "\ud800", "\udc00", "x".repeat(512)), {
      minLength: 1,
      maxLength: 200,
    });
    const calls = keys.chain((keys) =>
      fc.record({
        keys: fc.constant(keys),
        tiers: fc.array(fc.constantFrom("free", "pro", "enterprise", "anonymous"), {
          minLength: keys.length,
          maxLength: keys.length,
        }),
        costs: fc.array(fc.constantFrom(0, 0.5, 1, 7, 30), { minLength: keys.length, maxLength: keys.length }),
      }),
    );
    fc.assert(
      fc.property(calls, ({ keys, tiers, costs }) => {
        const together = many.consumeMany(keys, tiers, costs);
        const alone = keys.map((key, index) => single.consume(key, tiers[index] ?? "", costs[index]));
        expect(together.map((decision) => decision.toJSON())).toEqual(alone.map((decision) => decision.toJSON()));
      }),
      { numRuns: 50 },
    );
    expect(many.stats().tiers).toEqual(single.stats().tiers);
  });

  it("takes keys for what they are, and not for what they are joined", () => {
    const { limiter } = open({ engine });
    limiter.consumeMany(["ab", "c", "\ud83d", "\ude00"], "free", [1, 2, 3, 4]);
    for (const [key, left] of [
      ["ab", 99],
      ["c", 98],
      ["\ud83d", 97],
      ["\ude00", 96],
      ["a", 100],
      ["bc", 100],
      ["😀", 100],
    ]) {
      expect(remaining(limiter, String(key), "free", "minute"), String(key)).toBe(left);
    }
  });

  it.each([
    ["a key", ["a".repeat(513), "free", 1], "ERR_KEY_INVALID"],
    ["a tier", ["last", "none", 1], "ERR_TIER_UNKNOWN"],
    ["a cost", ["last", "free", 0.0001], "ERR_COST_INVALID"],
    ["a cost that can't pass", ["last", "free", 151], "ERR_COST_EXCEEDS_CAPACITY"],
  ] as const)("spends nothing if %s is wrong, were it the last of many", (_what, [key, tier, cost], code) => {
    const { limiter } = open({ engine });
    const keys = [...Array.from({ length: 99 }, () => "good"), key];
    const tiers = [...Array.from({ length: 99 }, () => "free"), tier];
    const costs = [...Array.from({ length: 99 }, () => 1), cost];
    expect(() => limiter.consumeMany(keys, tiers, costs)).toThrow(expect.objectContaining({ code }));
    expect(remaining(limiter, "good", "free", "minute")).toBe(100);
  });

  it("takes none at all", () => {
    const { limiter } = open({ engine });
    expect(limiter.consumeMany([], "free")).toEqual([]);
  });

  it("refunds each decision for itself", () => {
    const { limiter } = open({ engine });
    const [first] = limiter.consumeMany(["a", "b"], "free", 10);
    expect(first?.refund()).toBe(true);
    expect([remaining(limiter, "a", "free", "minute"), remaining(limiter, "b", "free", "minute")]).toEqual([100, 90]);
  });
});
