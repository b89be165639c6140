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

  it("follows a reload, and is the plain tier if the reload has left it without sense", () => {
    const { limiter } = limiterOf(engine);
    const own = overriddenTier("free", { minute: { burst: 3 }, gone: { limit: 1 } });
    expect(limiter.maxCost(own)).toBe(300);
    limiter.reload({ free: { limits: [{ name: "minute", type: "bucket", limit: 7, windowSeconds: 60, burst: 1 }] } });
    expect(limiter.maxCost(own)).toBe(21);
    expect(limiter.consume("a", own).limits[0]?.limit).toBe(7);
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

  it("leaves shadow limits as they are", () => {
    const { limiter } = limiterOf(engine);
    const own = overriddenTier("watched", { minute: { limit: 1 }, month: { limit: 50 } });
    const decision = limiter.consume("a", own, 11);
    expect(decision.allowed).toBe(true);
    expect(decision.limits).toMatchObject([{ name: "month", limit: 50 }]);
    expect(decision.shadowDenials).toEqual(["minute"]);
  });
});

describe("overrides are refused", () => {
  it.each<[Overrides, string]>([
    [{ hour: { limit: 1 } }, "overrides.hour is no limit of any tier; it may be one of minute, month"],
    [{ month: { burst: 2 } }, "overrides.month.burst is 2; it may be left out for a quota"],
    [{ minute: { limit: 0.0001 } }, "free.limits[0].limit is 0.0001; it may be"],
    [{ minute: { burst: 0.5 } }, "free.limits[0].burst is 0.5; it may be"],
  ])("%j: %s", (overrides, message) => {
    expect(() => checkOverrides("free", overrides, TIERS)).toThrow(
      expect.objectContaining({ code: "ERR_OVERRIDES_INVALID", message: expect.stringContaining(message) }),
    );
  });

  it("for a tier that there is not", () => {
    expect(() => checkOverrides("gold", {}, TIERS)).toThrow(expect.objectContaining({ code: "ERR_TIER_UNKNOWN" }));
  });
});
