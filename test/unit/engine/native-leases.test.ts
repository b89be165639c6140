import { describe, expect, it, onTestFinished } from "vitest";
import { loadBinding } from "../../../src/engine/binding.js";
import { Bucket } from "../../../src/engine/bucket.js";
import { OUTCOME } from "../../../src/engine/frame.js";
import type { LeaseEngineOptions } from "../../../src/engine/lease-engine.js";
import { APPLIED, LEASE_FRAME, LEASE_OUTCOME } from "../../../src/engine/lease-frame.js";
import { openNativeLeases } from "../../../src/engine/native-leases.js";
import type { Tiers } from "../../../src/engine/spec.js";
import { type Answer, LeaseCaller, type NumberedTier } from "./lease-caller.js";

const NOON = Date.UTC(2026, 5, 15, 12);
const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 60, windowSeconds: 60, burst: 1 },
      { name: "month", type: "quota", limit: 1000, period: "month", anchorDay: 15 },
    ],
  },
  pro: { limits: [{ name: "minute", type: "bucket", limit: 600, windowSeconds: 60, burst: 1.5 }] },
  daily: { limits: [{ name: "day", type: "quota", limit: 10, period: "day" }] },
  enterprise: { limits: [] },
};
const OPTIONS: LeaseEngineOptions = {
  ...{ name: "", agreement: "", tiers: TIERS, maxKeys: 1000, leaseMs: 1000, timeoutMs: 50, replica: "r" },
};

function open(more: Partial<LeaseEngineOptions> = {}) {
  const opened = openNativeLeases({ ...OPTIONS, ...more });
  if (opened.engine === undefined) throw new Error(opened.reason);
  const { engine } = opened;
  onTestFinished(() => engine.close());
  const tier = (name: string): NumberedTier => ({
    version: engine.version,
    id: engine.tierId(name),
    limits: TIERS[name]?.limits.length ?? 0,
  });
  const [free, pro, daily, enterprise] = ["free", "pro", "daily", "enterprise"].map(tier) as [
    NumberedTier,
    NumberedTier,
    NumberedTier,
    NumberedTier,
  ];
  return { caller: new LeaseCaller(engine), engine, free, pro, daily, enterprise };
}

function at(ms: number) {
  return { now: NOON + ms, mono: 5000 + ms };
}

/** A take that the store has answered with `held` thousandths, at the beginning. */
function granted(tier: NumberedTier, held: number, more: Partial<Answer> = {}): Answer {
  const spent = Array.from({ length: tier.limits }, () => 0);
  const answer = { key: "k", tier, granted: held, held, lasts: 1000, server: 0, epoch: 7, at: NOON, lag: 0, spent };
  return { ...answer, wait: 0, isProvisional: false, races: false, ...more };
}

