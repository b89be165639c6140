import { parseList } from "structured-headers";
import { describe, expect, it } from "vitest";
import { TierPolicy } from "../../../src/http/policy.js";
import type { LimitSpec } from "../../../src/index.js";

const NOVEMBER = Date.UTC(2026, 10, 10);

function policyOf(...limits: LimitSpec[]): TierPolicy {
  return new TierPolicy({ limits });
}

function fieldOf(limit: LimitSpec, nowMs = NOVEMBER): unknown {
  const [[name, parameters] = []] = parseList(policyOf(limit).policyField(nowMs));
  return [name, Object.fromEntries(parameters ?? [])];
}

const bucket = (limit: number, windowSeconds: number, burst: number): LimitSpec => ({
  name: "rate",
  type: "bucket",
  limit,
  windowSeconds,
  burst,
});

describe("RateLimit-Policy", () => {
  it.each([
    [100, 60, 1.5, { q: 150, w: 90 }],
    [100, 60, 1, { q: 100, w: 60 }],
    [5, 1, 1.5, { q: 7, w: 2 }],
    [0.5, 10, 1, { q: 0, w: 10 }],
    [1000, 0.5, 1.1, { q: 1100, w: 1 }],
  ])("of a bucket of %d a %d s, burst %d, has whole numbers: %j", (limit, windowSeconds, burst, parameters) => {
    expect(fieldOf(bucket(limit, windowSeconds, burst))).toEqual(["rate", parameters]);
  });

  it.each([
    ["day", undefined, NOVEMBER, 86_400],
    ["month", undefined, NOVEMBER, 30 * 86_400],
    ["month", 31, NOVEMBER, 30 * 86_400],
    ["month", 31, Date.UTC(2027, 2, 1), 31 * 86_400],
    ["month", undefined, Date.UTC(2028, 1, 29), 29 * 86_400],
    ["hour", undefined, NOVEMBER, 3600],
    ["week", 3, NOVEMBER, 7 * 86_400],
    ["year", undefined, Date.UTC(2028, 5, 1), 366 * 86_400],
  ] as const)("of a quota of a %s (anchor day %s) at %d lasts %d s", (period, anchorDay, nowMs, w) => {
    expect(fieldOf({ name: "quota", type: "quota", limit: 500, period, anchorDay }, nowMs)).toEqual([
      "quota",
      { q: 500, w },
    ]);
  });

  it("is written anew only when a period ends", () => {
    const policy = policyOf({ name: "month", type: "quota", limit: 5, period: "month" });
    const november = policy.policyField(NOVEMBER);
    expect(policy.policyField(Date.UTC(2026, 11, 1) - 1)).toBe(november);
    expect(policy.policyField(Date.UTC(2026, 11, 1))).not.toBe(november);
    expect(policy.policyField(NOVEMBER)).toBe(november);
  });

  it("has no length of a period that never ends", () => {
    expect(fieldOf({ name: "trial", type: "quota", limit: 500, period: "once" })).toEqual(["trial", { q: 500 }]);
    expect(fieldOf(bucket(0, 60, 1.5))).toEqual(["rate", { q: 0, w: 90 }]);
  });
});

describe("RateLimit", () => {
  it("has no time until what never comes", () => {
    const trial: LimitSpec = { name: "trial", type: "quota", limit: 500, period: "once" };
    const policy = policyOf(trial, bucket(10, 60, 1));
    const field = policy.stateField({
      remainingOf: (index) => [12.5, 3][index] ?? 0,
      resetMsOf: (index) => [Number.POSITIVE_INFINITY, 1000][index] ?? 0,
    });
    expect(field).toBe('"trial";r=12, "rate";r=3;t=1');
    expect([0, 1].map((index) => policy.remainingIn(field, index))).toEqual(["12", "3"]);
  });

  it("rounds what is left down and the time up", () => {
    const policy = policyOf(bucket(10, 60, 1), { name: "day", type: "quota", limit: 9, period: "day" });
    const field = policy.stateField({
      remainingOf: (index) => [2.999, 0][index] ?? 0,
      resetMsOf: (index) => [41_001, 1][index] ?? 0,
    });
    expect(field).toBe('"rate";r=2;t=42, "day";r=0;t=1');
    expect(parseList(field)).toHaveLength(2);
  });
});

it("the monthly quota of a tier is found, whatever its name", () => {
  const month: LimitSpec = { name: "billing", type: "quota", limit: 120, period: "month" };
  expect(policyOf().monthly).toBe(-1);
  expect(policyOf(bucket(100, 60, 1.1), month).monthly).toBe(1);
});
