import fc from "fast-check";
import type { Cost, LimitSpec, Overrides, Tiers } from "../../src/index.js";

/** Close to the end of a day, a month and a year. */
export const DECEMBER_30_2026 = 1_798_588_800_000;

const milli = (max: number) => fc.integer({ min: 1, max: max * 1000 }).map((value) => value / 1000);

const bucket = (name: string) =>
  fc
    .record({
      name: fc.constant(name),
      type: fc.constant("bucket" as const),
      limit: fc.oneof(milli(20), fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 10_000 })),
      windowSeconds: fc.oneof(milli(5), fc.constantFrom(1, 7, 60, 3600, 86_400)),
      burst: fc.constantFrom(1, 1.001, 1.25, 1.5, 2, 3.333),
      blockSeconds: fc.constantFrom(undefined, undefined, undefined, 0.5, 20, 3600),
    })
    .map(({ blockSeconds, ...plain }) => (blockSeconds === undefined ? plain : { ...plain, blockSeconds }));

const quota = (name: string, period: "day" | "month") =>
  fc.record({
    name: fc.constant(name),
    type: fc.constant("quota" as const),
    limit: fc.oneof(milli(20), fc.integer({ min: 1, max: 100 })),
    period: fc.constant(period),
    overage: fc.option(fc.record({ max: milli(20) }), { nil: undefined, freq: 3 }),
    ...(period === "month" ? { anchorDay: fc.integer({ min: 1, max: 31 }) } : {}),
  });

const places = (name: string) =>
  fc.record({
    name: fc.constant(name),
    type: fc.constant("concurrency" as const),
    limit: fc.integer({ min: 1, max: 5 }),
    timeoutSeconds: fc.oneof(milli(5), fc.constantFrom(1, 7, 60, 3600)),
  });

/** Up to four limits in any order: every tier has its own, and the names mean the same in all. */
const limits: fc.Arbitrary<LimitSpec[]> = fc
  .tuple(
    bucket("second"),
    fc.oneof({ weight: 2, arbitrary: bucket("minute") }, { weight: 1, arbitrary: places("parallel") }),
    quota("day", "day"),
    quota("month", "month"),
  )
  .chain((all) => fc.shuffledSubarray<LimitSpec>(all));

/** Up to eight, most of them. */
const manyLimits: fc.Arbitrary<LimitSpec[]> = fc
  .tuple(
    fc.tuple(bucket("second"), bucket("minute"), quota("day", "day"), quota("month", "month")),
    fc.tuple(bucket("hour"), places("parallel"), quota("workday", "day"), quota("term", "month")),
  )
  .chain((all) => fc.shuffledSubarray<LimitSpec>(all.flat(), { minLength: 3 }));

const threeOf = (limits: fc.Arbitrary<LimitSpec[]>): fc.Arbitrary<Tiers> =>
  fc.record({ a: fc.record({ limits }), b: fc.record({ limits }), c: fc.record({ limits }) });

/** Three tiers. */
export const tiers: fc.Arbitrary<Tiers> = fc.oneof(
  { weight: 3, arbitrary: threeOf(limits) },
  { weight: 1, arbitrary: threeOf(manyLimits) },
);

const tokens = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(0, 0.001, 0.5, 1, 1, 2, 3) },
  { weight: 3, arbitrary: milli(8) },
  { weight: 1, arbitrary: fc.constantFrom(40, 1000) },
);
/** One number, or one for each of some limits, which the tier may lack. */
const cost: fc.Arbitrary<Cost> = fc.oneof(
  { weight: 3, arbitrary: tokens },
  {
    weight: 1,
    arbitrary: fc.dictionary(fc.constantFrom("second", "minute", "parallel", "day", "month"), tokens, { maxKeys: 3 }),
  },
);
const key = fc.constantFrom("k1", "k2", "k\ud800", "k\u0142", "kB");
const tier = fc.constantFrom<string>("a", "b", "c");
/** Of whom a call spends as well, where it does. */
export const others = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(fc.record({ key, tier, cost }), { minLength: 1, maxLength: 3 }) },
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
    { weight: 8, arbitrary: fc.constantFrom("peek", "refund", "quotas", "settle", "charge") },
    { weight: 4, arbitrary: fc.constant("release" as const) },
    { weight: 2, arbitrary: fc.constant("grant" as const) },
    { weight: 1, arbitrary: fc.constantFrom("reset", "reload") },
  ),
  key,
  tier,
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
    fc.constantFrom("second", "minute", "day", "month", "hour", "term", "parallel"),
    fc.option(fc.record({ limit: fc.constantFrom(0.5, 5, 40) })),
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
