import { expect, it } from "vitest";
import { Bucket } from "../../../src/engine/bucket.js";
import { JsLeases } from "../../../src/engine/js-leases.js";
import { APPLIED, LEASE_OUTCOME } from "../../../src/engine/lease-frame.js";
import type { Tiers } from "../../../src/engine/spec.js";
import { type Answer, answerTo, at, LeaseCaller, NOON, type NumberedTier } from "./lease-caller.js";

const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 60, windowSeconds: 60, burst: 1 },
      { name: "month", type: "quota", limit: 1000, period: "month" },
    ],
  },
  pro: { limits: [{ name: "minute", type: "bucket", limit: 600, windowSeconds: 60, burst: 1 }] },
  enterprise: { limits: [] },
};

function open(maxKeys = 10) {
  const [leaseMs, timeoutMs] = [1000, 50];
  const engine = JsLeases.open({ name: "", agreement: "", tiers: TIERS, maxKeys, leaseMs, timeoutMs, replica: "r" });
  const tier = (name: string): NumberedTier => ({
    version: engine.version,
    id: engine.tierId(name),
    limits: TIERS[name]?.limits.length ?? 0,
  });
  return { caller: new LeaseCaller(engine), free: tier("free"), pro: tier("pro"), enterprise: tier("enterprise") };
}

/** A take that the store has answered with `held` thousandths, at noon. */
function granted(tier: NumberedTier, held: number, more: Partial<Answer> = {}): Answer {
  return answerTo("k", tier, { granted: held, held, ...more });
}

it("asks for a key that it knows nothing of, holds what was granted, and asks again when that is used up", () => {
  const { caller, free } = open();
  expect(caller.consume("k", free, 1000, at(0))).toEqual({ code: LEASE_OUTCOME.ASK, version: 0 });
  expect(caller.apply([granted(free, 2000)], at(0))).toEqual([APPLIED.KEPT]);
  expect(caller.consume("k", free, 1500, at(1))).toMatchObject({ denied: 0, now: NOON + 1 });
  expect(caller.consume("k", free, 1000, at(1)).code).toBe(LEASE_OUTCOME.ASK);
  expect(caller.consume("k", free, 500, at(999)).code).toBe(0);
  expect(caller.engine.stats()).toMatchObject({ keys: 1, held: 0, overflow: 0, tiers: [{ allowed: 2 }, {}, {}] });
});

it("hands nothing out from the end of a grant on, and has it given back", () => {
  const { caller, free } = open();
  caller.apply([granted(free, 2000)], at(0));
  expect(caller.consume("k", free, 1000, at(999)).code).toBe(0);
  expect(caller.consume("k", free, 1000, at(1000)).code).toBe(LEASE_OUTCOME.ASK);
  caller.sweep(at(1000));
  expect(Object.entries(caller.returns())).toEqual([[expect.stringMatching(`^k ${NOON} .*"month"`), 1000]]);
});

it("brings a key that it knows under another tier, gives back what was granted under the first, and asks", () => {
  const { caller, free, pro } = open();
  const [small, large] = [new Bucket(60_000, 60_000, 1000), new Bucket(600_000, 60_000, 1000)];
  caller.apply([granted(free, 2000, { spent: [small.capacity / 2, 5000] })], at(0));
  expect(caller.consume("k", pro, 1000, at(0)).code).toBe(LEASE_OUTCOME.ASK | LEASE_OUTCOME.RETURNS);
  expect(caller.look("k", free, at(0), false)).toMatchObject({ held: 0, snapshot: undefined });
  expect(caller.look("k", pro, at(0), false)).toMatchObject({
    held: 0,
    snapshot: { server: 0, epoch: 7, at: NOON, spent: [large.capacity / 2] },
  });
  expect(Object.values(caller.returns())).toEqual([2000]);
});

it("says once that what is held runs low, and again when nobody has asked for long", () => {
  const { caller, free } = open();
  caller.apply([granted(free, 10_000)], at(0));
  const codes = [0, 61, 62, 63, 64, 173, 174, 175].map((ms) => caller.consume("k", free, 1000, at(ms)).code);
  expect(codes).toEqual([0, 0, LEASE_OUTCOME.LOW, 0, 0, 0, LEASE_OUTCOME.LOW, 0]);
});

it("does not say that it runs low right after a take, which was for what is used as it goes", () => {
  const { caller, free } = open();
  caller.apply([granted(free, 1000)], at(0));
  caller.look("k", free, at(200), true);
  caller.apply([granted(free, 4000)], at(200));
  const codes = [200, 200, 261, 262].map((ms) => caller.consume("k", free, 1000, at(ms)).code);
  expect(codes).toEqual([0, 0, 0, LEASE_OUTCOME.LOW]);
});

it("believes a denial, says when tokens may come back, and asks again when it no longer denies", () => {
  const { caller, free } = open();
  const denied = { wait: 300, isProvisional: true, spent: [0, 1_000_000] };
  caller.apply([granted(free, 0, denied)], at(0));
  const { code, wait } = caller.consume("k", free, 1000, at(100));
  expect({ code, wait }).toEqual({ code: 2 | LEASE_OUTCOME.WAIT | LEASE_OUTCOME.PROVISIONAL, wait: 200 });
  expect(caller.consume("k", free, 1000, at(300)).code).toBe(LEASE_OUTCOME.ASK);
});

it("decides at once under a tier without limits, and knows no tier that was dropped", () => {
  const { caller, free, enterprise } = open();
  expect(caller.consume("k", enterprise, 1000, at(5))).toMatchObject({ code: 0, now: NOON + 5, spent: [] });
  const { pro: _, ...others } = TIERS;
  caller.engine.reload(others);
  expect(caller.engine.tierId("pro")).toBe(-1);
  expect(caller.consume("k", { ...free, id: 99 }, 1000, at(5)).code).toBe(-2);
  expect(caller.apply([granted({ ...free, id: 99 }, 1000)], at(5))).toEqual([APPLIED.UNKNOWN]);
});
