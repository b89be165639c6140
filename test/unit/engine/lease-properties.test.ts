/** What an engine of leases promises, whatever it is asked and the store answers. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bucket } from "../../../src/engine/bucket.js";
import type { BucketSpec, Tiers } from "../../../src/engine/spec.js";
import { answerTo, asks, at, LeaseCaller, NOON, type NumberedTier } from "./lease-caller.js";
import { LeaseLedger } from "./lease-ledger.js";
import { run } from "./lease-operations.js";
import { LeaseScript } from "./lease-script.js";
import { OPEN } from "./lease-twins.js";

/** Runs of each property; a failure is not made shorter for minutes on end. */
const RUNS = { numRuns: 60, interruptAfterTimeLimit: 60_000 };

const quota = { name: "month", type: "quota", limit: 1000, period: "month" } as const;
const bucketOf = (limit: number, windowSeconds: number, burst: number): BucketSpec => {
  return { name: "minute", type: "bucket", limit, windowSeconds, burst };
};

describe.each(Object.entries(OPEN))("an engine of leases, %s", (_, open) => {
  function opened(tiers: Tiers, maxKeys = 1000) {
    const engine = open(tiers, { maxKeys });
    const tier = (name: string): NumberedTier => {
      return { version: engine.version, id: engine.tierId(name), limits: tiers[name]?.limits.length ?? 0 };
    };
    return { caller: new LeaseCaller(engine), engine, tier };
  }

  it("holds more only by what the store has granted, loses nothing, and spends no grant twice or past its end", () => {
    let spends = 0;
    fc.assert(
      fc.property(run, ({ versions, operations }) => {
        const engine = open(versions[0] ?? {}, {});
        const ledger = new LeaseLedger(engine);
        const script = new LeaseScript([ledger], versions);
        let { held } = ledger;
        for (const operation of operations) {
          script.play(operation);
          if (operation.kind !== "answer") expect(ledger.held).toBeLessThanOrEqual(held);
          held = ledger.held;
        }
        expect({ missing: ledger.missing, overspent: ledger.overspent }).toEqual({ missing: 0, overspent: [] });
        spends += ledger.spent.length;
        engine.close();
      }),
      RUNS,
    );
    expect(spends).toBeGreaterThan(RUNS.numRuns);
  });

  it("holds what an answer has brought as often as it is applied, and nothing of an answer to anything but a take", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), (takes, others) => {
        const { caller, engine, tier } = opened({ a: { limits: [quota] } });
        const answer = answerTo("k", tier("a"), { spent: [1000] });
        for (let time = 0; time < takes; time++) caller.apply([answer], at(time));
        const before = caller.look("k", tier("a"), at(takes), false);
        expect(before).toMatchObject({ held: 1000 * takes, snapshot: { at: NOON, spent: [1000] } });
        for (let time = 0; time < others; time++) caller.apply([{ ...answer, granted: -1 }], at(takes));
        expect(caller.look("k", tier("a"), at(takes), false)).toEqual(before);
        // All of it ends as if it had come first.
        expect(caller.consume("k", tier("a"), 1000 * takes, at(1000 + takes)).denied).toBeUndefined();
        engine.close();
      }),
      RUNS,
    );
  });

  it("converts what is known exactly, and back again to no less than it was", () => {
    const bucket = fc
      .tuple(
        fc.integer({ min: 1, max: 10_000 }),
        fc.constantFrom(0.289, 1, 7, 60, 3600),
        fc.constantFrom(1, 1.25, 3.333),
      )
      .map((of) => bucketOf(...of));
    const part = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(bucket, bucket, part, fc.nat(1_000_000), (small, large, part, used) => {
        const { caller, engine, tier } = opened({ a: { limits: [small, quota] }, b: { limits: [quota, large] } });
        const [from, to] = [small, large].map(({ limit, windowSeconds, burst }) => {
          return new Bucket(limit * 1000, Math.round(windowSeconds * 1000), Math.round(burst * 1000));
        }) as [Bucket, Bucket];
        const spent = Math.floor(from.capacity * part);
        caller.apply([answerTo("k", tier("a"), { spent: [spent, used] })], at(0));
        expect(asks(caller.consume("k", tier("b"), 1, at(0)))).toBe(true);
        const there = ratio(spent, to.capacity, from.capacity);
        expect(caller.look("k", tier("b"), at(0), false)).toMatchObject({
          held: 0,
          snapshot: { spent: [used, there] },
        });
        expect(asks(caller.consume("k", tier("a"), 1, at(0)))).toBe(true);
        const back = ratio(there, from.capacity, to.capacity);
        expect(back).toBeGreaterThanOrEqual(spent);
        expect(caller.look("k", tier("a"), at(0), false)).toMatchObject({ snapshot: { spent: [back, used] } });
        expect(Object.values(caller.returns())).toEqual([1000]);
        engine.close();
      }),
      RUNS,
    );
  });

  it("brings nothing of a month that is over to another tier, and does not know what the first tier lacked", () => {
    const { caller, engine, tier } = opened({
      a: { limits: [quota] },
      b: { limits: [{ ...quota, limit: 5000 }, bucketOf(10, 60, 1)] },
    });
    caller.apply([answerTo("k", tier("a"), { spent: [7000] })], at(0));
    // What is known of the store's time is a guess, from which a millisecond is taken.
    const july = { now: Date.UTC(2026, 6, 1) + 1, mono: 6000 };
    caller.consume("k", tier("b"), 1, july);
    expect(caller.look("k", tier("b"), july, false)).toMatchObject({
      snapshot: { at: july.now - 1, spent: [0, Number.NaN] },
    });
    engine.close();
  });
});

/** Units times a ratio of whole numbers, rounded up. */
function ratio(units: number, by: number, of: number): number {
  const divisor = BigInt(of);
  return Number((BigInt(units) * BigInt(by) + divisor - 1n) / divisor);
}
