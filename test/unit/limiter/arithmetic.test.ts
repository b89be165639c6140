import { describe, expect, it } from "vitest";
import { admitted, ENGINES, NOON, open, remaining } from "./engines.js";

const DAY_MS = 86_400_000;

describe.each(ENGINES)("arithmetic of the %s engine", (engine) => {
  it("a partial refill moves its timestamp: no interval refills twice", () => {
    const { limiter, clock } = open({ engine });
    admitted(limiter, "k", "free", 100);
    // 300 ms are half a token, however often somebody looks.
    for (let call = 0; call < 10; call++) {
      clock.now += 30;
      expect(limiter.consume("k", "free").allowed).toBe(false);
    }
    expect(remaining(limiter, "k", "free", "minute")).toBe(0.5);
  });

  it("a full window refills to the burst, not to the limit", () => {
    const { limiter, clock } = open({ engine });
    admitted(limiter, "k", "free", 100);
    clock.now += 90_000;
    expect(admitted(limiter, "k", "free", 200)).toBe(150);
  });

  it("in any window at most capacity and limit together pass", () => {
    const { limiter, clock } = open({ engine });
    limiter.consume("k", "free");
    clock.now += 120_000;
    let passed = admitted(limiter, "k", "free", 300);
    for (let second = 0; second < 60; second++) {
      clock.now += 1000;
      passed += admitted(limiter, "k", "free", 10);
    }
    expect(passed).toBe(250);
  });

  it.each([3, 7, 11, 13, 333])("a limit of %i a minute, which no clock divides, is met to the token", (limit) => {
    const tiers = { t: { limits: [{ name: "minute", type: "bucket" as const, limit, windowSeconds: 60, burst: 1 }] } };
    const { limiter, clock } = open({ engine, tiers });
    expect(admitted(limiter, "k", "t", limit + 5)).toBe(limit);
    const hour = clock.now + 3_600_000;
    let passed = 0;
    while (clock.now < hour) {
      const { allowed, retryAfterMs } = limiter.consume("k", "t");
      if (allowed) passed++;
      else clock.now += retryAfterMs;
    }
    expect(passed).toBe(60 * limit - 1);
  });

  it("the month counts what a call costs, and not calls", () => {
    const { limiter } = open({ engine });
    limiter.consume("k", "free", 2.5);
    expect(remaining(limiter, "k", "free", "month")).toBe(49_997.5);
  });

  it("exhaustion of the minute is reported as the minute's", () => {
    const { limiter } = open({ engine });
    admitted(limiter, "k", "free", 100);
    expect(limiter.consume("k", "free")).toMatchObject({ allowed: false, deniedBy: "minute", retryAfterMs: 600 });
  });

  it("exhaustion of the month is reported as the month's, with the longer wait", () => {
    const tiers = {
      t: {
        limits: [
          { name: "minute", type: "bucket" as const, limit: 5, windowSeconds: 60, burst: 1 },
          { name: "month", type: "quota" as const, limit: 5, period: "month" as const },
        ],
      },
    };
    const { limiter } = open({ engine, tiers });
    admitted(limiter, "k", "t", 5);
    expect(limiter.consume("k", "t")).toMatchObject({ deniedBy: "month", retryAfterMs: Date.UTC(2026, 6, 1) - NOON });
  });

  it("a cost below 1 needs no whole token", () => {
    const { limiter } = open({ engine });
    admitted(limiter, "k", "free", 99);
    limiter.consume("k", "free", 0.75);
    expect(limiter.consume("k", "free", 0.25).allowed).toBe(true);
    expect(limiter.consume("k", "free", 0.001).allowed).toBe(false);
  });

  it("a month ends with the calendar's, not 30 days after first sight", () => {
    const tiers = { t: { limits: [{ name: "month", type: "quota" as const, limit: 1, period: "month" as const }] } };
    const { limiter, clock } = open({ engine, tiers });
    clock.now = Date.UTC(2026, 0, 31, 23, 59, 59, 999);
    expect(admitted(limiter, "k", "t", 2)).toBe(1);
    clock.now += 1;
    expect(admitted(limiter, "k", "t", 2)).toBe(1);
    clock.now += 28 * DAY_MS - 1;
    expect(limiter.consume("k", "t")).toMatchObject({ allowed: false, retryAfterMs: 1 });
  });

  it("a wait beyond 24.8 days, where timers overflow, is what it is", () => {
    const tiers = { t: { limits: [{ name: "month", type: "quota" as const, limit: 1, period: "month" as const }] } };
    const { limiter, clock } = open({ engine, tiers });
    clock.now = Date.UTC(2026, 0, 1);
    admitted(limiter, "k", "t", 1);
    expect(limiter.consume("k", "t").retryAfterMs).toBe(31 * DAY_MS);
  });

  it("the wait shrinks as time passes, is never negative, and is exactly long enough", () => {
    const { limiter, clock } = open({ engine });
    admitted(limiter, "k", "free", 100);
    expect(limiter.consume("k", "free").retryAfterMs).toBe(600);
    clock.now += 250;
    expect(limiter.consume("k", "free").retryAfterMs).toBe(350);
    clock.now += 349;
    expect(limiter.consume("k", "free").retryAfterMs).toBe(1);
    clock.now += 1;
    expect(limiter.consume("k", "free")).toMatchObject({ allowed: true, retryAfterMs: 0 });
  });

  it("time never runs backwards", () => {
    const { limiter, clock } = open({ engine });
    admitted(limiter, "k", "free", 100);
    clock.now -= 3_600_000;
    expect(limiter.consume("k", "free").retryAfterMs).toBe(3_600_600);
    clock.now += 3_600_000;
    expect(limiter.consume("k", "free").retryAfterMs).toBe(600);
  });
});