describe("a key", () => {
  it("spends what is held of it, and asks when that is used up or has ended", () => {
    const { caller, free, engine } = open();
    expect(caller.consume("k", free, 1000, at(0))).toEqual({ code: LEASE_OUTCOME.ASK, version: 0 });
    const spent = [0, 5000];
    expect(caller.apply([granted(free, 3000, { spent })], at(0))).toEqual([APPLIED.KEPT]);
    expect(caller.peek("k", free, 1000, at(1)).denied).toBe(0);
    expect(caller.consume("k", free, 2000, at(1))).toMatchObject({ denied: 0, now: NOON + 1, spent: [0, 4000] });
    expect(caller.consume("k", free, 2000, at(1)).code).toBe(LEASE_OUTCOME.ASK);
    expect(caller.consume("k", free, 1000, at(1000)).code).toBe(LEASE_OUTCOME.ASK);
    expect(engine.stats()).toMatchObject({ keys: 1, held: 1000, overflow: 0 });
    expect(engine.stats().tiers[0]).toEqual({ tier: "free", allowed: 1, denied: {}, overflow: 0 });
  });

  it("says once that it runs low, and again when nobody has asked for long", () => {
    const { caller, free } = open();
    caller.apply([granted(free, 50_000)], at(0));
    const codes = Array.from({ length: 35 }, () => caller.consume("k", free, 1000, at(62)).code);
    expect(codes.filter((code) => code !== 0)).toEqual([LEASE_OUTCOME.LOW]);
    expect([173, 181].map((ms) => caller.consume("k", free, 1000, at(ms)).code)).toEqual([0, LEASE_OUTCOME.LOW]);
  });

  it("is denied by what is believed, and told by when tokens may come back and how far its time is ahead", () => {
    const { caller, free, engine } = open();
    const denial = { wait: 300, isProvisional: true, spent: [0, 1_000_000], at: NOON + 150, lag: 150 };
    caller.apply([granted(free, 0, denial)], at(0));
    const denied = caller.consume("k", free, 1000, at(100));
    expect(denied.code).toBe(2 | LEASE_OUTCOME.WAIT | LEASE_OUTCOME.PROVISIONAL | OUTCOME.BEHIND);
    expect(denied).toMatchObject({ wait: 200, now: NOON + 150, behind: 50, spent: [0, 1_000_000] });
    expect(caller.consume("k", free, 1000, at(300)).code).toBe(LEASE_OUTCOME.ASK);
    expect(engine.stats().tiers[0]).toMatchObject({ allowed: 0, denied: { month: 1 } });
  });

  it("is brought under another tier, in whose units it is known, and its grants go back", () => {
    const { caller, free, pro } = open();
    const small = new Bucket(60_000, 60_000, 1000);
    caller.apply([granted(free, 2000, { spent: [small.capacity / 2, 5000] })], at(0));
    expect(caller.consume("k", pro, 1000, at(0)).code).toBe(LEASE_OUTCOME.ASK | LEASE_OUTCOME.RETURNS);
    const large = new Bucket(600_000, 60_000, 1500);
    const snapshot = { server: 0, epoch: 7, at: NOON, spent: [large.capacity / 2] };
    expect(caller.look("k", pro, at(0), false)).toMatchObject({ held: 0, snapshot });
    expect(Object.entries(caller.returns())).toEqual([[expect.stringMatching(`^k ${NOON} .*"month"`), 2000]]);
  });

  it("is asked about with what is known and will be used; what the tier lacked before is not known", () => {
    const { caller, free, pro } = open();
    caller.apply([granted(pro, 50_000)], at(0));
    for (let call = 0; call < 20; call++) caller.consume("k", pro, 1000, at(call));
    expect(caller.look("k", pro, at(200), true)).toMatchObject({ code: 0, held: 30_000, snapshot: { at: NOON } });
    expect(caller.look("k", pro, at(200), true).ahead).toBeGreaterThan(0);
    expect(caller.look("k", free, at(200), true)).toMatchObject({ held: 0, ahead: 0, snapshot: undefined });
    caller.consume("k", free, 1000, at(200));
    expect(caller.look("k", free, at(200), false).snapshot?.spent).toEqual([0, Number.NaN]);
  });

  it("goes back, is forgotten, and is swept", () => {
    const { caller, engine, daily } = open();
    caller.apply(
      ["a", "b", "c", "d"].map((key) => granted(daily, 1000, { key })),
      at(0),
    );
    caller.giveBack("a", true, at(0));
    engine.forget("b");
    expect(Object.keys(caller.returns())).toEqual([expect.stringMatching(/^a /)]);
    caller.consume("c", daily, 1, at(400));
    caller.sweep(at(500));
    expect(Object.keys(caller.returns())).toEqual([expect.stringMatching(/^d /)]);
    engine.drain();
    expect(Object.values(caller.returns())).toEqual([999]);
    expect(engine.stats().held).toBe(0);
    caller.sweep(at(86_400_000));
    expect(engine.stats()).toMatchObject({ keys: 0, evictions: 3 });
  });

  it("finds no room where all others hold something", () => {
    const { caller, engine, daily } = open({ maxKeys: 2 });
    const keys = ["a", "b", "c"];
    const codes = caller.apply(
      keys.map((key) => granted(daily, 1000, { key })),
      at(0),
    );
    expect(codes).toEqual([APPLIED.KEPT, APPLIED.KEPT, APPLIED.FULL]);
    expect(engine.stats()).toMatchObject({ keys: 2, overflow: 1 });
  });
});

