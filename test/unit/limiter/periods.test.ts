import { describe, expect, it } from "vitest";
import type { QuotaSpec, Tiers } from "../../../src/index.js";
import { admitted, ENGINES, open, remaining } from "./engines.js";
import { PERIODS, type Period } from "./period-cases.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const tiersOf = (limit: number, period: Period): Tiers => ({
  t: { limits: [{ name: "quota", type: "quota", limit, ...period }] },
});

describe.each(ENGINES)("quotas of the %s engine", (engine) => {
  it.each(PERIODS)("of $title hold until it ends, and not a millisecond longer", ({ period, startMs, endMs }) => {
    const { limiter, clock } = open({ engine, tiers: tiersOf(3, period) });
    clock.now = startMs - 1;
    expect(admitted(limiter, "k", "t", 5)).toBe(3);
    expect(limiter.consume("k", "t")).toMatchObject({ deniedBy: "quota", retryAfterMs: 1 });
    clock.now = startMs;
    expect(admitted(limiter, "k", "t", 5)).toBe(3);
    expect(limiter.consume("k", "t").retryAfterMs).toBe(endMs - startMs);
    clock.now = endMs - 1;
    expect(limiter.consume("k", "t")).toMatchObject({ allowed: false, retryAfterMs: 1 });
    expect(limiter.peek("k", "t", 0).limits).toEqual([{ name: "quota", limit: 3, remaining: 0, resetMs: 1 }]);
    clock.now = endMs;
    expect(limiter.peek("k", "t").limits[0]?.remaining).toBe(3);
    expect(admitted(limiter, "k", "t", 5)).toBe(3);
  });

  it.each(PERIODS)("of $title take a refund as long as it lasts", ({ period, startMs, endMs }) => {
    const { limiter, clock } = open({ engine, tiers: tiersOf(3, period) });
    clock.now = startMs;
    const [late, timely] = [limiter.consume("k", "t"), limiter.consume("k", "t")];
    clock.now = endMs - 1;
    timely.refund();
    expect(remaining(limiter, "k", "t", "quota")).toBe(2);
    clock.now = endMs;
    limiter.consume("k", "t");
    late.refund();
    expect(remaining(limiter, "k", "t", "quota")).toBe(2);
  });

  it("that are granted once never begin anew", () => {
    const { limiter, clock } = open({ engine, tiers: tiersOf(3, { period: "once" }) });
    const [first] = [limiter.consume("k", "t"), limiter.consume("k", "t", 2)];
    const denied = limiter.consume("k", "t", 0.001);
    expect(denied).toMatchObject({ deniedBy: "quota", retryAfterMs: Number.POSITIVE_INFINITY });
    expect(denied.limits[0]).toMatchObject({ remaining: 0, resetMs: Number.POSITIVE_INFINITY });
    expect(JSON.parse(JSON.stringify(denied))).toMatchObject({ retryAfterMs: null });
    clock.now += 100 * 365 * DAY_MS;
    expect(limiter.consume("k", "t").allowed).toBe(false);
    first.refund();
    expect(admitted(limiter, "k", "t", 5)).toBe(1);
    limiter.reset("k");
    expect(remaining(limiter, "k", "t", "quota")).toBe(3);
  });

  it("that a key has used are not forgotten before their period is over", () => {
    const { limiter, clock } = open({ engine, maxKeys: 1, tiers: tiersOf(3, { period: "once" }) });
    limiter.consume("used", "t", 3);
    clock.now += 400 * DAY_MS;
    expect(limiter.consume("other", "t").overflowed).toBe(true);
    expect(limiter.consume("used", "t").allowed).toBe(false);
  });

  it("keep what was used in a tier that begins the same period elsewhere, if it is the same", () => {
    const tiers: Tiers = {
      monday: { limits: [{ name: "quota", type: "quota", limit: 10, period: "week" }] },
      also: { limits: [{ name: "quota", type: "quota", limit: 20, period: "week", anchorDay: 1 }] },
      sunday: { limits: [{ name: "quota", type: "quota", limit: 10, period: "week", anchorDay: 7 }] },
    };
    const { limiter } = open({ engine, tiers });
    limiter.consume("k", "monday", 4);
    expect(remaining(limiter, "k", "also", "quota")).toBe(16);
    limiter.consume("k", "sunday");
    expect(remaining(limiter, "k", "sunday", "quota")).toBe(9);
  });

  it("of two periods under one name are refused", () => {
    const limits = (period: Period) => ({ limits: [{ name: "quota", type: "quota" as const, limit: 1, ...period }] });
    const tiers = { a: limits({ period: "hour" }), b: limits({ period: "once" }) };
    expect(() => open({ engine, tiers })).toThrow(
      'tiers.b.limits[0] is a once quota named "quota"; it may be an hour quota, as elsewhere: one name is one count',
    );
  });

  it("of all kinds are asked in one call, and a denial spends nothing of any", () => {
    const limit = (name: QuotaSpec["period"], limit: number): QuotaSpec => ({
      name,
      type: "quota",
      limit,
      period: name,
    });
    const tiers = { t: { limits: [limit("hour", 5), limit("week", 4), limit("year", 3), limit("once", 2)] } };
    const { limiter, clock } = open({ engine, tiers });
    expect(admitted(limiter, "k", "t", 9)).toBe(2);
    expect(limiter.consume("k", "t")).toMatchObject({ deniedBy: "once", retryAfterMs: Number.POSITIVE_INFINITY });
    const left = () => limiter.peek("k", "t").limits.map(({ remaining }) => remaining);
    expect(left()).toEqual([3, 2, 1, 0]);
    clock.now += HOUR_MS;
    expect(left()).toEqual([5, 2, 1, 0]);
    clock.now += 7 * DAY_MS;
    expect(left()).toEqual([5, 4, 1, 0]);
    clock.now += 366 * DAY_MS;
    expect(left()).toEqual([5, 4, 3, 0]);
  });
});
