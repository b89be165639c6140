import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLimiter, type Tiers } from "../../../src/index.js";
import { splitOverage } from "../../../src/ledger/overage.js";

const LIMITS = { small: 1000, large: 5000, none: 0 };
const rowsOf = (text: string) => {
  return text.split(", ").map((part) => {
    const [plan = "", units] = part.split(" ");
    return { plan, meter: "identify", units: Number(units) };
  });
};

describe("overage of usage", () => {
  // biome-ignore format: a table
  it.each<[what: string, usage: string, overage: number[]]>([
    ["below the limit",                           "small 999.999",                    [0]],
    ["all of the limit",                          "small 1000",                       [0]],
    ["a thousandth beyond",                       "small 1000.001",                   [0.001]],
    ["within one row",                            "small 1200",                       [200]],
    ["from one row to the next",                  "small 900, small 300, small 50",   [0, 200, 50]],
    ["a change to more: what is beyond is not, under the larger limit", "small 1200, large 1000", [200, 0]],
    ["and is again where that ends",              "small 1200, large 4000",           [200, 200]],
    ["a change to less: all of it",               "large 3000, small 100",            [0, 100]],
    ["a change to less, within its limit",        "large 900, small 300",             [0, 200]],
    ["there and back",                            "small 1100, large 500, small 10",  [100, 0, 10]],
    ["a plan that pays for all it uses",          "none 0.5, none 2",                 [0.5, 2]],
    ["a plan without a limit",                    "unlimited 9000, large 1",          [0, 1]],
    ["nothing used",                              "small 0",                          [0]],
  ])("%s", (_, usage, overage) => {
    const rows = rowsOf(usage);
    expect(splitOverage(rows, LIMITS)).toEqual(rows.map((row, index) => ({ ...row, overage: overage[index] })));
  });

  it("is what the limiter has told of each call, whatever the plans", async () => {
    const call = fc.record({ plan: fc.constantFrom("a", "b", "c"), milli: fc.integer({ min: 1, max: 4000 }) });
    const limit = fc.record({ limit: fc.integer({ min: 0, max: 20_000 }), max: fc.integer({ min: 1, max: 9000 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(limit, limit, limit),
        fc.array(call, { minLength: 1, maxLength: 30 }),
        async (plans, calls) => {
          const quotas = plans.map(({ limit, max }, index): [string, Tiers[string]] => {
            const overage = { max: max / 1000 };
            return [
              "abc".charAt(index),
              { limits: [{ name: "once", type: "quota", limit: limit / 1000, period: "once", overage }] },
            ];
          });
          const limiter = createLimiter({ tiers: Object.fromEntries(quotas), engine: "js" });
          const most = Object.fromEntries(quotas.map(([plan]) => [plan, limiter.maxCost(plan)]));
          const served = calls.flatMap(({ plan, milli }) => {
            const units = Math.min(milli / 1000, most[plan] ?? 0);
            const decision = limiter.consume("k", plan, units);
            return decision.allowed
              ? [{ plan, meter: "identify", units, told: decision.limits[0]?.overage ?? Number.NaN }]
              : [];
          });
          const limits = Object.fromEntries(plans.map(({ limit }, index) => ["abc".charAt(index), limit / 1000]));
          const split = splitOverage(served, limits);
          expect(split.map(({ overage }) => overage)).toEqual(served.map(({ units, told }) => Math.min(units, told)));
          await limiter.close();
        },
      ),
    );
  });

  // biome-ignore format: a table
  it.each<[string, number, number, string]>([
    ["usage below 0",  -1,     1000,                     "usage[0].units is -1; it may be a number from 0 with at most three decimals"],
    ["a limit of NaN", 1,      Number.NaN,               "limits.small is NaN; it may be a number from 0 with at most three decimals"],
    ["a limit below 0", 1,     -5,                       "limits.small is -5; it may be a number from 0 with at most three decimals"],
  ])("refuses %s", (_, units, small, message) => {
    const split = () => splitOverage([{ plan: "small", meter: "identify", units }], { small });
    expect(split).toThrow(expect.objectContaining({ code: "ERR_USAGE_INVALID", message }));
  });
});
