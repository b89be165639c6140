import { describe, expect, it } from "vitest";
import { admitted, ENGINES, open, remaining } from "./engines.js";

describe.each(ENGINES)("state of the %s engine", (engine) => {
  it("the tier is not frozen at first sight", () => {
    const { limiter } = open({ engine });
    limiter.consume("k", "free", 40);
    expect(remaining(limiter, "k", "pro", "minute")).toBe(600);
    expect(limiter.consume("k", "pro", 500).allowed).toBe(true);
    expect(remaining(limiter, "k", "pro", "month")).toBe(999_460);
  });

  it("a denial does not outlive an upgrade", () => {
    const { limiter } = open({ engine });
    admitted(limiter, "k", "free", 50);
    expect(limiter.consume("k", "free", 60).allowed).toBe(false);
    expect(limiter.consume("k", "pro", 60).allowed).toBe(true);
  });

  it("what a tier lacks is kept for the tier that has it", () => {
    const { limiter } = open({ engine });
    limiter.consume("k", "free", 100);
    limiter.consume("k", "anonymous", 1);
    limiter.consume("k", "enterprise", 1_000_000);
    expect(remaining(limiter, "k", "free", "month")).toBe(49_900);
  });

  it("idle keys are not forgotten, their quotas not reset", () => {
    const { limiter, clock } = open({ engine, maxKeys: 100 });
    limiter.consume("k", "free", 10);
    clock.now += 10 * 86_400_000;
    for (let key = 0; key < 1000; key++) limiter.consume(`other ${key}`, "anonymous");
    expect(remaining(limiter, "k", "free", "month")).toBe(49_990);
  });

  it("an attacker can't flush a limited key out of the table", () => {
    const { limiter } = open({ engine, maxKeys: 100 });
    admitted(limiter, "victim", "anonymous", 30);
    const passed = Array.from({ length: 20_000 }, (_, key) => admitted(limiter, `new ${key}`, "anonymous", 1));
    expect(limiter.consume("victim", "anonymous").allowed).toBe(false);
    // 99 found room, and all the others shared one bucket.
    expect(passed.reduce((sum, allowed) => sum + allowed)).toBe(99 + 30);
    expect(limiter.stats()).toMatchObject({ keys: 100, overflow: 20_000 - 99 });
  });

  it("a peek at a full table says what the call after it says", () => {
    const { limiter, clock } = open({ engine, maxKeys: 100 });
    const both = (key: string, tier = "anonymous") => {
      const before = limiter.stats();
      const { allowed, overflowed } = limiter.peek(key, tier);
      expect(limiter.stats()).toEqual(before);
      expect(limiter.consume(key, tier), key).toMatchObject({ allowed, overflowed });
      return overflowed;
    };
    for (let key = 0; key < 100; key++) expect(both(`old ${key}`)).toBe(false);
    for (let key = 0; key < 40; key++) expect(both(`new ${key}`)).toBe(true);
    expect(both("new and unlimited", "enterprise")).toBe(false);
    clock.now += 86_400_000;
    // One after the other takes the place of an old key.
    for (let key = 0; key < 40; key++) expect(both(`late ${key}`)).toBe(false);
    expect(limiter.stats().evictions).toBeGreaterThan(0);
  });

  it("a key that found no room says so, and its refund goes back to the shared bucket", () => {
    const { limiter } = open({ engine, maxKeys: 1 });
    limiter.consume("only", "anonymous");
    const decision = limiter.consume("second", "anonymous", 30);
    expect(decision).toMatchObject({ allowed: true, overflowed: true });
    expect(limiter.consume("third", "anonymous").allowed).toBe(false);
    decision.refund();
    expect(limiter.consume("third", "anonymous", 30).allowed).toBe(true);
  });

  it("keys that differ in one high byte, or are no valid text, are different keys", () => {
    const { limiter } = open({ engine });
    for (const key of ["k\u0142", "k\u0042", "k\ud800", "k\udc00", "k\ufffd", "k"]) {
      expect(admitted(limiter, key, "anonymous", 31), JSON.stringify(key)).toBe(30);
    }
  });

  it("a refund finds a key that is no valid text", () => {
    const { limiter } = open({ engine });
    limiter.consume("\ud800", "anonymous", 30).refund();
    expect(remaining(limiter, "\ud800", "anonymous", "minute")).toBe(60 - 30);
    limiter.reset("\ud800");
    expect(limiter.stats().keys).toBe(0);
  });

  it("a reset key begins anew", () => {
    const { limiter } = open({ engine });
    admitted(limiter, "k", "free", 100);
    limiter.reset("k");
    expect(admitted(limiter, "k", "free", 101)).toBe(100);
  });

  it("nothing in the answers is infinite", () => {
    const { limiter } = open({ engine });
    const unlimited = limiter.consume("k", "enterprise", 1e9);
    expect(JSON.parse(JSON.stringify(unlimited))).toEqual({
      allowed: true,
      deniedBy: null,
      retryAfterMs: 0,
      tier: "enterprise",
      cost: 1e9,
      limits: [],
    });
  });

  it("unlimited calls are counted", () => {
    const { limiter } = open({ engine });
    admitted(limiter, "k", "enterprise", 7);
    admitted(limiter, "k", "anonymous", 32);
    const { tiers } = limiter.stats();
    expect(tiers.find(({ tier }) => tier === "enterprise")).toEqual({ tier: "enterprise", allowed: 7, denied: {} });
    expect(tiers.find(({ tier }) => tier === "anonymous")).toMatchObject({ allowed: 30, denied: { minute: 2 } });
  });
});