describe("keys come back as they were", () => {
  it.each(["a half \ud800 of a pair", "\udc00\ud800", "ł😀", "k\0\0limit", "x".repeat(1057)])("%j", (key) => {
    const { caller, engine, free } = open();
    const other = `${key.slice(1)}!`.slice(0, 1057);
    caller.apply([granted(free, 2000, { key: other }), granted(free, 1000, { key })], at(0));
    expect(Object.keys(caller.report()).sort()).toEqual([key, other].sort());
    expect(caller.consume(key, free, 1000, at(0)).code & OUTCOME.LIMIT_MASK).toBe(0);
    engine.forget(other);
    expect(Object.keys(caller.report())).toEqual([key]);
    caller.giveBack(key, false, at(0));
    expect(caller.returns()).toEqual({});
  });
});

describe("what is told in rows", () => {
  it("is told of all keys, in as many calls as it takes, with the rules that it is counted by", () => {
    const { caller, engine, free, pro, daily } = open();
    const tiers = [free, pro, daily];
    for (let at_ = 0; at_ < 300; at_ += 60) {
      const keys = Array.from({ length: 60 }, (_, index) => at_ + index);
      const answers = keys.map((index) => {
        const tier = tiers[index % 3] as NumberedTier;
        const spent = [index, index + 1].slice(0, tier.limits);
        return granted(tier, index + 1, { key: `key ${index}`, spent, epoch: 2 ** 51 - 1 - index, server: 8191 });
      });
      caller.apply(answers, at(0));
    }
    const report = caller.report();
    expect(Object.keys(report)).toHaveLength(300);
    const minute = { name: "minute", type: "bucket", limitMilli: 60_000, windowMs: 60_000, burstMilli: 1000 };
    const month = { name: "month", type: "quota", limitMilli: 1_000_000, period: "month", anchorDay: 15 };
    const snapshot = { server: 8191, epoch: 2 ** 51 - 1 - 99, at: NOON, spent: [99, 100] };
    expect(report["key 99"]).toEqual({ rules: [minute, month], snapshot });
    const day = { name: "day", type: "quota", limitMilli: 10_000, period: "day" };
    expect(report["key 200"]).toMatchObject({ rules: [day], snapshot: { spent: [200] } });
    engine.drain();
    const returns = Object.values(caller.returns());
    expect([returns.length, returns.reduce((sum, milli) => sum + milli)]).toEqual([300, (300 * 301) / 2]);
  });

  it("begins anew when asked to, and of no rules is told that were in no row", () => {
    const { caller, engine, free } = open();
    caller.apply([granted(free, 1000)], at(0));
    engine.startReport();
    expect(engine.nextReport()).toEqual({ count: 1, keys: "k" });
    const rules = engine.frame[LEASE_FRAME.RULES] as number;
    expect(engine.nextReport()).toEqual({ count: 0, keys: "" });
    expect(engine.rulesOf(rules)).toHaveLength(2);
    expect(() => engine.rulesOf(rules + 1)).toThrow(expect.objectContaining({ code: "ERR_ENGINE_FAILED" }));
    expect(caller.report()).toEqual(caller.report());
  });
});

describe("its own clocks", () => {
  const OWN = { now: -1, mono: -1 };
  /** By how much, in ms, the cheap clock may lag. */
  const LAG = 10;

  it("decide where none are given, and go on from what the store has said", () => {
    const { caller, engine, free } = open({ leaseMs: 1_000_000 });
    const before = Date.now();
    expect(engine.storeMs(-1)).toBeGreaterThanOrEqual(before);
    expect(engine.storeMs(-1)).toBeLessThanOrEqual(Date.now());
    caller.apply([granted(free, 3000, { lasts: 900_000, lag: 500, spent: [0, 3000] })], OWN);
    expect(engine.storeMs(-1)).toBeGreaterThanOrEqual(NOON - 500);
    expect(engine.storeMs(-1)).toBeLessThan(NOON + 600_000);
    const { denied, now, behind, spent } = caller.consume("k", free, 1000, OWN);
    expect([denied, Number(now) >= NOON, Number(behind) <= 500 + LAG, spent?.[1]]).toEqual([0, true, true, 1000]);
    expect(caller.peek("k", free, 1000, OWN).denied).toBe(0);
    expect(caller.look("k", free, OWN, true)).toMatchObject({ code: 0, held: 2000 });
    expect(engine.sweep(-1, -1)).toBe(false);
    expect(caller.consume("k", free, 3000, OWN).code).toBe(LEASE_OUTCOME.ASK);
  });

  it("are not asked where others are given", () => {
    const { caller, engine, free } = open();
    caller.apply([granted(free, 3000, { lag: 500 })], at(0));
    expect([engine.storeMs(5000), engine.storeMs(5700)]).toEqual([NOON - 500, NOON + 200]);
  });
});

