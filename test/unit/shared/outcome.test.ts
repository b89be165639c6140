import { expect, it } from "vitest";
import type { LimitSpec } from "../../../src/engine/spec.js";
import { compileTiers, type Tier } from "../../../src/engine/tier.js";
import { outcomeOf } from "../../../src/shared/outcome.js";

const minute: LimitSpec = { name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 };
const month: LimitSpec = { name: "month", type: "quota", limit: 10, period: "month" };

/** What a call is told of limits of which all but a thousandth is spent, while others hold tokens for so long. */
function told(limits: LimitSpec[], backMs: number) {
  const tier = compileTiers({ free: { limits } }, new Map()).get("free") as Tier;
  const spent = tier.limits.map(({ rule }) => (rule.type === "bucket" ? rule.capacity : rule.maxCostMilli));
  const { waitMs, isProvisional } = outcomeOf(tier, spent, 1000, { nowMs: Date.UTC(2027, 0, 1), lagMs: 0, backMs });
  return [waitMs, isProvisional];
}

it("is provisional while tokens may come back that end it", () => {
  expect(told([minute], 0)).toEqual([6000, false]);
  expect(told([minute], 1300)).toEqual([1300, true]);
  expect(told([minute, month], 1300)).toEqual([1300, true]);
  expect(told([minute], 7000)).toEqual([6000, false]);
});

it("stands where it begins a block, or a limit is 0, whatever comes back", () => {
  expect(told([{ ...minute, blockSeconds: 60 }], 1300)).toEqual([60_000, false]);
  expect(told([{ ...month, limit: 0 }], 1300)).toEqual([Number.POSITIVE_INFINITY, false]);
  expect(told([minute, { ...month, limit: 0 }], 1300)).toEqual([Number.POSITIVE_INFINITY, false]);
});

it("says how long a block lasts where another limit waits longer and may end sooner", () => {
  expect(told([{ ...minute, blockSeconds: 60 }, month], 1300)).toEqual([60_000, true]);
});
