import { describe, expect, it } from "vitest";
import type { Cost, Decision, Tiers } from "../../../src/index.js";
import { overriddenTier } from "../../../src/index.js";
import { ENGINES, open } from "./engines.js";

const minute = { type: "bucket", windowSeconds: 60, burst: 1 } as const;
const requests = { ...minute, name: "requests", limit: 3 } as const;
const tokens = { ...minute, name: "tokens", limit: 6000 } as const;
const month = { name: "month", type: "quota", limit: 10, period: "month" } as const;

const TIERS: Tiers = {
  free: { limits: [requests, tokens, month] },
  small: { limits: [requests] },
  enterprise: { limits: [] },
};

const left = (decision: Decision) => decision.limits.map(({ remaining }) => remaining);

describe.each(ENGINES)("a cost for each limit, engine %s", (engine) => {
  const opened = (tiers = TIERS) => open({ engine, tiers });

  it("is spent of each by itself, and what is left out costs nothing", () => {
    const { limiter } = opened();
    const decision = limiter.consume("k", "free", { tokens: 1850, requests: 1 });
    expect(left(decision)).toEqual([2, 4150, 10]);
    expect(decision.cost).toEqual({ requests: 1, tokens: 1850, month: 0 });
    expect(decision.toJSON()).toMatchObject({ cost: { requests: 1, tokens: 1850, month: 0 } });
    expect(left(limiter.consume("k", "free", 1))).toEqual([1, 4149, 9]);
    expect(left(limiter.consume("k", "free", { month: 0.5 }))).toEqual([1, 4149, 8.5]);
  });

  it("is all or nothing, denied by the limit that waits longest, for as long as its own cost needs", () => {
    const { limiter, clock } = opened();
    limiter.consume("k", "free", { requests: 3, tokens: 5000 });
    const denied = limiter.consume("k", "free", { requests: 1, tokens: 2000 });
    expect([denied.allowed, denied.deniedBy, denied.retryAfterMs]).toEqual([false, "requests", 20_000]);
    expect(left(denied)).toEqual([0, 1000, 10]);
    const longer = limiter.consume("k", "free", { requests: 1, tokens: 4000 });
    expect([longer.deniedBy, longer.retryAfterMs]).toEqual(["tokens", 30_000]);
    clock.now += 29_999;
    expect(limiter.peek("k", "free", { requests: 1, tokens: 4000 }).allowed).toBe(false);
    clock.now += 1;
    expect(limiter.consume("k", "free", { requests: 1, tokens: 4000 }).allowed).toBe(true);
  });

  it("passes a limit of which it costs nothing, used up or in debt", () => {
    const { limiter } = opened();
    limiter.consume("k", "free", { requests: 3 }).settle({ requests: 30, month: 30 });
    expect(limiter.consume("k", "free", 1).allowed).toBe(false);
    const decision = limiter.consume("k", "free", { tokens: 6000 });
    expect([decision.allowed, left(decision)]).toEqual([true, [0, 0, 0]]);
  });

  it.each([{}, { requests: 0, month: 0 }])("of nothing at all passes and touches nothing: %j", (nothing) => {
    const { limiter } = opened();
    const decision = limiter.consume("k", "free", nothing);
    expect([decision.allowed, left(decision), limiter.stats().keys]).toEqual([true, [3, 6000, 10], 0]);
    expect(decision.cost).toEqual({ requests: 0, tokens: 0, month: 0 });
    expect(decision.settle({ requests: 2 })).toBe(true);
    expect(left(limiter.peek("k", "free", 0))).toEqual([1, 6000, 10]);
  });

  it("is given back as it was spent, and of the quotas only", () => {
    const { limiter } = opened();
    const [all, quotas] = [1, 2].map(() => limiter.consume("k", "free", { tokens: 100, month: 2 }));
    expect([all?.refund(), all?.refund()]).toEqual([true, false]);
    expect(quotas?.refund("quotas")).toBe(true);
    expect(left(limiter.peek("k", "free", 0))).toEqual([3, 5900, 10]);
  });

  it("is settled by limit, or by one number for all", () => {
    const { limiter } = opened();
    limiter.consume("k", "free", { requests: 1, tokens: 2000 }).settle({ requests: 1, tokens: 1234.567 });
    expect(left(limiter.peek("k", "free", 0))).toEqual([2, 4765.433, 10]);
    limiter.consume("k", "free", { tokens: 1000 }).settle(1);
    expect(left(limiter.peek("k", "free", 0))).toEqual([1, 4764.433, 9]);
    limiter.consume("k", "free", 1).settle({ tokens: 0.433 });
    expect(left(limiter.peek("k", "free", 0))).toEqual([1, 4764, 9]);
  });

  it("is charged as it goes, any number of times until it is settled, also past empty", () => {
    const { limiter, clock } = opened();
    const decision = limiter.consume("k", "free", { requests: 1 });
    expect([decision.charge({ tokens: 4000 }), decision.charge({ tokens: 4000 }), decision.charge(0)]).toEqual([
      true,
      true,
      true,
    ]);
    expect(decision.cost).toEqual({ requests: 1, tokens: 8000, month: 0 });
    expect(limiter.consume("k", "free", { tokens: 1 }).retryAfterMs).toBe(20_010);
    expect(decision.charge(1)).toBe(true);
    expect(decision.cost).toEqual({ requests: 2, tokens: 8001, month: 1 });
    expect(decision.settle({ requests: 2, tokens: 5000 })).toBe(true);
    expect(left(limiter.peek("k", "free", 0))).toEqual([1, 1000, 10]);
    expect([decision.charge(1), decision.refund()]).toEqual([false, false]);
    clock.now += 1;
  });

  it("is given back with what was charged, and what is denied or peeked at is not charged", () => {
    const { limiter } = opened();
    const decision = limiter.consume("k", "free");
    decision.charge(1);
    decision.charge({ month: 3 });
    expect([decision.cost, decision.refund()]).toEqual([{ requests: 2, tokens: 2, month: 5 }, true]);
    expect(left(limiter.peek("k", "free", 0))).toEqual([3, 6000, 10]);
    expect(limiter.peek("k", "free").charge(1)).toBe(false);
    limiter.consume("k", "free", { requests: 3 });
    expect(limiter.consume("k", "free").charge(1)).toBe(false);
  });

  it("a plain cost that is charged more stays one number", () => {
    const { limiter } = opened();
    const decision = limiter.consume("k", "free", 0.5);
    decision.charge(0.25);
    expect([decision.cost, decision.settle(1), left(limiter.peek("k", "free", 0))]).toEqual([0.75, true, [2, 5999, 9]]);
  });

  it("of many keys at once", () => {
    const { limiter } = opened();
    const costs: Cost[] = [{ requests: 1, tokens: 10 }, 2, { month: 3 }];
    const decisions = limiter.consumeMany(["a", "b", "c"], ["free", "small", "free"], costs);
    expect(decisions.map(left)).toEqual([[2, 5990, 10], [1], [3, 6000, 7]]);
    const keys = Array.from({ length: 130 }, (_, index) => `k${index}`);
    const many = limiter.consumeMany(keys, "free", { requests: 2 });
    expect(many.every((decision) => left(decision).join() === "1,6000,10")).toBe(true);
    expect(many[129]?.cost).toEqual({ requests: 2, tokens: 0, month: 0 });
  });

  it("of many keys is checked before anything is spent", () => {
    const { limiter } = opened();
    const wrong = {
      code: "ERR_COST_INVALID",
      message: expect.stringContaining("cost.tokens is of no limit of tier small"),
    };
    expect(() => limiter.consumeMany(["a", "b"], ["free", "small"], { tokens: 1 })).toThrow(
      expect.objectContaining(wrong),
    );
    const excessive = { code: "ERR_COST_EXCEEDS_CAPACITY" };
    expect(() => limiter.consumeMany(["a", "b"], "free", [{ tokens: 1 }, { tokens: 6001 }])).toThrow(
      expect.objectContaining(excessive),
    );
    expect(limiter.stats().keys).toBe(0);
  });

  it.each<[says: string, cost: unknown]>([
    ["cost.tokns is of no limit of tier free; a cost may be of requests, tokens, month", { tokns: 1 }],
    ["cost.tokns is of no limit", { tokns: undefined }],
    ["cost.x is of no limit", Object.assign(Object.create(null), { tokens: 1, x: 1 })],
    ["cost.tokens is -1; it may be a number from 0 with at most three decimals", { requests: 1, tokens: -1 }],
    ["cost.tokens is NaN", { tokens: Number.NaN }],
    ["cost.month is 0.0001", { tokens: 1, month: 0.0001 }],
    ["cost.tokens is of type string", { tokens: "1" }],
    ["cost.tokens is null", { tokens: null }],
    ["cost.tokens is of type undefined", { tokens: undefined }],
    ["cost.month is of type undefined", { requests: 1, month: undefined }],
    ["cost is an array", [1]],
    ["cost is an array", []],
    ["cost is null", null],
    ["cost is of type object", new Map([["tokens", 1]])],
    ["cost is of type object", Promise.resolve({ tokens: 1 })],
    ["cost is of type function", () => 1],
  ])("is refused where %s", (says, cost) => {
    const { limiter } = opened();
    const refused = expect.objectContaining({ code: "ERR_COST_INVALID", message: expect.stringContaining(says) });
    const decision = limiter.consume("other", "free");
    for (const call of [
      () => limiter.consume("k", "free", cost as Cost),
      () => limiter.peek("k", "free", cost as Cost),
      () => limiter.consumeMany(["k"], "free", [cost as Cost]),
      () => decision.settle(cost as Cost),
      () => decision.charge(cost as Cost),
    ]) {
      expect(call).toThrow(refused);
    }
    expect(limiter.stats().keys).toBe(1);
    expect(decision.refund()).toBe(true);
  });

  it("is refused where a limit can never hold it, with the most that it can", () => {
    const { limiter } = opened();
    const refused = {
      code: "ERR_COST_EXCEEDS_CAPACITY",
      message: "cost.requests is 3.001, which can never pass: the limit holds at most 3 under tier free",
    };
    expect(() => limiter.consume("k", "free", { tokens: 6000, requests: 3.001 })).toThrow(
      expect.objectContaining(refused),
    );
    expect(limiter.consume("k", "free", { tokens: 6000, requests: 3 }).allowed).toBe(true);
    const most = ["requests", "tokens", "month", "other"].map((limit) => limiter.maxCost("free", limit));
    expect(most).toEqual([3, 6000, 10, Number.POSITIVE_INFINITY]);
  });

  it("of a tier without limits may name those of every tier, and of no other", () => {
    const { limiter } = opened();
    const decision = limiter.consume("k", "enterprise", { requests: 1, tokens: 99_999 });
    expect([decision.allowed, decision.limits, decision.cost]).toEqual([true, [], { requests: 1, tokens: 99_999 }]);
    expect(() => limiter.consume("k", "enterprise", { tokns: 1 })).toThrow(
      "cost.tokns is of no limit of tier enterprise",
    );
    expect(limiter.costNames("enterprise")).toEqual(["requests", "tokens", "month"]);
  });

  it("goes on where a caller's own limits leave one out, or have one more", () => {
    const { limiter } = opened();
    const without = overriddenTier("free", { tokens: null });
    expect(left(limiter.consume("k", without, { requests: 1, tokens: 99_999 }))).toEqual([2, 10]);
    const more = overriddenTier("small", { tokens: { limit: 100 } });
    expect(left(limiter.consume("k2", more, { requests: 1, tokens: 60 }))).toEqual([2, 40]);
    expect(() => limiter.consume("k2", more, { tokens: 101 })).toThrow("cost.tokens is 101");
  });

  it("is counted by shadow limits, each for itself", () => {
    const shadow = { ...tokens, shadow: true } as const;
    const { limiter } = opened({ free: { limits: [requests, shadow] } });
    const decision = limiter.consume("k", "free", { requests: 1, tokens: 5000 });
    expect([left(decision), decision.shadowDenials, decision.cost]).toEqual([[2], [], { requests: 1, tokens: 5000 }]);
    expect(limiter.consume("k", "free", { tokens: 2000 }).shadowDenials).toEqual(["tokens"]);
    decision.refund();
    const streamed = limiter.consume("k", "free", { requests: 1 });
    expect([streamed.shadowDenials, streamed.charge({ tokens: 6000 })]).toEqual([[], true]);
    expect(limiter.consume("k", "free", { tokens: 1 }).shadowDenials).toEqual(["tokens"]);
    limiter.reload({ free: { limits: [requests, tokens] } });
    expect(left(limiter.peek("k", "free", 0))).toEqual([2, 0]);
  });

  it("is what it was read as, whatever its fields do while they are read", () => {
    const { limiter } = opened();
    let reads = 0;
    const cost = {
      get requests() {
        if (reads++ === 0) limiter.reload({ ...TIERS, free: { limits: [month, tokens, requests] } });
        limiter.consume("other", "free", 2);
        return 1;
      },
    };
    const decision = limiter.consume("k", "free", cost);
    expect(decision.limits.map(({ name, remaining }) => [name, remaining])).toEqual([
      ["month", 10],
      ["tokens", 6000],
      ["requests", 2],
    ]);
    expect(decision.cost).toEqual({ month: 0, tokens: 0, requests: 1 });
  });

  it("is kept by tier where the tiers are reloaded in another order", () => {
    const { limiter } = opened();
    const decision = limiter.consume("k", "free", { requests: 1, tokens: 1000 });
    limiter.reload({ ...TIERS, free: { limits: [month, tokens, requests] } });
    expect(limiter.consume("k", "free", { tokens: 500 }).cost).toEqual({ month: 0, tokens: 500, requests: 0 });
    decision.charge({ tokens: 100 });
    expect(left(limiter.peek("k", "free", 0))).toEqual([10, 4400, 2]);
    decision.refund();
    expect(left(limiter.peek("k", "free", 0))).toEqual([10, 5500, 3]);
  });

  it("shares the bucket of keys that found no room", () => {
    const { limiter } = open({ engine, tiers: TIERS, maxKeys: 1 });
    limiter.consume("only", "free");
    const decision = limiter.consume("second", "free", { tokens: 4000 });
    expect([decision.overflowed, left(decision)]).toEqual([true, [3, 2000, 10]]);
    decision.charge({ tokens: 1000 });
    expect(left(limiter.peek("third", "free", { tokens: 1 }))).toEqual([3, 1000, 10]);
  });
});