describe("what can't be used", () => {
  it.each([
    ["an empty key", "", {}, OUTCOME.KEY_INVALID],
    ["a key that is too long", "x".repeat(1058), {}, OUTCOME.KEY_INVALID],
    ["a key that is far too long", "x".repeat(100_000), {}, OUTCOME.KEY_INVALID],
    ["a key that is no string", 7, {}, OUTCOME.KEY_INVALID],
    ["a cost that is no number", "k", { cost: Number.NaN }, OUTCOME.COST_INVALID],
    ["a cost below 0", "k", { cost: -1 }, OUTCOME.COST_INVALID],
    ["a cost beyond all", "k", { cost: Number.POSITIVE_INFINITY }, OUTCOME.COST_EXCEEDS_CAPACITY],
    ["a cost beyond the limit", "k", { cost: 60_001 }, OUTCOME.COST_EXCEEDS_CAPACITY],
    ["a tier that is not there", "k", { tier: 99 }, OUTCOME.TIER_UNKNOWN],
    ["a tier below 0", "k", { tier: -1 }, OUTCOME.TIER_UNKNOWN],
    ["a tier that is no number", "k", { tier: Number.NaN }, OUTCOME.TIER_UNKNOWN],
  ])("%s", (_, key, { cost = 1000, tier = 0 }: { cost?: number; tier?: number }, code) => {
    const { caller, free } = open();
    const named = { ...free, id: tier };
    expect(caller.consume(key as string, named, cost, at(0))).toEqual({ code });
    expect(caller.peek(key as string, named, cost, at(0))).toEqual({ code });
    const isOfCost = code === OUTCOME.COST_INVALID || code === OUTCOME.COST_EXCEEDS_CAPACITY;
    for (const asks of [true, false]) {
      expect(caller.look(key as string, named, at(0), asks).code).toBe(isOfCost ? 0 : code);
    }
  });

  it("rows of answers that make no sense leave the others as they are", () => {
    const { caller, free } = open();
    const nonsense = Number.NaN;
    const answers = [
      granted(free, 1000, { key: "" }),
      granted(free, 1000, { key: "x".repeat(1058) }),
      granted({ ...free, id: nonsense }, 1000, { key: "a" }),
      granted({ ...free, version: 99 }, 1000, { key: "b" }),
      granted({ ...free, version: -1 }, 1000, { key: "c" }),
      granted(free, 1000, { key: "d", server: 8192 }),
      granted(free, 1000, { key: "e", epoch: 2 ** 51 }),
      granted(free, 1000, { key: "f", at: nonsense, lag: nonsense, spent: [nonsense, -5], wait: nonsense }),
      granted(free, 1000, { key: "g" }),
    ];
    const { KEPT, FULL, UNKNOWN } = APPLIED;
    const { KEY_INVALID } = OUTCOME;
    const codes = caller.apply(answers, at(0));
    expect(codes).toEqual([KEY_INVALID, KEY_INVALID, UNKNOWN, UNKNOWN, UNKNOWN, FULL, FULL, KEPT, KEPT]);
    expect(caller.consume("g", free, 1000, at(0)).denied).toBe(0);
    expect(Object.keys(caller.report())).toEqual(["f", "g"]);
  });

  it("keys that are fewer than the rows, or no string, or more rows than there are", () => {
    const { engine, free } = open();
    const row = { TIER: free.id, VERSION: 0, KEY_LENGTH: 1, COST: 1000, NOW: NOON, MONO: 5000, SERVER: 0, EPOCH: 7 };
    const codesOf = (keys: unknown, count: unknown) => {
      engine.frame.fill(0);
      for (let index = 0; index < 64; index++) {
        for (const [name, value] of Object.entries({ ...row, CODE: -77 })) {
          engine.frame[index * LEASE_FRAME.ROW + LEASE_FRAME[name as keyof typeof row]] = value;
        }
      }
      engine.apply(keys as string, count as number);
      const codes = Array.from({ length: 64 }, (_, index) => engine.frame[index * LEASE_FRAME.ROW + LEASE_FRAME.CODE]);
      return codes.filter((code) => code !== -77).length;
    };
    expect(codesOf("abc", 5)).toBe(3);
    expect(codesOf("abc", 2)).toBe(2);
    expect(codesOf("a".repeat(100), 1e9)).toBe(64);
    expect([codesOf(7, 3), codesOf("abc", "x"), codesOf("abc", -1), codesOf("abc", Number.NaN)]).toEqual([0, 0, 0, 0]);
    expect(engine.stats().keys).toBe(3);
  });

  it("names, tiers and frames", () => {
    const { engine } = open();
    expect(() => engine.reload({ free: { limits: [{ type: "nonsense" } as never] } })).toThrow(
      expect.objectContaining({ code: "ERR_TIERS_INVALID" }),
    );
    expect([engine.version, engine.tierId("none"), engine.serverName(0), engine.serverName(-1)]).toEqual([
      0,
      -1,
      "",
      "",
    ]);
    expect(engine.overrideTier(7, 0, "x", { limits: [] })).toBe(-1);
    const { LeaseEngine } = loadBinding().binding as {
      LeaseEngine: { open(frame: unknown, options: unknown): unknown };
    };
    const options = { ...OPTIONS, tiers: "[]" };
    const frames = [new Float64Array(64 * 18), new Float64Array(new SharedArrayBuffer(64)), new Uint8Array(10_000), 7];
    for (const frame of frames) expect(() => LeaseEngine.open(frame, options)).toThrow("ERR_ENGINE_FAILED");
  });
});

