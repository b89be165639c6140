import { expect, it } from "vitest";
import { compileTiers, type Tier } from "../../../src/engine/tier.js";
import type { Tiers } from "../../../src/index.js";
import type { BoundTier } from "../../../src/limiter/bound-tier.js";
import {
  merge,
  ofText,
  textOf,
  type Unreconciled,
  unreconciled,
  withUnreconciled,
} from "../../../src/shared/unreconciled.js";

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

/** A correction of what the tier `free` has decided. */
const entryOf = (deltas: number[], atMs: number, quotasOnly: boolean, more: Partial<Unreconciled> = {}): Unreconciled =>
  unreconciled({ tier: tierOf("free"), boundTier: undefined, deltas, atMs, quotasOnly, ...more });

it("what the store has not heard of counts as spent, each in the limit and the period that it is of", () => {
  const snapshot = { epoch: "one:0", atMs: NOON, spent: spentOf(30, 80) };
  const waiting = [
    entryOf([5000, 7000], NOON, false),
    entryOf([-1000, -1000], NOON, true),
    entryOf([2000, 2000], NOON - 86_400_000, false),
  ];
  expect(tokens("free", withUnreconciled(tierOf("free"), snapshot, waiting, NOON))).toEqual([37, 86]);
  expect(tokens("paid", withUnreconciled(tierOf("paid"), undefined, waiting, NOON))).toEqual([0, 6, 70]); // The same fraction of ten times as much.
});

it("corrections of one kind are one until that is sent, and others are not", () => {
  const waiting = entryOf([1000, 1000], NOON, false);
  expect(merge(waiting, entryOf([500, 500], NOON + 1, false))).toBe(true);
  expect(waiting.deltas).toEqual([1500, 1500]);
  const others = [
    entryOf([-500, -500], NOON, false),
    entryOf([500, 500], NOON, true),
    entryOf([500, 500], NOON + 86_400_000, false),
    entryOf([500, 500], NOON, false, { duringOutage: true }),
    entryOf([500, 500], NOON, false, { tier: tierOf("paid") }),
  ];
  for (const other of others) expect(merge(waiting, other)).toBe(false);
  waiting.sent = { lane: 0, sequence: 1, snapshot: undefined, atMs: 0 };
  expect(merge(waiting, entryOf([500, 500], NOON, false))).toBe(false);
  expect(waiting.deltas).toEqual([1500, 1500]);
});

it("another thread reads of a correction all that it needs to send it again as what it was", () => {
  const snapshot = { epoch: "one:0", atMs: NOON, spent: [5, 6] };
  const sent = { lane: 3, sequence: 17, snapshot, atMs: 1000 };
  const entry = entryOf([-1000, -1000], NOON, true, { tell: true, sent, debt: 4 });
  // Sent 500 ms ago by the clock of the one, which is 90,000 by the other's.
  const { key, entry: read } = ofText(textOf("acct:42", entry, 1500), 90_500, () => undefined);
  expect(key).toBe("acct:42");
  const { tier, ...what } = read;
  expect(what).toEqual({
    ...{ boundTier: undefined, deltas: [-1000, -1000], atMs: NOON, quotasOnly: true, tell: true },
    ...{ unused: false, duringOutage: false, sent: { ...sent, atMs: 90_000 } },
  });
  expect(tier.limits.map(({ name, rule }) => ({ name, ...rule }))).toMatchObject(
    tierOf("free").limits.map(({ name, rule: { type, maxCostMilli } }) => ({ name, type, maxCostMilli })),
  );
});

it("who decides by the same tier learns from the answer to a correction of another thread, and nobody by another", () => {
  const boundTier = { name: "free", tier: tierOf("free") } as BoundTier;
  const text = textOf("acct:42", entryOf([-1000, -1000], NOON, false, { boundTier }), 0);
  const readBy = (tier: Tier) =>
    ofText(text, 0, (name) => (name === "free" ? ({ name, tier } as BoundTier) : undefined)).entry;
  const same = tierOf("free");
  expect(readBy(same)).toMatchObject({ boundTier: { name: "free" }, deltas: [-1000, -1000] });
  expect(readBy(same).tier).toBe(same);
  expect(readBy(tierOf("paid")).boundTier).toBeUndefined();
  expect(readBy(tierOf("paid")).tier.limits).toMatchObject(tierOf("free").limits.map(({ name }) => ({ name })));
});
