import { describe, expect, it } from "vitest";
import { createLimiter, type Tiers } from "../../../src/index.js";
import { ShadowCounts } from "../../../src/limiter/shadow.js";
import { admitted, ENGINES, open, remaining } from "./engines.js";

const minute = { name: "minute", type: "bucket", limit: 5, windowSeconds: 60, burst: 1 } as const;
const month = { name: "month", type: "quota", limit: 8, period: "month" } as const;
const TIERS: Tiers = { free: { limits: [{ ...minute, shadow: true }, month] } };
const ENFORCED: Tiers = { free: { limits: [minute, month] } };

describe.each(ENGINES)("a shadow limit, engine %s", (engine) => {
  it("denies nothing, and says and counts what it would have denied", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const decisions = Array.from({ length: 9 }, () => limiter.consume("k", "free"));
    expect(decisions.map(({ allowed }) => allowed)).toEqual([...Array(8).fill(true), false]);
    expect(decisions.map(({ shadowDenials }) => shadowDenials.length)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 0]);
    expect(decisions[5]?.shadowDenials).toEqual(["minute"]);
    expect(decisions[5]?.toJSON()).toMatchObject({ allowed: true, shadowDenials: ["minute"] });
    expect(limiter.stats().shadow).toEqual([{ tier: "free", limit: "minute", denials: 3 }]);
    expect(limiter.stats().tiers).toEqual([{ tier: "free", allowed: 8, denied: { month: 1 } }]);
  });

  it("leaves a call that found no room one call without room", () => {
    const { limiter } = open({ engine, tiers: TIERS, maxKeys: 1 });
    expect(["first", "second", "third"].map((key) => limiter.consume(key, "free").overflowed)).toEqual([
      false,
      true,
      true,
    ]);
    expect(limiter.stats()).toMatchObject({ overflow: 2, tiers: [{ tier: "free", allowed: 3, denied: {} }] });
  });

  it("that is empty keeps no other from being spent, and stays at zero", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    admitted(limiter, "k", "free", 7);
    expect(remaining(limiter, "k", "free", "month")).toBe(1);
    limiter.reload(ENFORCED);
    expect(remaining(limiter, "k", "free", "minute")).toBe(0);
    clock.now += 12_000;
    expect(remaining(limiter, "k", "free", "minute")).toBe(1);
  });

  it("spends nothing of a call that another limit denies", () => {
    const { limiter } = open({ engine, tiers: { free: { limits: [minute, { ...month, shadow: true }] } } });
    expect(admitted(limiter, "k", "free", 7)).toBe(5);
    limiter.reload(ENFORCED);
    expect(remaining(limiter, "k", "free", "month")).toBe(3);
  });

  it("goes on with what it has counted once it is in force, and the other way round", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    admitted(limiter, "k", "free", 4);
    limiter.reload(ENFORCED);
    expect(admitted(limiter, "k", "free", 3)).toBe(1);
    limiter.reload(TIERS);
    expect(limiter.consume("k", "free")).toMatchObject({ allowed: true, shadowDenials: ["minute"] });
  });

  it("decides as it would alone, also beside another shadow limit", () => {
    const tiers = {
      free: {
        limits: [
          { ...minute, shadow: true },
          { ...month, shadow: true },
        ],
      },
    };
    const { limiter } = open({ engine, tiers });
    const denials = Array.from({ length: 10 }, () => limiter.consume("k", "free").shadowDenials.join());
    expect(denials).toEqual(["", "", "", "", "", "minute", "minute", "minute", "minute,month", "minute,month"]);
    expect(limiter.consume("k", "free").limits).toEqual([]);
  });

  it("lets a call pass that costs more than it ever holds", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    expect(limiter.consume("k", "free", 6)).toMatchObject({ allowed: true, shadowDenials: ["minute"] });
    expect(limiter.stats().shadow).toEqual([{ tier: "free", limit: "minute", denials: 1 }]);
    expect(limiter.maxCost("free")).toBe(8);
  });

  it("has a refund, a settlement and a reset like any other", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    limiter.consume("k", "free", 3).refund();
    limiter.consume("k", "free", 4).settle(1);
    expect(limiter.consume("k", "free", 4).shadowDenials).toEqual([]);
    expect(limiter.consume("k", "free", 1).shadowDenials).toEqual(["minute"]);
    limiter.reset("k");
    expect(limiter.peek("k", "free", 5).shadowDenials).toEqual([]);
  });

  it("is asked by a peek too, which counts and spends nothing", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    admitted(limiter, "k", "free", 5);
    expect(limiter.peek("k", "free")).toMatchObject({ allowed: true, shadowDenials: ["minute"] });
    expect(limiter.peek("k", "free", 0).shadowDenials).toEqual([]);
    expect(limiter.stats().shadow).toEqual([]);
  });

  it("decides on every call of a batch", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const keys = Array.from({ length: 70 }, (_, index) => `k${index % 10}`);
    const denials = limiter.consumeMany(keys, "free").map(({ shadowDenials }) => shadowDenials.length);
    expect(denials).toEqual([...Array(50).fill(0), ...Array(20).fill(1)]);
  });

  it("is in the tiers as configured, after those in force", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    expect(limiter.tiers).toEqual({ free: { limits: [month, { ...minute, shadow: true }] } });
    expect(limiter.consume("k", "free").limits.map(({ name }) => name)).toEqual(["month"]);
  });

  it("has no tier of its own that a caller could name", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    expect(() => limiter.consume("k", "free\0minute")).toThrow(/^tier is free\0minute; it may be one of free$/);
    expect(() => createLimiter({ engine, tiers: { "a\0b": { limits: [] } } })).toThrow("has a NUL in its name");
    expect(() => createLimiter({ engine, tiers: { a: { limits: [{ ...minute, shadow: 1 as never }] } } })).toThrow(
      "tiers.a.limits[0].shadow is 1; it may be true or false",
    );
  });
});

it("ShadowCounts adds up by tier and limit", () => {
  const counts = new ShadowCounts();
  for (const limit of ["a", "b", "a"]) counts.add("t", limit);
  expect(counts.read()).toEqual([
    { tier: "t", limit: "a", denials: 2 },
    { tier: "t", limit: "b", denials: 1 },
  ]);
});
