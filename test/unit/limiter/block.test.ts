import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BucketSpec, LimitSpec, Tiers } from "../../../src/index.js";
import { overriddenTier } from "../../../src/index.js";
import { admitted, ENGINES, NOON, open, remaining } from "./engines.js";
import { ATTEMPTS, checkAttempts, HOUR_MS, pauses, QUARTER_MS } from "./login.js";

const minute: BucketSpec = {
  name: "minute",
  type: "bucket",
  limit: 10,
  windowSeconds: 60,
  burst: 2,
  blockSeconds: 300,
};
const month: LimitSpec = { name: "month", type: "quota", limit: 30, period: "month" };
const TIERS = {
  t: { limits: [minute, month] },
  longer: { limits: [{ ...minute, limit: 20, windowSeconds: 7, blockSeconds: 900 }, month] },
  mild: { limits: [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 2 }, month] },
  bare: { limits: [month] },
} satisfies Tiers;

describe.each(ENGINES)("blocks of the %s engine", (engine) => {
  function blocked() {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    expect(admitted(limiter, "k", "t", 12)).toBe(10);
    return { limiter, clock };
  }

  it("a denial denies every cost until the block is over, and then the bucket is that of a new key", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    limiter.consume("k", "t", 9);
    clock.now += 300;
    const denied = limiter.consume("k", "t", 2);
    expect(denied.toJSON()).toMatchObject({ allowed: false, deniedBy: "minute", retryAfterMs: 300_000 });
    expect(denied.limits).toMatchObject([{ remaining: 0, resetMs: 360_000 }, { remaining: 21 }]);
    for (const later of [1, 1000, 298_998]) {
      clock.now += later;
      const again = limiter.consume("k", "t", later === 1 ? 0.001 : 5);
      expect(again).toMatchObject({ allowed: false, retryAfterMs: NOON + 300_300 - clock.now });
    }
    clock.now += 1;
    expect(limiter.peek("k", "t", 0).limits[0]).toMatchObject({ remaining: 10, resetMs: 60_000 });
    clock.now += 30_000;
    expect(remaining(limiter, "k", "t", "minute")).toBe(15);
    expect(admitted(limiter, "k", "t", 15)).toBe(15);
  });

  it("a cost of more than a new key has waits for the block and the refill after it", () => {
    const { limiter, clock } = blocked();
    expect(limiter.consume("k", "t", 15).retryAfterMs).toBe(330_000);
    clock.now += 330_000;
    expect(limiter.consume("k", "t", 15).allowed).toBe(true);
  });

  it("begins and is asked only where a call costs something of that limit", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    const month = (cost: number) => limiter.consume("k", "t", { month: cost }).allowed;
    expect([limiter.consume("k", "t", 10).allowed, month(19), month(2)]).toEqual([true, true, false]);
    expect(limiter.peek("k", "t", { minute: 0.001 }).retryAfterMs).toBe(300_000);
    clock.now += 60_000;
    expect(limiter.consume("k", "t", { minute: 10.001 })).toMatchObject({ allowed: false, retryAfterMs: 300_006 });
    expect(month(1)).toBe(true);
    expect(limiter.consume("k", "t", { month: 0, minute: 5 })).toMatchObject({
      ...{ allowed: false, deniedBy: "minute", retryAfterMs: 300_000 },
    });
  });

  it("a peek says what a call would be told, and begins nothing", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    limiter.consume("k", "t", 10);
    const peeked = limiter.peek("k", "t");
    expect(peeked).toMatchObject({ allowed: false, deniedBy: "minute", retryAfterMs: 300_000 });
    clock.now += 6000;
    expect(limiter.consume("k", "t").allowed).toBe(true);
    expect(limiter.consume("k", "t").retryAfterMs).toBe(300_000);
    expect(limiter.peek("k", "t", 0)).toMatchObject({ allowed: true, limits: [{ remaining: 0 }, {}] });
  });

  it("a cost of 0 passes, and misuse begins nothing", () => {
    const { limiter } = blocked();
    expect(limiter.consume("k", "t", 0).allowed).toBe(true);
    expect(() => limiter.consume("other", "t", 21)).toThrow(
      expect.objectContaining({ code: "ERR_COST_EXCEEDS_CAPACITY" }),
    );
    expect(limiter.consume("other", "t").allowed).toBe(true);
  });

  it("a denial by another limit alone begins none; one for want of both does, whichever waits longer", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    for (let call = 0; call < 2; call++) {
      expect(admitted(limiter, "k", "t", 10)).toBe(10);
      clock.now += 60_000;
    }
    expect(limiter.consume("k", "t", 8).allowed).toBe(true);
    clock.now += 60_000;
    expect(limiter.consume("k", "t", 3).deniedBy).toBe("month");
    expect(remaining(limiter, "k", "t", "minute")).toBe(12);
    // The month waits longest, and the minute has not enough either.
    expect(limiter.consume("k", "t", 13).deniedBy).toBe("month");
    expect(limiter.peek("k", "t", 0).limits[0]).toMatchObject({ remaining: 0, resetMs: 360_000 });
  });

  it("corrections leave a blocked bucket alone, and quotas get theirs", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    const [first, second] = [limiter.consume("k", "t", 5), limiter.consume("k", "t", 5)];
    limiter.consume("k", "t");
    expect(first.refund()).toBe(true);
    expect(second.settle(9)).toBe(true);
    expect(limiter.consume("k", "t")).toMatchObject({
      retryAfterMs: 300_000,
      limits: [{ remaining: 0 }, { remaining: 21 }],
    });
    clock.now += 300_000;
    expect(remaining(limiter, "k", "t", "minute")).toBe(10);
  });

  it("what a call is given back after a block counts as ever", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    const first = limiter.consume("k", "t", 5);
    admitted(limiter, "k", "t", 6);
    clock.now += 300_000;
    first.refund();
    expect(remaining(limiter, "k", "t", "minute")).toBe(15);
  });

  it("a reset ends a block", () => {
    const { limiter } = blocked();
    limiter.reset("k");
    expect(admitted(limiter, "k", "t", 12)).toBe(10);
  });

  it("another tier keeps the time that is left: as a block, as a debt where it blocks nobody, and out of sight", () => {
    const { limiter, clock } = blocked();
    clock.now += 100_000;
    expect(limiter.consume("k", "longer").retryAfterMs).toBe(200_000);
    clock.now += 50_000;
    expect(limiter.consume("k", "bare").allowed).toBe(true);
    clock.now += 50_000;
    expect(limiter.consume("k", "t").retryAfterMs).toBe(100_000);
    const denied = limiter.consume("k", "mild");
    expect(denied).toMatchObject({ allowed: false, retryAfterMs: 106_000 });
    clock.now += 106_000;
    expect(limiter.consume("k", "mild").allowed).toBe(true);
  });

  it("a reload and overrides change what the next denial begins, and no block that is under way", () => {
    const { limiter, clock } = blocked();
    limiter.reload({ ...TIERS, t: { limits: [{ ...minute, blockSeconds: 10 }, month] } });
    expect(limiter.consume("k", "t").retryAfterMs).toBe(300_000);
    const own = overriddenTier("mild", { minute: { blockSeconds: 7 } });
    expect(limiter.consume("k", own).retryAfterMs).toBe(300_000);
    clock.now += 300_000;
    expect(admitted(limiter, "k", own, 10)).toBe(10);
    expect(limiter.consume("k", own).retryAfterMs).toBe(7000);
  });

  it("a key is not forgotten while it is blocked", () => {
    const { limiter, clock } = open({ engine, maxKeys: 1, tiers: { t: { limits: [{ ...minute, burst: 1 }] } } });
    admitted(limiter, "k", "t", 11);
    clock.now += 299_999;
    expect(limiter.consume("other", "t").overflowed).toBe(true);
    expect(limiter.consume("k", "t").retryAfterMs).toBe(1);
    clock.now += 60_001;
    expect(limiter.consume("other", "t").overflowed).toBe(false);
  });

  it("a slow and a fast attacker both get five attempts, and an hour of rest", () => {
    const attacker = (pauseMs: number) => {
      const { limiter, clock } = open({ engine, tiers: { login: { limits: [ATTEMPTS] } } });
      let passed = 0;
      for (let attempt = 0; attempt < HOUR_MS / Math.max(1, pauseMs) && attempt < 1000; attempt++) {
        passed += admitted(limiter, "ada", "login", 1);
        clock.now += pauseMs;
      }
      return passed;
    };
    expect([0, 1, 1000, 60_000, 100_000, 179_000].map(attacker)).toEqual([5, 5, 5, 5, 5, 5]);
  });

  it("however attempts are timed, never six pass in a quarter of an hour, and a denial is followed by an hour of rest", () => {
    fc.assert(
      fc.property(pauses, (pauses) => {
        const { limiter, clock } = open({ engine, tiers: { login: { limits: [ATTEMPTS] } } });
        const attempts = pauses.map((pause) => {
          clock.now += pause;
          const { allowed, retryAfterMs } = limiter.consume("ada", "login");
          return { atMs: clock.now, allowed, retryAfterMs };
        });
        checkAttempts(attempts);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    [0, "limits[0].blockSeconds is 0; it may be a number above 0"],
    [-1, "limits[0].blockSeconds is -1; it may be a number above 0"],
    [1.0005, "limits[0].blockSeconds is 1.0005; it may be a number above 0"],
    ["an hour", "limits[0].blockSeconds is an hour; it may be a number above 0"],
    [null, "limits[0].blockSeconds is null; it may be a number above 0"],
    [
      2 ** 40,
      "limits[0].blockSeconds is 1099511627776; it may be a number above 0, at most 450359962737.049 with this limit",
    ],
  ])("blockSeconds of %j is refused, and what it may be is said", (blockSeconds, message) => {
    const limits = [{ ...minute, limit: 10, windowSeconds: 1, blockSeconds: blockSeconds as number }];
    const refused = { code: "ERR_TIERS_INVALID", message: expect.stringContaining(message) };
    expect(() => open({ engine, tiers: { t: { limits } } })).toThrow(expect.objectContaining(refused));
  });

  it("overrides with a block that can't be meant are refused", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const refused = (field: string) =>
      expect.objectContaining({ code: "ERR_OVERRIDES_INVALID", message: expect.stringContaining(field) });
    expect(() => overriddenTier("t", { minute: { blockSeconds: 0 } })).toThrow(
      refused("overrides.minute.blockSeconds is 0"),
    );
    const ofQuota = overriddenTier("t", { month: { blockSeconds: 1 } });
    expect(() => limiter.consume("k", ofQuota)).toThrow(refused("overrides.month.blockSeconds is 1"));
    const tooLong = overriddenTier("t", { minute: { limit: 1_000_000, blockSeconds: 2 ** 40 } });
    expect(() => limiter.consume("k", tooLong)).toThrow(refused("overrides.minute.blockSeconds is 1099511627776"));
  });
});

it("a longer block than a window by far is counted to the millisecond", () => {
  const day: BucketSpec = { ...minute, limit: 1000, windowSeconds: 1, blockSeconds: 86_400.001 };
  const { limiter, clock } = open({ tiers: { t: { limits: [day] } } });
  expect(limiter.consume("k", "t", 1000).allowed).toBe(true);
  expect(limiter.consume("k", "t").retryAfterMs).toBe(86_400_001);
  clock.now += 86_400_000;
  expect(limiter.consume("k", "t").retryAfterMs).toBe(1);
  clock.now += QUARTER_MS;
  expect(remaining(limiter, "k", "t", "minute")).toBe(2000);
});