describe("tiers", () => {
  it("with overrides decide until the next reload, and are counted as what they override", () => {
    const { caller, engine, daily } = open();
    const own = { limits: [{ name: "day", type: "quota", limit: 99, period: "day" }] } as const;
    const id = engine.overrideTier(0, daily.id, "own", own);
    expect(engine.overrideTier(0, daily.id, "own", own)).toBe(id);
    const tier = { ...daily, id };
    caller.apply([granted(tier, 50_000, { spent: [50_000] })], at(0));
    expect(caller.consume("k", tier, 50_000, at(0)).denied).toBe(0);
    engine.count(0, id, 1);
    engine.count(0, daily.id, 0);
    expect(engine.stats().tiers[2]).toEqual({ tier: "daily", allowed: 2, denied: { day: 1 }, overflow: 0 });
    engine.reload(TIERS);
    expect(caller.consume("k", tier, 1000, at(0)).code).toBe(OUTCOME.TIER_UNKNOWN);
    expect([engine.version, engine.tiersOf(1), engine.tiersOf(9)]).toEqual([1, TIERS, {}]);
  });

  it("without limits allow at once, by the store's time", () => {
    const { caller, enterprise } = open();
    expect(caller.consume("k", enterprise, 10 ** 12, at(5))).toMatchObject({ code: 0, now: NOON + 5 });
    expect(caller.peek("k", enterprise, 1000, at(5))).toMatchObject({ code: 0, now: NOON + 5 });
  });
});

it("is closed for good", () => {
  const { caller, engine, free } = open();
  caller.apply([granted(free, 1000)], at(0));
  engine.close();
  expect(caller.consume("k", free, 1000, at(0)).code).toBe(OUTCOME.CLOSED);
  expect(caller.peek("k", free, 1000, at(0)).code).toBe(OUTCOME.CLOSED);
  expect(caller.look("k", free, at(0), true).code).toBe(OUTCOME.CLOSED);
  expect(caller.apply([granted(free, 1000)], at(0))).toEqual([OUTCOME.CLOSED]);
  engine.forget("k");
  engine.drain();
  engine.count(0, 0, 0);
  expect([engine.sweep(-1, -1), caller.returns(), caller.report()]).toEqual([false, {}, {}]);
  const closed = expect.objectContaining({ code: "ERR_LIMITER_CLOSED" });
  expect(() => engine.stats()).toThrow(closed);
  expect(() => engine.reload(TIERS)).toThrow(closed);
  expect(() => engine.overrideTier(0, 0, "x", { limits: [] })).toThrow(closed);
  engine.close();
});
