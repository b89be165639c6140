import { describe, expect, it } from "vitest";
import { policyOf, stateFields } from "../../../src/http/headers.js";
import type { Decision, LimitSpec } from "../../../src/index.js";
import { ENGINES, NOON, open } from "./engines.js";

const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"];

/** A bucket and a quota in turn, each of another size. */
const limits = NAMES.map(
  (name, index): LimitSpec =>
    index % 2 === 0
      ? { name, type: "bucket", limit: 10 * (index + 1), windowSeconds: 60, burst: 1 }
      : { name, type: "quota", limit: 10 * (index + 1), period: "day" },
);

/** Eight limits of which one holds three tokens. */
const denying = (index: number) => limits.map((limit, at) => (at === index ? { ...limit, limit: 3 } : limit));

const left = ({ limits }: Decision) => limits.map(({ remaining }) => remaining);

describe.each(ENGINES)("eight limits of the %s engine", (engine) => {
  it("are spent together, each told for itself", () => {
    const { limiter } = open({ engine, tiers: { t: { limits } } });
    const decision = limiter.consume("k", "t", 2.5);
    expect(left(decision)).toEqual(NAMES.map((_, index) => 10 * (index + 1) - 2.5));
    expect(decision.limits.map(({ name }) => name)).toEqual(NAMES);
    expect(decision.limits[7]).toEqual({ name: "h", limit: 80, remaining: 77.5, resetMs: 43_200_000 });
    expect(decision.limits[6]).toEqual({ name: "g", limit: 70, remaining: 67.5, resetMs: Math.ceil(150_000 / 70) });
    expect(left(limiter.peek("k", "t", 0))).toEqual(left(decision));
  });

  it.each(NAMES)("%s denies where it has too little, and nothing is spent", (name) => {
    const index = NAMES.indexOf(name);
    const { limiter, clock } = open({ engine, tiers: { t: { limits: denying(index) } } });
    const before = left(limiter.consume("k", "t", 3));
    const denied = limiter.consume("k", "t");
    expect(denied).toMatchObject({ allowed: false, deniedBy: name });
    expect(left(denied)).toEqual(before);
    expect(left(limiter.peek("k", "t", 0))).toEqual(before);
    expect(limiter.stats().tiers[0]?.denied).toEqual({ [name]: 1 });
    clock.now += denied.retryAfterMs;
    expect(limiter.consume("k", "t").allowed).toBe(true);
  });

  it("are given back and corrected", () => {
    const { limiter } = open({ engine, tiers: { t: { limits } } });
    const full = left(limiter.peek("k", "t", 0));
    limiter.consume("k", "t", 8).refund();
    expect(left(limiter.peek("k", "t", 0))).toEqual(full);
    limiter.consume("k", "t", 8).settle(1);
    expect(left(limiter.peek("k", "t", 0))).toEqual(full.map((tokens) => tokens - 1));
    const decision = limiter.consume("k", "t", 4);
    decision.refund("quotas");
    expect(left(limiter.peek("k", "t", 0))).toEqual(full.map((tokens, at) => tokens - (at % 2 === 0 ? 5 : 1)));
  });

  it("are told of many keys at once, of few limits and of many", () => {
    const { limiter } = open({ engine, tiers: { t: { limits }, few: { limits: limits.slice(6) } } });
    const keys = Array.from({ length: 130 }, (_, key) => `k${key}`);
    const decisions = limiter.consumeMany(
      keys,
      keys.map((_, key) => (key % 3 === 0 ? "few" : "t")),
      keys.map((_, key) => key / 100),
    );
    decisions.forEach((decision, key) => {
      const sizes = key % 3 === 0 ? [70, 80] : NAMES.map((_, index) => 10 * (index + 1));
      expect(left(decision)).toEqual(sizes.map((size) => Math.round(1000 * size - 10 * key) / 1000));
    });
  });

  it("come and go with the tier of a key", () => {
    const tiers = { t: { limits }, few: { limits: limits.slice(5) } };
    const { limiter } = open({ engine, tiers });
    limiter.consume("k", "few", 5);
    expect(left(limiter.consume("k", "t", 1))).toEqual([9, 19, 29, 39, 49, 54, 64, 74]);
    limiter.consume("k", "few", 1);
    expect(left(limiter.peek("k", "t", 0))).toEqual([9, 19, 29, 39, 49, 53, 63, 73]);
    limiter.reload({ t: { limits: limits.toReversed() } });
    expect(left(limiter.peek("k", "t", 0))).toEqual([73, 63, 53, 49, 39, 29, 19, 9]);
  });
});

it("eight limits of the longest names and numbers fit into one field", () => {
  const long = NAMES.map((name): LimitSpec => {
    return { name: name.repeat(32), type: "bucket", limit: 2_000_000_000_000, windowSeconds: 0.001, burst: 1 };
  });
  const { limiter } = open({ tiers: { t: { limits: long } } });
  const decision = limiter.peek("k", "t", 0);
  const state = decision.limits.map(({ name }) => `"${name}";r=2000000000000;t=0`).join(", ");
  expect(Object.fromEntries(stateFields(decision, {}))).toMatchObject({ ratelimit: state });
  expect(policyOf(decision).policyField(NOON)).toContain(`"${"h".repeat(32)}";q=2000000000000`);
});
