import { describe, expect, it } from "vitest";
import { createLimiter, type Tiers } from "../../../src/index.js";
import { checkOverrides, type Overrides, overriddenTier, plainTier } from "../../../src/limiter/overrides.js";

const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 },
      { name: "month", type: "quota", limit: 1000, period: "month" },
    ],
  },
  unlimited: { limits: [] },
  watched: { limits: [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1, shadow: true }] },
};

function limiterOf(engine: "native" | "js") {
  const clock = { nowMs: Date.UTC(2026, 10, 10) };
  return { limiter: createLimiter({ tiers: TIERS, engine, clock: () => clock.nowMs }), clock };
}

describe("the name of a tier with overrides", () => {
  it("is the tier's own without any, and else the same for the same limits", () => {
    expect(overriddenTier("free", null)).toBe("free");
    expect(overriddenTier("free", {})).toBe("free");
    const name = overriddenTier("free", { month: null, minute: { burst: 2, limit: 5 } });
    expect(name).toBe('free{"minute":{"limit":5,"burst":2},"month":null}');
    expect(overriddenTier("free", { minute: { limit: 5, burst: 2 }, month: null })).toBe(name);
    expect([plainTier(name), plainTier("free"), plainTier("a{b")]).toEqual(["free", "free", "a{b"]);
  });
});

