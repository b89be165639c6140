import fc from "fast-check";
import type { LimitSpec, Overrides, QuotaSpec, Tiers } from "../../src/index.js";

/** Close to the end of a day, a month and a year. */
export const DECEMBER_30_2026 = 1_798_588_800_000;

const milli = (max: number) => fc.integer({ min: 1, max: max * 1000 }).map((value) => value / 1000);

/** Now and then a limit of 0, which denies everything. */
const mostly = (limit: fc.Arbitrary<number>) =>
  fc.oneof({ weight: 19, arbitrary: limit }, { weight: 1, arbitrary: fc.constant(0) });

const bucket = (name: string) =>
  fc
    .record({
      name: fc.constant(name),
      type: fc.constant("bucket" as const),
      limit: mostly(fc.oneof(milli(20), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 10_000 }))),
      windowSeconds: fc.oneof(milli(5), fc.constantFrom(1, 7, 60, 3600, 86_400)),
      burst: fc.constantFrom(0.002, 0.1, 0.75, 1, 1, 1.001, 1.25, 1.5, 2, 3.333),
    })
    .map((spec) => (spec.limit * spec.burst < 0.001 ? { ...spec, burst: 1 } : spec));

const ANCHORS: Partial<Record<QuotaSpec["period"], Record<string, fc.Arbitrary<number>>>> = {
  week: { anchorDay: fc.integer({ min: 1, max: 7 }) },
  month: { anchorDay: fc.integer({ min: 1, max: 31 }) },
  year: { anchorMonth: fc.integer({ min: 1, max: 12 }) },
};

/** A quota that is called as its period. */
const quota = (period: QuotaSpec["period"]): fc.Arbitrary<QuotaSpec> =>
  fc.record({
    name: fc.constant(period),
    type: fc.constant("quota" as const),
    limit: mostly(fc.oneof(milli(20), fc.integer({ min: 1, max: 100 }))),
    period: fc.constant(period),
    ...ANCHORS[period],
  });

/** One of each name: every tier has its own, and the names mean the same in all. */
const each = fc.tuple(
  bucket("second"),
  bucket("minute"),
  quota("hour"),
  quota("day"),
  quota("week"),
  quota("month"),
  quota("year"),
  quota("once"),
);

/** Up to four limits in any order. */
const limits: fc.Arbitrary<LimitSpec[]> = each.chain((all) => fc.shuffledSubarray<LimitSpec>(all, { maxLength: 4 }));

/** Up to eight, most of them. */
const manyLimits: fc.Arbitrary<LimitSpec[]> = each.chain((all) => fc.shuffledSubarray<LimitSpec>(all, { minLength: 3 }));

const threeOf = (limits: fc.Arbitrary<LimitSpec[]>): fc.Arbitrary<Tiers> =>
  fc.record({ a: fc.record({ limits }), b: fc.record({ limits }), c: fc.record({ limits }) });

/** Three tiers. */
export const tiers: fc.Arbitrary<Tiers> = fc.oneof(
  { weight: 3, arbitrary: threeOf(limits) },
  { weight: 1, arbitrary: threeOf(manyLimits) },
);

const cost = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(0, 0.001, 0.5, 1, 1, 2, 3) },
  { weight: 3, arbitrary: milli(8) },
  { weight: 1, arbitrary: fc.constantFrom(40, 1000) },
);
/** One step that a caller may take. */
export const operation = fc.record({
  advanceMs: fc.oneof(
    { weight: 60, arbitrary: fc.integer({ min: 0, max: 500 }) },
    { weight: 10, arbitrary: fc.integer({ min: 0, max: 30_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 86_400_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: -10_000, max: 40 * 86_400_000 }) },
  ),
  kind: fc.oneof(
    { weight: 20, arbitrary: fc.constant("consume" as const) },
    { weight: 8, arbitrary: fc.constantFrom("peek", "refund", "quotas", "settle") },
    { weight: 2, arbitrary: fc.constant("grant" as const) },
    { weight: 1, arbitrary: fc.constantFrom("reset", "reload") },
  ),
  key: fc.constantFrom("k1", "k2", "k\ud800", "k\u0142", "kB"),
  tier: fc.constantFrom<string>("a", "b", "c"),
  cost,
  of: fc.nat(30),
  grant: fc.record({ limit: fc.constantFrom("day", "month", "second"), keep: fc.boolean() }, { requiredKeys: [] }),
  tiers,
});
/** What {@link operation} makes. */
export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Limits of one caller's own, beside none: larger and smaller ones, and some taken away. */
export const overrides: fc.Arbitrary<Overrides | null> = fc.oneof(
  fc.constant(null),
  fc.dictionary(
    fc.constantFrom("second", "minute", "hour", "day", "week", "month", "year", "once"),
    fc.option(fc.record({ limit: fc.constantFrom(0, 0.5, 5, 40) })),
    { maxKeys: 2 },
  ),
);

/** The same tiers with some of their limits in shadow mode. */
export function shadowed(tiers: fc.Arbitrary<Tiers>): fc.Arbitrary<Tiers> {
  return fc.tuple(tiers, fc.array(fc.boolean(), { minLength: 24, maxLength: 24 })).map(([tiers, flags]) => {
    let next = 0;
    const marked = Object.entries(tiers).map(([name, { limits }]) => {
      const withShadows = limits.map((limit) => ({ ...limit, shadow: flags[next++] === true }));
      return [name, { limits: withShadows }];
    });
    return Object.fromEntries(marked) as Tiers;
  });
}
