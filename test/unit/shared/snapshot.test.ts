import { expect, it } from "vitest";
import { compileTiers } from "../../../src/engine/tier.js";
import type { Tiers } from "../../../src/index.js";
import type { Unreconciled } from "../../../src/shared/lease.js";
import { SharedTier } from "../../../src/shared/shared-tier.js";
import { converted, withUnreconciled } from "../../../src/shared/snapshot.js";

const NOON = Date.UTC(2026, 5, 15, 12);
const minute = (limit: number) => ({ name: "minute", type: "bucket" as const, limit, windowSeconds: 60, burst: 1 });
const day = (limit: number) => ({ name: "day", type: "quota" as const, limit, period: "day" as const });
const month = { name: "month", type: "quota" as const, limit: 9000, period: "month" as const };
const tiers = {
  free: { limits: [minute(60), day(100)] },
  paid: { limits: [month, day(1000), minute(600)] },
} satisfies Tiers;
const compiled = compileTiers(tiers, new Map());

function tierOf(name: keyof typeof tiers) {
  const tier = compiled.get(name);
  if (tier === undefined) throw new RangeError(name);
  return tier;
}

/** Tokens that are spent of a tier's limits. */
const tokens = (name: keyof typeof tiers, spent: readonly (number | undefined)[]) =>
  tierOf(name).limits.map(({ rule }, index) => {
    const units = rule.type === "bucket" ? rule.perMilli : 1;
    const amount = spent[index];
    return amount === undefined ? undefined : amount / units / 1000;
  });

const spentOf = (minutes: number, days: number) => {
  const { rule } = tierOf("free").limits[0] ?? {};
  return [minutes * 1000 * (rule?.type === "bucket" ? rule.perMilli : 0), days * 1000];
};

it("buckets keep their fraction, quotas what was used of the same period, and of a limit that is new nothing is known", () => {
  const snapshot = { epoch: "one:0", atMs: NOON, spent: spentOf(30, 80) };
  const now = converted(snapshot, tierOf("free"), tierOf("paid"), NOON + 10_000);
  expect(now).toMatchObject({ epoch: "one:0", atMs: NOON + 10_000 });
  // 30 of 60, of which ten seconds have refilled ten: a third.
  expect(tokens("paid", now?.spent ?? [])).toEqual([undefined, 80, 200]);
  expect(converted(undefined, tierOf("free"), tierOf("paid"), NOON)).toBeUndefined();
});

it("what the store has not heard of counts as spent, each in the limit and the period that it is of", () => {
  const corrector = { isClosed: () => false, clock: () => NOON, correct: () => undefined };
  const boundTier = new SharedTier(tierOf("free"), 0, 0, corrector);
  const entryOf = (deltas: number[], atMs: number, quotasOnly: boolean): Unreconciled => ({
    ...{ boundTier, deltas, atMs, quotasOnly },
    ...{ tell: false, unused: false, duringOutage: false, sent: undefined },
  });
  const snapshot = { epoch: "one:0", atMs: NOON, spent: spentOf(30, 80) };
  const unreconciled = [
    entryOf([5000, 7000], NOON, false),
    entryOf([-1000, -1000], NOON, true),
    entryOf([2000, 2000], NOON - 86_400_000, false),
  ];
  expect(tokens("free", withUnreconciled(tierOf("free"), snapshot, unreconciled, NOON))).toEqual([37, 86]);
  expect(tokens("paid", withUnreconciled(tierOf("paid"), undefined, unreconciled, NOON))).toEqual([0, 6, 70]); // The same fraction of ten times as much.
});