describe.each(["native", "js"] as const)("a tier with overrides, %s engine", (engine) => {
  it("decides by them under the plain tier's name, for one key and not for others", () => {
    const { limiter } = limiterOf(engine);
    const own = overriddenTier("free", { minute: { limit: 4 } });
    const decision = limiter.consume("a", own, 4);
    expect(decision.tier).toBe("free");
    expect(decision.limits).toMatchObject([
      { name: "minute", limit: 4, remaining: 0 },
      { name: "month", limit: 1000, remaining: 996 },
    ]);
    expect(limiter.consume("a", own).deniedBy).toBe("minute");
    expect(limiter.consume("b", "free", 100).allowed).toBe(true);
    expect(limiter.maxCost(own)).toBe(6);
    expect(limiter.stats().tiers.map(({ tier, allowed, denied }) => [tier, allowed, denied])).toEqual([
      ["free", 2, { minute: 1 }],
      ["unlimited", 0, {}],
      ["watched", 0, {}],
    ]);
  });

  it("takes over what was spent under the plain tier, and gives it back to it", () => {
    const { limiter } = limiterOf(engine);
    const raised = overriddenTier("free", { minute: { limit: 1000 } });
    limiter.consume("a", "free", 100);
    const [minute, month] = limiter.consume("a", raised, 1).limits;
    // A third of the bucket was left to save up; none was there to spend. Both keep their share.
    expect([minute?.remaining, month?.remaining]).toEqual([0, 900]);
    expect(limiter.peek("a", "free", 0).limits[1]?.remaining).toBe(900);
  });

  it("is refunded and settled by its own limits", () => {
    const { limiter } = limiterOf(engine);
    const own = overriddenTier("free", { minute: { limit: 10, burst: 1 } });
    const decision = limiter.consume("a", own, 10);
    expect(decision.refund()).toBe(true);
    expect(limiter.peek("a", own).limits.map(({ remaining }) => remaining)).toEqual([10, 1000]);
    limiter.consume("a", own, 2).settle(5);
    expect(limiter.peek("a", own).limits[0]?.remaining).toBe(5);
  });

  it("serves batches beside plain ones", () => {
    const { limiter } = limiterOf(engine);
    const own = overriddenTier("free", { minute: { limit: 1, burst: 1 } });
    const decisions = limiter.consumeMany(["a", "b", "a", "b"], [own, "free", own, "free"]);
    expect(decisions.map(({ allowed }) => allowed)).toEqual([true, true, false, true]);
    expect(decisions.map(({ tier }) => tier)).toEqual(["free", "free", "free", "free"]);
  });

  it("follows a reload, and is an error if the reload has left it without sense", () => {
    const { limiter } = limiterOf(engine);
    const own = overriddenTier("free", { minute: { burst: 3 } });
    const daily = overriddenTier("free", { month: { limit: 5 } });
    expect(limiter.maxCost(own)).toBe(300);
    const [before] = limiter.consumeMany(["a"], daily, 1);
    limiter.reload({ free: { limits: [{ name: "minute", type: "bucket", limit: 7, windowSeconds: 60, burst: 1 }] } });
    expect(limiter.maxCost(own)).toBe(21);
    expect(limiter.consume("a", own).limits[0]?.limit).toBe(7);
    expect(() => limiter.consume("a", daily)).toThrow(
      expect.objectContaining({
        code: "ERR_OVERRIDES_INVALID",
        message: "overrides.month is the name of no limit of any tier; it may be one of minute",
      }),
    );
    expect(before?.refund()).toBe(true);
    limiter.reload({ other: { limits: [] } });
    expect(() => limiter.consume("a", own)).toThrow(expect.objectContaining({ code: "ERR_TIER_UNKNOWN" }));
  });

  it("is known to every limiter of the table, whichever has reloaded the tiers", () => {
    const options = { tiers: TIERS, engine, name: `overrides-${engine}` };
    const [first, second] = [createLimiter(options), createLimiter(options)];
    const own = overriddenTier("free", { minute: { limit: 2, burst: 1 } });
    expect(first.consume("a", own).allowed).toBe(true);
    expect(second.consume("a", own).allowed).toBe(true);
    expect(second.consume("a", own).allowed).toBe(false);
    second.reload({ ...TIERS, more: { limits: [] } });
    expect(second.consume("b", overriddenTier("free", { minute: { limit: 3, burst: 1 } }), 3).allowed).toBe(true);
    expect(first.consume("b", own).limits[0]?.limit).toBe(2);
    expect(first.consume("a", own).allowed).toBe(false);
  });

  it("decides by its own limits however many others there are, and as fast", async () => {
    const { limiter } = limiterOf(engine);
    const overrides = (limit: number) => overriddenTier("free", { minute: { limit, burst: 1 } });
    const first = limiter.consume("first", overrides(1));
    const kept = limiter.consume("kept", overrides(3), 3);
    expect([first.allowed, kept.allowed]).toEqual([true, true]);
    const perTurn = 10_000;
    for (let limit = 1; limit <= 110_000; limit++) {
      const decision = limiter.consume(`key ${limit % 1000}`, overrides(limit + 0.5), 1);
      if (decision.limits[0]?.limit !== limit + 0.5) expect(decision.limits).toBe(limit + 0.5);
      // One that is used is not forgotten, and for the others nobody has to wait.
      if (limit % perTurn === 0) {
        expect(limiter.consume("kept", overrides(3)).allowed).toBe(false);
        await new Promise(setImmediate);
      }
    }
    // Those that were forgotten come back with what they are, and with what their keys have spent.
    expect(limiter.consume("first", overrides(1)).allowed).toBe(false);
    for (let limit = 1; limit <= 200; limit++) {
      const decision = limiter.consume(`late ${limit}`, overrides(limit + 0.5), limit);
      expect([decision.allowed, decision.limits[0]?.limit, decision.limits[0]?.remaining]).toEqual([
        true,
        limit + 0.5,
        0.5,
      ]);
    }
    // A decision outlives its overrides, too.
    expect(first.refund()).toBe(true);
    expect(limiter.consume("first", overrides(1)).allowed).toBe(true);
    kept.settle(1);
    expect(limiter.peek("kept", overrides(3), 0).limits[0]?.remaining).toBe(2);
  }, 120_000);

  it("serves batches of more different ones than are held", () => {
    const { limiter } = limiterOf(engine);
    const limits = Array.from({ length: 40_000 }, (_, index) => index + 1);
    const tiers = limits.map((limit) => overriddenTier("free", { minute: { limit, burst: 1 } }));
    const decisions = limiter.consumeMany(
      limits.map((limit) => `key ${limit}`),
      tiers,
      limits.map((limit) => limit % 1000),
    );
    const wrong = decisions.filter(({ limits: [minute] }, index) => minute?.limit !== index + 1);
    expect(wrong).toHaveLength(0);
  }, 60_000);

  it("leaves shadow limits as they are", () => {
    const { limiter } = limiterOf(engine);
    const own = overriddenTier("watched", { minute: { limit: 1 }, month: { limit: 50 } });
    const decision = limiter.consume("a", own, 11);
    expect(decision.allowed).toBe(true);
    expect(decision.limits).toMatchObject([{ name: "month", limit: 50 }]);
    expect(decision.shadowDenials).toEqual(["minute"]);
  });
});

