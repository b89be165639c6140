import { describe, expect, it } from "vitest";
import { createLimiter, type GrantOptions, type TierSpec } from "../../../src/index.js";
import { admitted, ENGINES, NOON, open, remaining } from "./engines.js";

const DAY_MS = 86_400_000;
const MAX_TOKENS = 2 ** 52 / 1000;
const day = (limit: number) => ({ name: "day", type: "quota", limit, period: "day" }) as const;
const month = (limit: number, anchorDay = 1) =>
  ({ name: "month", type: "quota", limit, period: "month", anchorDay }) as const;
const minute = { name: "minute", type: "bucket", limit: 1000, windowSeconds: 60, burst: 1.5 } as const;
const tiers = {
  one: { limits: [minute, day(100)] },
  more: { limits: [minute, day(500)] },
  two: { limits: [day(100), month(1000)] },
  none: { limits: [] },
  bucket: { limits: [minute] },
} satisfies Record<string, TierSpec>;

describe.each(ENGINES)("grants of the %s engine", (engine) => {
  const opened = (options = {}) => open({ engine, tiers, ...options });
  const left = (limiter: ReturnType<typeof opened>["limiter"], tier = "one", name = "day") =>
    remaining(limiter, "k", tier, name);

  it("what is used goes down, below nothing if need be, and all of it can be spent", () => {
    const { limiter } = opened();
    expect(admitted(limiter, "k", "one", 200)).toBe(100);
    expect(limiter.grant("k", "one", 30.5).limits).toMatchObject([{}, { name: "day", limit: 100, remaining: 30.5 }]);
    expect(limiter.grant("k", "one", 100).limits[1]?.remaining).toBe(130.5);
    expect(limiter.grant("k", "one", 20).limits[1]?.remaining).toBe(150.5);
    expect(admitted(limiter, "k", "one", 200)).toBe(150);
    expect(limiter.consume("k", "one", 0.5).allowed).toBe(true);
    expect(limiter.consume("k", "one", 0.001)).toMatchObject({ allowed: false, deniedBy: "day" });
  });

  it("a key that is new begins with it", () => {
    const { limiter } = opened();
    expect(limiter.grant("k", "one", 30).limits).toMatchObject([{ remaining: 1000 }, { remaining: 130 }]);
    expect(admitted(limiter, "k", "one", 200)).toBe(130);
  });

  it("it touches nothing but the quota: a bucket begins with the first call", () => {
    const { limiter, clock } = opened();
    limiter.grant("k", "one", 30);
    clock.now += 60_000;
    expect(limiter.peek("k", "one", 0).limits).toMatchObject([{ remaining: 1000 }, { remaining: 130 }]);
    limiter.consume("k", "one", 100);
    clock.now += 60_000;
    limiter.grant("k", "two", 7, { limit: "day" });
    expect(limiter.peek("k", "one", 0).limits).toMatchObject([{ remaining: 1500 }, { remaining: 37 }]);
    clock.now += 30_000;
    expect(limiter.consume("other", "one").limits).toMatchObject([{ remaining: 999 }, { remaining: 99 }]);
  });

  it("it ends with the period, and what is kept does not: the quota itself is used first, what is kept last", () => {
    const { limiter, clock } = opened();
    limiter.grant("k", "one", 20);
    limiter.grant("k", "one", 50, { keep: true });
    expect(left(limiter)).toBe(170);
    limiter.consume("k", "one", 90);
    clock.now += DAY_MS;
    expect(left(limiter)).toBe(150);
    limiter.consume("k", "one", 100);
    limiter.consume("k", "one", 30);
    clock.now += 5 * DAY_MS;
    expect(left(limiter)).toBe(120);
    limiter.consume("k", "one", 100);
    limiter.consume("k", "one", 20);
    expect(left(limiter)).toBe(0);
    clock.now += DAY_MS;
    expect(left(limiter)).toBe(100);
  });

  it("a peek begins no period", () => {
    const { limiter, clock } = opened();
    limiter.grant("k", "one", 50, { keep: true });
    clock.now += DAY_MS;
    for (let look = 0; look < 3; look++) expect(left(limiter)).toBe(150);
    expect(admitted(limiter, "k", "one", 200)).toBe(150);
  });

  it("a refund gives back to what is kept what was taken of it, and never more than was used", () => {
    const { limiter, clock } = opened();
    limiter.grant("k", "one", 50, { keep: true });
    limiter.consume("k", "one", 100);
    const decision = limiter.consume("k", "one", 40);
    expect(decision.refund()).toBe(true);
    expect(left(limiter)).toBe(50);
    clock.now += DAY_MS;
    expect(left(limiter)).toBe(150);
    const early = limiter.consume("k", "one", 10);
    limiter.reset("k");
    limiter.grant("k", "one", 5);
    early.refund();
    expect(left(limiter)).toBe(105);
  });

  it("a debt is paid of it, and ends with the period", () => {
    const { limiter, clock } = opened();
    limiter.consume("k", "one", 10).settle(150);
    limiter.grant("k", "one", 70, { keep: true });
    expect(left(limiter)).toBe(20);
    clock.now += DAY_MS;
    expect(left(limiter)).toBe(120);
  });

  it("it goes over into another tier, and is kept there as well", () => {
    const { limiter, clock } = opened();
    limiter.grant("k", "one", 50, { keep: true });
    expect(limiter.consume("k", "more", 10).limits[1]?.remaining).toBe(540);
    expect(limiter.consume("k", "one", 90).limits[1]?.remaining).toBe(50);
    clock.now += DAY_MS;
    expect(limiter.consume("k", "more", 500).limits[1]?.remaining).toBe(50);
    expect(left(limiter, "more")).toBe(50);
  });

  it("it goes over into a month that begins on another day", () => {
    const anchored = { a: { limits: [month(100, 28)] }, b: { limits: [month(100, 30)] } };
    const { limiter, clock } = opened({ tiers: anchored });
    clock.now = Date.UTC(2031, 2, 10);
    limiter.grant("k", "a", 20);
    limiter.grant("k", "a", 50, { keep: true });
    limiter.consume("k", "a", 100);
    clock.now = Date.UTC(2031, 2, 28);
    // Under b the period is still the one of February 28 to March 30, though that of a is over.
    expect(remaining(limiter, "k", "b", "month")).toBe(70);
    expect(limiter.consume("k", "b", 30).limits[0]?.remaining).toBe(40);
    clock.now = Date.UTC(2031, 2, 30);
    expect(remaining(limiter, "k", "b", "month")).toBe(140);
    expect(limiter.consume("k", "a", 10).limits[0]?.remaining).toBe(130);
  });

  it("of several quotas one has to be named", () => {
    const { limiter } = opened();
    const granted = (options?: GrantOptions) => () => limiter.grant("k", "two", 5, options);
    expect(granted()).toThrow("tier two has several quotas; name one as limit: day, month");
    expect(granted({ limit: "week" })).toThrow("limit is week; it may be a quota of tier two: day, month");
    expect(granted({ limit: "month" })().limits).toMatchObject([{ remaining: 100 }, { remaining: 1005 }]);
  });

  it.each([
    ["tokens that are none", ["one", 0], "ERR_GRANT_INVALID", "tokens is 0"],
    ["tokens below 0", ["one", -1], "ERR_GRANT_INVALID", "tokens is -1"],
    ["four decimals", ["one", 0.0001], "ERR_GRANT_INVALID", "tokens is 0.0001"],
    ["NaN", ["one", Number.NaN], "ERR_GRANT_INVALID", "tokens is NaN"],
    ["infinitely many", ["one", Number.POSITIVE_INFINITY], "ERR_GRANT_INVALID", "tokens is Infinity"],
    ["more than 2^53 thousandths", ["one", 2 ** 53], "ERR_GRANT_INVALID", "tokens is 9007199254740992"],
    ["more than can be counted", ["one", MAX_TOKENS + 1], "ERR_GRANT_INVALID", "4503599627370.496"],
    ["text", ["one", "5" as unknown as number], "ERR_GRANT_INVALID", 'tokens is "5"'],
    ["a tier without a quota", ["bucket", 5], "ERR_GRANT_INVALID", "tier bucket has no quota"],
    ["an unlimited tier", ["none", 5], "ERR_GRANT_INVALID", "tier none has no quota"],
    [
      "a bucket",
      ["one", 5, { limit: "minute" }],
      "ERR_GRANT_INVALID",
      "limit is minute; it may be a quota of tier one: day",
    ],
    ["a tier that there is not", ["gold", 5], "ERR_TIER_UNKNOWN", "tier is gold"],
    ["an unknown option", ["one", 5, { keeps: true }], "ERR_OPTION_INVALID", "keeps is unknown"],
    ["keep that is none", ["one", 5, { keep: 1 }], "ERR_OPTION_INVALID", "keep is 1; it may be true or false"],
    ["options that are none", ["one", 5, null], "ERR_OPTION_INVALID", "options is null"],
  ] as unknown as [string, [string, number, GrantOptions], string, string][])(
    "%s are refused, and nothing is granted",
    (_, args, code, message) => {
      const { limiter } = opened();
      expect(() => limiter.grant("k", ...args)).toThrow(
        expect.objectContaining({ code, message: expect.stringContaining(message) }),
      );
      expect(left(limiter)).toBe(100);
    },
  );

  it("no more adds up than can be counted", () => {
    const { limiter } = opened();
    expect(limiter.grant("k", "one", MAX_TOKENS).limits[1]?.remaining).toBe(MAX_TOKENS + 100);
    expect(() => limiter.grant("k", "one", 0.001)).toThrow(expect.objectContaining({ code: "ERR_GRANT_INVALID" }));
    expect(left(limiter)).toBe(MAX_TOKENS + 100);
    limiter.consume("k", "one", 100);
    expect(left(limiter)).toBe(MAX_TOKENS);
  });

  it("a reset forgets it", () => {
    const { limiter } = opened();
    limiter.grant("k", "one", 50, { keep: true });
    limiter.reset("k");
    expect(left(limiter)).toBe(100);
  });

  it("a key that was granted something makes no room for another, until nothing is left of it", () => {
    const { limiter, clock } = opened({ maxKeys: 1 });
    limiter.grant("k", "one", 50);
    limiter.consume("k", "one", 50);
    clock.now += 120_000;
    expect(limiter.consume("other", "one").overflowed).toBe(true);
    expect(() => limiter.grant("other", "one", 5)).toThrow(expect.objectContaining({ code: "ERR_TABLE_FULL" }));
    limiter.grant("k", "one", 50, { keep: true });
    clock.now += 3 * DAY_MS;
    expect(limiter.consume("other", "one").overflowed).toBe(true);
    expect(left(limiter)).toBe(150);
    limiter.consume("k", "one", 100);
    limiter.consume("k", "one", 50);
    clock.now += DAY_MS;
    expect(limiter.consume("other", "one").overflowed).toBe(false);
    expect(limiter.stats().keys).toBe(1);
  });

  it("a shadow limit can be granted tokens, too", () => {
    const { limiter } = opened({ tiers: { t: { limits: [minute, { ...day(1), shadow: true }] } } });
    limiter.grant("k", "t", 2, { limit: "day" });
    const denials = Array.from({ length: 4 }, () => limiter.consume("k", "t").shadowDenials.length);
    expect(denials).toEqual([0, 0, 0, 1]);
  });
});

it("a limiter that is closed grants nothing", async () => {
  const limiter = createLimiter({ tiers, clock: () => NOON });
  await limiter.close();
  expect(() => limiter.grant("k", "one", 5)).toThrow(expect.objectContaining({ code: "ERR_LIMITER_CLOSED" }));
});
