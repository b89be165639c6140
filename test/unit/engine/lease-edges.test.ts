/** Where both engines of leases must be exact, and chance seldom comes. */
import { describe, expect, it } from "vitest";
import { Bucket } from "../../../src/engine/bucket.js";
import { APPLIED, LEASE_OUTCOME, WITHOUT_NUL } from "../../../src/engine/lease-frame.js";
import { answerTo, asks, at, LeaseCaller, NOON } from "./lease-caller.js";
import { OPEN } from "./lease-twins.js";

/** The most thousandths that one grant can hold. */
const MOST = 2 ** 32 - 1;
const TIERS = {
  large: { limits: [{ name: "month", type: "quota", limit: 2 ** 40, period: "month" }] },
  bucket: { limits: [{ name: "minute", type: "bucket", limit: 60, windowSeconds: 60, burst: 1 }] },
  largeToo: { limits: [{ name: "month", type: "quota", limit: 2 ** 40, period: "month" }] },
} as const;

describe.each(Object.entries(OPEN))("an engine of leases, %s", (_, open) => {
  function opened() {
    const engine = open(TIERS);
    const [large, largeToo] = ["large", "largeToo"].map((name) => ({ version: 0, id: engine.tierId(name), limits: 1 }));
    if (large === undefined || largeToo === undefined) throw new Error("there are two tiers");
    return { engine, caller: new LeaseCaller(engine), large, largeToo };
  }

  it("asks for a cost that no grant can hold, though two do", () => {
    const { engine, caller, large } = opened();
    const held = answerTo("k", large, { granted: MOST, held: MOST });
    caller.apply([held, held], at(0));
    expect(caller.look("k", large, at(0), false)).toMatchObject({ held: 2 * MOST });
    expect(asks(caller.consume("k", large, MOST + 1, at(1)))).toBe(true);
    expect(caller.consume("k", large, MOST, at(1)).denied).toBe(0);
    engine.close();
  });

  it("decides nothing of a key that is said to have no NUL and has one, wherever it stands", () => {
    const { engine, caller, large } = opened();
    const keys = ["\0", "a\0", "\0a", "a\0\0b", `${"x".repeat(511)}\0`, "a"];
    caller.apply(
      keys.map((key) => answerTo(key, large, { granted: 5000, held: 5000 })),
      at(0),
    );
    const codes = (length: number) => keys.map((key) => caller.consume(key, large, 1000, at(1), length).code);
    expect(codes(WITHOUT_NUL)).toEqual([...Array(5).fill(LEASE_OUTCOME.NUL), 0]);
    expect(codes(0)).toEqual(Array(6).fill(0));
    engine.close();
  });

  it("asks where a denial begins a block, though another is believed", () => {
    const attempts = {
      name: "attempts",
      type: "bucket",
      limit: 5,
      windowSeconds: 60,
      burst: 1,
      blockSeconds: 60,
    } as const;
    const month = { name: "month", type: "quota", limit: 4, period: "month" } as const;
    const engine = open({ both: { limits: [attempts, month] } });
    const both = { version: 0, id: engine.tierId("both"), limits: 2 };
    const caller = new LeaseCaller(engine);
    const rule = new Bucket(5000, 60_000, 1000, 60_000);
    const denied = { granted: 0, held: 0, wait: 60_000 };
    // Three attempts are left, and none of the month.
    caller.apply([answerTo("k", both, { ...denied, spent: [2000 * rule.perMilli, 4000] })], at(0));
    expect(caller.consume("k", both, 3000, at(1)).denied).toBe(2);
    expect(asks(caller.consume("k", both, 4000, at(1)))).toBe(true);
    // Once it is blocked there is nothing more to begin.
    caller.apply([answerTo("k", both, { ...denied, spent: [rule.blockedFor(60_000), 0] })], at(1));
    expect(caller.consume("k", both, 4000, at(2))).toMatchObject({ denied: 1, spent: [rule.blockedFor(59_998), 0] });
    engine.close();
  });

  it("believes no denial any more of a key that Redis has counted under other rules, or a tier that is gone", () => {
    const { engine, caller, large } = opened();
    const bucket = { version: 0, id: engine.tierId("bucket"), limits: 1 };
    const denial = answerTo("k", large, { granted: 0, held: 0, wait: 60_000, spent: [2 ** 40 * 1000] });
    const take = answerTo("k", bucket);
    const correction = { ...take, granted: -1, held: 0, wait: -1 };
    const answers = [
      { answer: take, became: APPLIED.STALE },
      { answer: correction, became: APPLIED.STALE },
      { answer: { ...correction, tier: { ...bucket, version: 7 } }, became: APPLIED.UNKNOWN },
    ];
    for (const { answer, became } of answers) {
      caller.apply([denial], at(0));
      expect(caller.apply([{ ...answer, server: -1 }], at(1))).toEqual([became]);
      expect(caller.consume("k", large, 1000, at(1)).denied).toBe(1);
      expect(caller.apply([answer], at(1))).toEqual([became]);
      expect(asks(caller.consume("k", large, 1000, at(1)))).toBe(true);
    }
    engine.close();
  });

  it("gives back what is more than a grant can hold, and counts no more as used", () => {
    const { engine, caller, large } = opened();
    const held = answerTo("k", large, { granted: 2 ** 33, held: 2 ** 33 });
    caller.apply([held, held, { ...held, granted: 5, held: 5 }], at(0));
    expect(caller.look("k", large, at(0), false)).toMatchObject({ held: 2 * MOST });
    expect(Object.values(caller.returns())).toEqual([2 * (2 ** 33 - MOST) + 5]);
    caller.look("k", large, at(0), true);
    for (const cost of [MOST, MOST]) caller.consume("k", large, cost, at(1));
    // Of a window of 500 ms, for the 1,000 ms of a lease.
    expect(caller.look("k", large, at(500), true)).toMatchObject({ ahead: Math.ceil(Math.fround(MOST / 500) * 1000) });
    engine.close();
  });

  it("takes tiers of the same limits for the same", () => {
    const { engine, caller, large, largeToo } = opened();
    caller.apply([answerTo("k", large, { granted: 2000, held: 2000 })], at(0));
    expect(caller.consume("k", largeToo, 1000, at(1)).denied).toBe(0);
    expect(caller.consume("k", large, 1000, at(1)).denied).toBe(0);
    engine.close();
  });

  it("has what the store says that it can't keep be the caller's", () => {
    const { engine, caller, large } = opened();
    const unknown = { ...large, id: 40_000 };
    const answers = [
      answerTo("k", large, { server: -1 }),
      answerTo("k", unknown),
      answerTo("k", large, { granted: -1 }),
      answerTo("k", { ...large, version: 7 }),
    ];
    expect(caller.apply(answers, at(0))).toEqual([APPLIED.FULL, APPLIED.UNKNOWN, APPLIED.KEPT, APPLIED.UNKNOWN]);
    expect(engine.stats()).toMatchObject({ keys: 0, held: 0, overflow: 0 });
    expect(caller.returns()).toEqual({});
    engine.close();
  });

  it("believes the store's clock from the last answer on, and each key's own where that is ahead", () => {
    const { engine, caller, large } = opened();
    caller.apply([answerTo("k", large, { at: NOON + 700, lag: 300 })], { now: 0, mono: 1000 });
    expect(engine.storeMs(1500)).toBe(NOON + 900);
    const told = caller.consume("k", large, 500, { now: -1, mono: 1100 });
    expect(told).toMatchObject({ now: NOON + 700, behind: 200 });
    engine.close();
  });

  it("peeks at what it has heard within the time of a lease, and asks from then on", () => {
    const { engine, caller, large } = opened();
    caller.apply([answerTo("k", large, { lasts: 5000 })], at(0));
    expect(caller.peek("k", large, 1000, at(999)).denied).toBe(0);
    expect(asks(caller.peek("k", large, 1000, at(1000)))).toBe(true);
    engine.close();
  });

  it("waits for what may come back rather than for the limit, by the store's clock and not the key's", () => {
    const { engine, caller } = opened();
    const bucket = { version: 0, id: engine.tierId("bucket"), limits: 1 };
    const spent = [new Bucket(60_000, 60_000, 1000).capacity];
    // A token comes in 1,000 ms of the key's time, which begin in 500.
    const denial = { granted: 0, held: 0, spent, at: NOON + 500, lag: 500, isProvisional: true };
    caller.apply([answerTo("k", bucket, { ...denial, wait: 1499 })], at(0));
    expect(caller.consume("k", bucket, 1000, at(0))).toMatchObject({ denied: 1, behind: 500, wait: 1499 });
    caller.apply([answerTo("k", bucket, { ...denial, wait: 1500 })], at(0));
    expect(caller.consume("k", bucket, 1000, at(0))).not.toHaveProperty("wait");
    engine.close();
  });

  it("knows no key that is empty or longer than any that is asked about, and no cost below 0", () => {
    const { engine, caller, large } = opened();
    const codes = ["", "k".repeat(1057), "k".repeat(1058)].map((key) => caller.consume(key, large, 1, at(0)).code);
    expect(codes).toEqual([-1, LEASE_OUTCOME.ASK, -1]);
    const costs = [-1, Number.NaN, 2 ** 50].map((cost) => caller.consume("k", large, cost, at(0)).code);
    expect(costs).toEqual([-3, -3, -4]);
    engine.close();
  });
});