/** What no overrides are, and what is said of it. */
const REFUSED: [unknown, string][] = [
  [{ minut: { limit: 5 } }, "overrides.minut is the name of no limit of any tier; it may be one of minute, month"],
  [{ constructor: { limit: 5 } }, "overrides.constructor is the name of no limit of any tier; it may be one of minute"],
  [JSON.parse('{"__proto__":{"limit":5}}'), 'overrides."__proto__" is no name of a limit; it may be a letter, then'],
  [{ "a b": null }, 'overrides."a b" is no name of a limit; it may be a letter, then'],
  [{ month: { burst: 2 } }, "overrides.month.burst is 2; it may be left out for a quota"],
  [{ minute: { limit: -5 } }, "overrides.minute.limit is -5; it may be a number from 0"],
  [{ minute: { limit: "500" } }, 'overrides.minute.limit is "500"; it may be a number from 0'],
  [{ minute: { limit: null } }, "overrides.minute.limit is null; it may be a number from 0"],
  [{ minute: { limit: 5n } }, "overrides.minute.limit is of type bigint; it may be a number from 0"],
  [{ minute: { limit: [5] } }, "overrides.minute.limit is an array; it may be a number from 0"],
  [{ minute: { limit: Number.NaN } }, "overrides.minute.limit is NaN; it may be a number from 0"],
  [{ minute: { limit: Number.POSITIVE_INFINITY } }, "overrides.minute.limit is Infinity; it may be a number from 0"],
  [{ minute: { limit: 1.2345 } }, "overrides.minute.limit is 1.2345; it may be a number from 0"],
  [{ minute: { limit: 1e300 } }, "overrides.minute.limit is 1e+300; it may be a number from 0"],
  [{ minute: { limit: 2e12 } }, "overrides.minute: limit × burst × window is too fine to count exactly"],
  [{ minute: { burst: 0 } }, "overrides.minute.burst is 0; it may be a number above 0"],
  [{ minute: { burst: "2" } }, 'overrides.minute.burst is "2"; it may be a number above 0'],
  [
    { minute: { Limit: 5 } },
    "overrides.minute.Limit is an unknown field; it may be limit, burst, blockSeconds or overage",
  ],
  [
    { minute: { limit: 5, windowSeconds: 1 } },
    "overrides.minute.windowSeconds is an unknown field; it may be limit, burst, blockSeconds or overage",
  ],
  [
    { minute: { limit: 5, toString: 1 } },
    "overrides.minute.toString is an unknown field; it may be limit, burst, blockSeconds or overage",
  ],
  [{ minute: JSON.parse('{"__proto__":{"limit":5}}') }, "overrides.minute.__proto__ is an unknown field; it may be"],
  [{ minute: 500 }, "overrides.minute is 500; it may be an object with limit, burst, blockSeconds or overage, or null"],
  [{ minute: [500] }, "overrides.minute is an array; it may be an object with limit"],
  [{ minute: false }, "overrides.minute is false; it may be an object with limit"],
  [[{ minute: { limit: 5 } }], "overrides is an array; it may be an object by name of the limit"],
  ["minute", 'overrides is "minute"; it may be an object by name of the limit'],
  [7, "overrides is 7; it may be an object by name of the limit"],
];

describe("overrides are refused", () => {
  const refusal = (message: string) =>
    expect.objectContaining({ code: "ERR_OVERRIDES_INVALID", message: expect.stringContaining(message) });

  it.each(REFUSED)("%o, wherever they are taken: %s", (given, message) => {
    const overrides = given as Overrides;
    expect(() => checkOverrides("free", overrides, TIERS)).toThrow(refusal(message));
    for (const engine of ["native", "js"] as const) {
      const { limiter } = limiterOf(engine);
      const consume = () => limiter.consume("k", overriddenTier("free", overrides));
      expect(consume, engine).toThrow(refusal(message));
      void limiter.close();
    }
  });

  it.each(REFUSED.filter(([overrides]) => typeof overrides === "object" && isJson(overrides)))(
    "%j in a tier's name that was not made by overriddenTier: %s",
    (overrides, message) => {
      const { limiter } = limiterOf("js");
      const tier = `free${JSON.stringify(overrides)}`;
      for (const ask of [
        () => limiter.consume("k", tier),
        () => limiter.peek("k", tier),
        () => limiter.consumeMany(["k"], tier),
        () => limiter.maxCost(tier),
      ]) {
        expect(ask).toThrow(refusal(message));
      }
      void limiter.close();
    },
  );

  it("for a tier that there is not, or that has overrides already", () => {
    const unknown = expect.objectContaining({ code: "ERR_TIER_UNKNOWN" });
    expect(() => checkOverrides("gold", {}, TIERS)).toThrow(unknown);
    const own = overriddenTier("free", { minute: { limit: 5 } });
    expect(() => overriddenTier(own, { minute: { limit: 6 } })).toThrow(unknown);
    expect(() => overriddenTier(undefined as never, { minute: { limit: 6 } })).toThrow(unknown);
  });

  it("and what is left out is no override", () => {
    const inherited = Object.create({ limit: 5 });
    expect(overriddenTier("free", { minute: undefined as never })).toBe("free");
    expect(overriddenTier("free", { minute: { limit: 5, burst: undefined } })).toBe('free{"minute":{"limit":5}}');
    expect(overriddenTier("free", { minute: inherited })).toBe('free{"minute":{}}');
  });
});

/** Whether JSON says the same of it. */
function isJson(overrides: unknown): boolean {
  const values = Object.values(overrides as object).flatMap((value) => Object.values(Object(value)));
  return (
    !Array.isArray(overrides) && values.every((value) => typeof value !== "bigint" && Number.isFinite(Number(value)))
  );
}
