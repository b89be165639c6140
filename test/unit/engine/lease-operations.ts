import fc from "fast-check";
import type { TierSpec, Tiers } from "../../../src/index.js";
import { overrides, tiers } from "../../conformance/operations.js";

/** How the store answers a take, or anything else that it was asked about a key. */
const answer = fc.record({
  /** Thousandths granted in all; -1 for an answer to anything but a take. */
  granted: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 9000 }) },
    { weight: 4, arbitrary: fc.integer({ min: 9000, max: 60_000 }) },
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.constant(-1) },
    { weight: 1, arbitrary: fc.integer({ min: 2 ** 31, max: 2 ** 33 }) },
  ),
  /** How much of it is to be held; some of it is the caller's, and now and then it is more than was asked for. */
  held: fc.oneof(
    { weight: 6, arbitrary: fc.constant("all" as const) },
    { weight: 1, arbitrary: fc.constantFrom("half", "more", "none") },
  ),
  lasts: fc.oneof(
    { weight: 6, arbitrary: fc.constant(1000) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 2500 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, -5) },
  ),
  server: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constantFrom(-1, 1, 8191) }),
  epoch: fc.oneof(
    { weight: 8, arbitrary: fc.constant(1_798_588_800_000 * 256) },
    { weight: 1, arbitrary: fc.constantFrom(0, 255, 1_798_588_800_000 * 256 + 1, 2 ** 51 - 1) },
  ),
  /** By how many ms the answer is older than the present. */
  age: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.integer({ min: -50, max: 3000 }) },
  ),
  lag: fc.oneof(
    { weight: 9, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 90_000 }) },
  ),
  /** Parts of what each limit holds that are spent: below 0 of a quota of which less is used than was granted. */
  spent: fc.array(
    fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1.1, noNaN: true }), fc.constantFrom(-0.001, -0.25, -2)),
    { minLength: 8, maxLength: 8 },
  ),
  wait: fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 9000 }) },
    { weight: 1, arbitrary: fc.constantFrom(1, 2_678_400_000) },
    { weight: 2, arbitrary: fc.constant(-1) },
  ),
  isProvisional: fc.boolean(),
  races: fc.boolean(),
  /** Whether all is spent, and the answer a denial. */
  denies: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  /** Whether it may come once more. */
  again: fc.boolean(),
});

/** One step of what happens to an engine of leases. */
const operation = fc.record({
  kind: fc.oneof(
    { weight: 36, arbitrary: fc.constant("consume" as const) },
    { weight: 6, arbitrary: fc.constant("burst" as const) },
    { weight: 20, arbitrary: fc.constant("answer" as const) },
    { weight: 16, arbitrary: fc.constant("ask" as const) },
    { weight: 8, arbitrary: fc.constantFrom("peek", "look", "sweep") },
    { weight: 3, arbitrary: fc.constantFrom("returns", "report", "giveBack", "count", "override", "reload") },
    { weight: 1, arbitrary: fc.constantFrom("forget", "drain", "stats") },
  ),
  /** How far the clocks go first. */
  advanceMs: fc.oneof(
    { weight: 70, arbitrary: fc.integer({ min: 0, max: 30 }) },
    { weight: 20, arbitrary: fc.integer({ min: 0, max: 400 }) },
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 6000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 86_400_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 20 * 86_400_000 }) },
  ),
  /** By how much they then miss the next instant at which something ends that the store has said or was asked. */
  missesMs: fc.oneof(
    { weight: 8, arbitrary: fc.constant(undefined) },
    { weight: 3, arbitrary: fc.constantFrom(-1, 0, 1) },
  ),
  /** By how much the store's clock jumps. */
  jumpMs: fc.oneof(
    { weight: 60, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -10_000, max: 10_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: -2 * 86_400_000, max: 5 * 86_400_000 }) },
  ),
  /** Of the keys: a few are asked for again and again. */
  key: fc.oneof({ weight: 5, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.nat(11) }),
  /** Of the tiers in force, those with overrides too. */
  tier: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(7) }),
  /** Whether a tier of any version is meant, and not one in force. */
  isOld: fc.oneof({ weight: 19, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  costMilli: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(0, 1, 500, 1000, 1000, 2000, 3000) },
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 8000 }) },
    { weight: 1, arbitrary: fc.constantFrom(-1, 40_000, 2 ** 32, 2 ** 51) },
  ),
  /** Which of what is under way is answered. */
  pick: fc.nat(30),
  answers: fc.array(answer, { minLength: 1, maxLength: 3 }),
  again: fc.boolean(),
  own: overrides,
});

/** What {@link operation} makes. */
export type LeaseOperation = typeof operation extends fc.Arbitrary<infer T> ? T : never;
export type ScriptedAnswer = LeaseOperation["answers"][number];

/** Of concurrency nothing is leased, so mostly there is none. */
const mostlyLeased = fc.oneof({ weight: 7, arbitrary: tiers.map(withoutPlaces) }, { weight: 1, arbitrary: tiers });

function withoutPlaces(tiers: Tiers): Tiers {
  const leased = Object.entries(tiers).map(([name, { limits }]): [string, TierSpec] => {
    return [name, { limits: limits.filter(({ type }) => type !== "concurrency") }];
  });
  return Object.fromEntries(leased);
}

/** Tiers to begin with and to reload, and what happens. */
export const run = fc.record({
  versions: fc.array(mostlyLeased, { minLength: 1, maxLength: 4 }),
  operations: fc.array(operation, { minLength: 1, maxLength: 150, size: "max" }),
});
export type LeaseRun = typeof run extends fc.Arbitrary<infer T> ? T : never;
