import { describe, expect, it } from "vitest";
import { type LimitSpec, overriddenTier, type Tiers } from "../../../src/index.js";
import { admitted, ENGINES, open, remaining } from "./engines.js";

const NEVER = Number.POSITIVE_INFINITY;
const minute = (limit: number): LimitSpec => ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1.5 });
const day = (limit: number): LimitSpec => ({ name: "day", type: "quota", limit, period: "day" });

const TIERS: Tiers = {
  bucket: { limits: [minute(0)] },
  quota: { limits: [day(0)] },
  both: { limits: [day(0), minute(0)] },
  second: { limits: [minute(100), day(0)] },
  paid: { limits: [minute(100), day(1000)] },
};

describe.each(ENGINES)("a limit of 0 of the %s engine", (engine) => {
  it.each(["bucket", "quota", "both", "second"])(
    "denies all that costs something, of tier %s, and no wait helps",
    (tier) => {
      const { limiter, clock } = open({ engine, tiers: TIERS });
      const name = TIERS[tier]?.limits.find(({ limit }) => limit === 0)?.name;
      for (let hour = 0; hour < 50; hour++) {
        for (const cost of [0.001, 1, 99]) {
          const denied = limiter.consume("k", tier, cost);
          expect(denied).toMatchObject({ allowed: false, deniedBy: name, retryAfterMs: NEVER });
          expect(denied.limits.find((limit) => limit.name === name)).toMatchObject({ remaining: 0, resetMs: NEVER });
        }
        expect(limiter.consume("k", tier, 0)).toMatchObject({ allowed: true, retryAfterMs: 0 });
        clock.now += 3_600_000;
      }
      expect(limiter.peek("k", tier).allowed).toBe(false);
      expect(limiter.consumeMany(["k", "l"], tier).map(({ allowed }) => allowed)).toEqual([false, false]);
    },
  );

  it("is no reason to refuse a cost as more than it can hold; another limit beside it is", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    expect(limiter.maxCost("both")).toBe(NEVER);
    expect(limiter.consume("k", "both", Number.MAX_SAFE_INTEGER / 1000).deniedBy).toBe("day");
    expect(limiter.maxCost("second")).toBe(150);
    expect(() => limiter.consume("k", "second", 151)).toThrow(
      expect.objectContaining({ code: "ERR_COST_EXCEEDS_CAPACITY" }),
    );
  });

  it("spends nothing of the limits beside it", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    admitted(limiter, "k", "second", 50);
    expect(remaining(limiter, "k", "second", "minute")).toBe(100);
  });

  it("has a bucket begin as a new key's in the tier that comes after, and a quota go on", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    limiter.consume("k", "paid", 40);
    limiter.consume("k", "both");
    expect(limiter.peek("k", "paid", 0).limits.map(({ remaining }) => remaining)).toEqual([100, 960]);
    limiter.consume("k", "paid");
    expect(limiter.peek("k", "paid", 0).limits.map(({ remaining }) => remaining)).toEqual([99, 959]);
  });

  it("is not moved by what was counted under another, nor moves that", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const [free, paid] = [limiter.consume("k", "both", 0), limiter.consume("k", "paid", 40)];
    limiter.consume("k", "both");
    paid.settle(90);
    limiter.consume("k", "paid");
    expect(limiter.peek("k", "paid", 0).limits.map(({ remaining }) => remaining)).toEqual([99, 909]);
    free.settle(10);
    expect(limiter.peek("k", "paid", 0).limits.map(({ remaining }) => remaining)).toEqual([99, 899]);
  });

  it("keeps no key that is used no more", () => {
    const { limiter, clock } = open({ engine, maxKeys: 1, tiers: TIERS });
    limiter.consume("k", "bucket");
    clock.now += 1;
    expect(limiter.consume("l", "bucket").overflowed).toBe(false);
  });

  it("may be one caller's own", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const stopped = overriddenTier("paid", { minute: { limit: 0 } });
    expect(limiter.consume("k", stopped)).toMatchObject({ deniedBy: "minute", retryAfterMs: NEVER });
    const smooth = overriddenTier("paid", { minute: { burst: 0.05 } });
    expect(admitted(limiter, "l", smooth, 10)).toBe(5);
  });
});

describe.each(ENGINES)("a burst below 1 of the %s engine", (engine) => {
  const smooth: LimitSpec = { name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 0.1 };

  it("lets so much through at once, also of a new key, and all of the rate", () => {
    const { limiter, clock } = open({ engine, tiers: { t: { limits: [smooth] } } });
    expect(admitted(limiter, "k", "t", 100)).toBe(10);
    const denied = limiter.consume("k", "t");
    expect(denied).toMatchObject({ deniedBy: "minute", retryAfterMs: 600 });
    expect(denied.limits[0]).toMatchObject({ limit: 100, remaining: 0, resetMs: 6000 });
    let passed = 0;
    for (let step = 0; step < 600; step++) {
      clock.now += 100;
      passed += admitted(limiter, "k", "t", 100);
    }
    expect(passed).toBe(100);
    clock.now += 3_600_000;
    expect(admitted(limiter, "k", "t", 100)).toBe(10);
  });

  it("is the most that one call may cost", () => {
    const { limiter } = open({ engine, tiers: { t: { limits: [smooth] } } });
    expect(limiter.maxCost("t")).toBe(10);
    expect(() => limiter.consume("k", "t", 10.001)).toThrow(
      expect.objectContaining({ code: "ERR_COST_EXCEEDS_CAPACITY" }),
    );
  });

  it("holds a thousandth at least", () => {
    const tiers = (limit: number, burst: number) => ({ t: { limits: [{ ...smooth, limit, burst } as LimitSpec] } });
    expect(open({ engine, tiers: tiers(1, 0.001) }).limiter.maxCost("t")).toBe(0.001);
    expect(() => open({ engine, tiers: tiers(0.999, 0.001) })).toThrow(
      expect.objectContaining({
        code: "ERR_TIERS_INVALID",
        message:
          "tiers.t.limits[0]: limit × burst is less than 0.001: nothing would fit in; choose a larger limit or burst",
      }),
    );
  });
});
