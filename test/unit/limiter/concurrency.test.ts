import { describe, expect, it } from "vitest";
import { createLimiter, type Decision, type Limiter, overriddenTier, type Tiers } from "../../../src/index.js";
import { admitted, ENGINES, open, remaining } from "./engines.js";

const parallel = { name: "parallel", type: "concurrency", limit: 2, timeoutSeconds: 30 } as const;
const minute = { name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 } as const;
const month = { name: "month", type: "quota", limit: 100, period: "month" } as const;
const PAID = { limits: [parallel, month] };
const TIERS: Tiers = { free: { limits: [minute, parallel] }, pro: { limits: [{ ...parallel, limit: 4 }] } };

describe.each(ENGINES)("a limit of concurrency, engine %s", (engine) => {
  it("denies while as many calls run as may, and a place is given back once", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    const first = limiter.consume("k", "free", 3);
    expect(first.holdsPlace).toBe(true);
    clock.now += 10_000;
    const second = limiter.consume("k", "free");
    expect(second.limits[1]).toEqual({ name: "parallel", limit: 2, remaining: 0, resetMs: 20_000 });
    const denied = limiter.consume("k", "free");
    expect(denied).toMatchObject({ allowed: false, deniedBy: "parallel", retryAfterMs: 20_000, holdsPlace: false });
    expect(denied.limits[0]?.remaining, "nothing is spent").toBeCloseTo(7.667, 2);
    expect([denied.release(), first.release(), first.release()]).toEqual([false, true, false]);
    expect([first.holdsPlace, limiter.consume("k", "free").allowed]).toEqual([false, true]);
    expect(limiter.stats().tiers[0]).toEqual({ tier: "free", allowed: 3, denied: { parallel: 1 } });
  });

  it("has a place free again at the timeout, and not a millisecond before", () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    const running = [limiter.consume("k", "free"), limiter.consume("k", "free")];
    clock.now += 29_999;
    expect(limiter.consume("k", "free").allowed).toBe(false);
    clock.now += 1;
    expect(running.map((decision) => decision.release())).toEqual([false, false]);
    expect(admitted(limiter, "k", "free", 5)).toBe(2);
  });

  it.each<[string, (limiter: Limiter, decision: Decision) => unknown]>([
    ["charge", (_, decision) => decision.charge(1)],
    ["settling above", (_, decision) => decision.settle(3)],
    ["settling below", (_, decision) => decision.settle(0.5)],
    ["a refund of quotas", (_, decision) => decision.refund("quotas")],
    ["a grant", (limiter) => limiter.grant("k", "paid", 5, { limit: "month" })],
    ["a peek under another tier", (limiter) => limiter.peek("k", "free")],
    ["a reload", (limiter) => limiter.reload({ ...TIERS, paid: PAID })],
  ])("keeps its places through %s", (_, change) => {
    const { limiter } = open({ engine, tiers: { ...TIERS, paid: PAID } });
    const [first] = [limiter.consume("k", "paid"), limiter.consume("k", "paid")];
    change(limiter, first);
    expect(limiter.consume("k", "paid").deniedBy).toBe("parallel");
    expect(first.release()).toBe(true);
    expect(admitted(limiter, "k", "paid", 5)).toBe(1);
  });

  it("takes one place whatever the cost, and none for nothing or a peek", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    expect(limiter.maxCost("pro")).toBe(Number.POSITIVE_INFINITY);
    expect(limiter.consume("k", "pro", 0).release()).toBe(false);
    expect(limiter.peek("k", "pro", 1e9)).toMatchObject({ allowed: true, holdsPlace: false });
    limiter.consume("k", "pro", 1e9);
    limiter.consume("k", "pro", 0.001);
    expect(remaining(limiter, "k", "pro", "parallel")).toBe(2);
  });

  it("takes a place where it costs something of that limit, and none where it costs nothing", () => {
    const exports = { ...parallel, name: "exports", limit: 1 };
    const { limiter } = open({ engine, tiers: { free: { limits: [minute, parallel, exports] } } });
    const free = () => limiter.peek("k", "free", 0).limits.map(({ remaining }) => remaining);
    const none = limiter.consume("k", "free", { minute: 1 });
    expect([none.holdsPlace, none.release(), free()]).toEqual([false, false, [9, 2, 1]]);
    const both = limiter.consume("k", "free", { parallel: 7, exports: 0.5 });
    expect([both.holdsPlace, free()]).toEqual([true, [9, 1, 0]]);
    expect(limiter.consume("k", "free", { exports: 1 }).deniedBy).toBe("exports");
    const one = limiter.consume("k", "free", { minute: 1, parallel: 1 });
    expect([one.allowed, free()]).toEqual([true, [8, 0, 0]]);
    expect(limiter.consume("k", "free", { minute: 1, exports: 0 }).allowed).toBe(true);
    expect([both.release(), free(), one.release(), free()]).toEqual([true, [7, 1, 1], true, [7, 2, 1]]);
  });

  it("takes a place of each subject of one call, or of none, and gives all back together", () => {
    const tiers = { org: { limits: [parallel] }, user: { limits: [{ ...parallel, limit: 1 }, minute] } };
    const { limiter } = open({ engine, tiers });
    const free = (key: string, tier = "user") => remaining(limiter, key, tier, "parallel");
    const call = (user: string) =>
      limiter.consumeAll([
        { key: "org", tier: "org" },
        { key: user, tier: "user" },
      ]);
    const first = call("ann");
    expect([first.allowed, first.holdsPlace, free("org", "org"), free("ann")]).toEqual([true, true, 1, 0]);
    const denied = call("ann");
    expect([denied.denied?.key, denied.deniedBy, denied.retryAfterMs]).toEqual(["ann", "parallel", 30_000]);
    expect([denied.holdsPlace, denied.release(), free("org", "org")]).toEqual([false, false, 1]);
    expect(denied.decisions[0]?.limits[0]).toMatchObject({ remaining: 1, resetMs: 30_000 });
    const second = call("ben");
    const full = call("cy");
    expect([second.allowed, full.denied?.key, free("cy")]).toEqual([true, "org", 1]);
    expect(limiter.peek("cy", "user", 0).limits[1]?.remaining).toBe(10);
    expect([first.release(), first.release(), free("org", "org"), free("ann")]).toEqual([true, false, 1, 1]);
    expect([second.decisions[1]?.release(), second.release(), free("org", "org")]).toEqual([true, true, 2]);
    expect(limiter.stats().places).toBe(0);
  });

  it("counts the places of a key that one call names twice", () => {
    const { limiter } = open({ engine, tiers: { ...TIERS, one: { limits: [{ ...parallel, limit: 1 }] } } });
    const twice = limiter.consumeAll([
      { key: "k", tier: "pro" },
      { key: "k", tier: "pro" },
    ]);
    expect([twice.allowed, remaining(limiter, "k", "pro", "parallel")]).toEqual([true, 3]);
    expect([twice.release(), remaining(limiter, "k", "pro", "parallel")]).toEqual([true, 4]);
    const both = [
      { key: "k", tier: "pro" },
      { key: "k", tier: "one" },
    ];
    // One place can't be two, however long one waits.
    expect(() => limiter.consumeAll(both)).toThrow("together they can never pass: parallel is one count of their key");
    expect(remaining(limiter, "k", "pro", "parallel")).toBe(4);
    const free = limiter.consumeAll([
      { key: "k", tier: "one", cost: { parallel: 0 } },
      { key: "k", tier: "pro" },
    ]);
    expect([free.allowed, free.release()]).toEqual([true, true]);
  });

  it("begins no block by want of a place, and one by want of room beside it", () => {
    const attempts = { ...minute, limit: 2, blockSeconds: 100 };
    const { limiter, clock } = open({ engine, tiers: { free: { limits: [attempts, { ...parallel, limit: 1 }] } } });
    const first = limiter.consume("k", "free");
    expect(limiter.consume("k", "free")).toMatchObject({ deniedBy: "parallel", retryAfterMs: 30_000 });
    first.release();
    const second = limiter.consume("k", "free");
    expect(second.allowed).toBe(true);
    expect(limiter.consume("k", "free")).toMatchObject({ deniedBy: "minute", retryAfterMs: 100_000 });
    second.release();
    clock.now += 99_999;
    expect(limiter.consume("k", "free")).toMatchObject({ deniedBy: "minute", retryAfterMs: 1 });
    clock.now += 1;
    expect(limiter.consume("k", "free").allowed).toBe(true);
  });

  it("keeps its place through refunds and corrections", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const refunded = limiter.consume("k", "free", 5);
    expect(refunded.refund()).toBe(true);
    const settled = limiter.consume("k", "free", 5);
    expect(settled.settle(2)).toBe(true);
    expect(limiter.peek("k", "free", 0).limits.map(({ remaining }) => remaining)).toEqual([8, 0]);
    expect([refunded.release(), settled.release()]).toEqual([true, true]);
    expect(remaining(limiter, "k", "free", "parallel")).toBe(2);
  });

  it("counts under another tier what runs, and never says less than none", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const running = Array.from({ length: 3 }, () => limiter.consume("k", "pro"));
    expect(limiter.consume("k", "free")).toMatchObject({ allowed: false, deniedBy: "parallel" });
    expect(remaining(limiter, "k", "free", "parallel")).toBe(0);
    running[0]?.release();
    expect(limiter.consume("k", "free").allowed).toBe(false);
    running[1]?.release();
    expect(limiter.consume("k", "free").allowed).toBe(true);
  });

  it("frees all by a reset, and a decision from before it frees nothing after", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const before = limiter.consume("k", "free");
    limiter.reset("k");
    expect(admitted(limiter, "k", "free", 2)).toBe(2);
    expect(before.release()).toBe(false);
    expect(limiter.consume("k", "free").allowed).toBe(false);
  });

  it("has places of its own for each key, and one for all that found no room", () => {
    const { limiter } = open({ engine, tiers: TIERS, maxKeys: 1 });
    expect(admitted(limiter, "first", "pro", 5)).toBe(4);
    const shared = ["a", "b", "c", "d"].map((key) => limiter.consume(key, "pro"));
    expect(shared.map(({ allowed, overflowed }) => allowed && overflowed)).toEqual([true, true, true, true]);
    expect(limiter.consume("e", "pro").allowed).toBe(false);
    expect([shared[0]?.release(), shared[0]?.release()]).toEqual([true, false]);
    expect(limiter.consume("e", "pro").allowed).toBe(true);
  });

  it("decides each call of a batch, and lets go of all of a batch that fails", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const decisions = limiter.consumeMany(["k", "k", "k"], "free");
    expect(decisions.map(({ allowed }) => allowed)).toEqual([true, true, false]);
    expect(decisions.map((decision) => decision.release())).toEqual([true, true, false]);
    const keys = Array.from({ length: 70 }, () => "pro");
    expect(() => limiter.consumeMany([...keys, ""], "pro")).toThrow("key is a string of 0 UTF-16 units");
    expect(remaining(limiter, "pro", "pro", "parallel")).toBe(4);
  });

  it("may differ for one caller", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const own = overriddenTier("free", { parallel: { limit: 3 }, minute: null });
    const running = Array.from({ length: 3 }, () => limiter.consume("k", own));
    expect(limiter.consume("k", own).deniedBy).toBe("parallel");
    expect(running.map((decision) => decision.release())).toEqual([true, true, true]);
    for (const [override, message] of [
      [{ limit: 1.5 }, "overrides.parallel.limit is 1.5; it may be a whole number from 1 to 10000, as calls are"],
      [{ burst: 2 }, "overrides.parallel.burst is 2; it may be left out for a limit of concurrency"],
    ] as const) {
      expect(() => limiter.consume("k", overriddenTier("free", { parallel: override }))).toThrow(message);
    }
  });

  it("counts in shadow mode, and lets go of what it has counted", () => {
    const { limiter } = open({ engine, tiers: { free: { limits: [minute, { ...parallel, shadow: true }] } } });
    const running = Array.from({ length: 3 }, () => limiter.consume("k", "free"));
    expect(running.map(({ shadowDenials }) => shadowDenials)).toEqual([[], [], ["parallel"]]);
    expect(running.map(({ holdsPlace }) => holdsPlace)).toEqual([true, true, false]);
    expect(running.map((decision) => decision.release())).toEqual([true, true, false]);
    expect(running.map((decision) => decision.release())).toEqual([false, false, false]);
    expect(limiter.consume("k", "free").shadowDenials).toEqual([]);
  });

  it("lets a call go on by the tier that it was decided by, when the tiers are others since", () => {
    const { limiter } = open({ engine, tiers: TIERS });
    const running = [limiter.consume("k", "free"), limiter.consume("k", "free")];
    limiter.reload({ free: { limits: [{ ...parallel, timeoutSeconds: 5 }] }, pro: { limits: [] } });
    expect(limiter.consume("k", "free").allowed).toBe(false);
    expect(running.map((decision) => decision.release())).toEqual([true, true]);
    expect(admitted(limiter, "k", "free", 3)).toBe(2);
  });

  it("counts the places that are held, and none that is over", async () => {
    const { limiter, clock } = open({ engine, tiers: TIERS });
    const running = ["k", "k", "l"].map((key) => limiter.consume(key, "free"));
    expect(limiter.stats().places).toBe(3);
    running[0]?.release();
    expect(limiter.stats().places).toBe(2);
    limiter.reset("k");
    expect(limiter.stats().places).toBe(1);
    clock.now += 30_000;
    limiter.consume("l", "free");
    expect(limiter.stats().places).toBe(1);
  });

  it("gives nothing back once the limiter is closed", async () => {
    const limiter = createLimiter({ engine, tiers: TIERS });
    const decision = limiter.consume("k", "free");
    await limiter.close();
    expect(decision.release()).toBe(false);
  });

  it("keeps a key that holds a place, and forgets what is over", async () => {
    const { limiter, clock } = open({ engine, tiers: TIERS, maxKeys: 2 });
    limiter.consume("held", "pro");
    limiter.consume("given back", "pro").release();
    expect(limiter.consume("new", "pro").overflowed, "takes the place of the one that is idle").toBe(false);
    expect(limiter.consume("another", "pro").overflowed).toBe(true);
    clock.now += 30_000;
    expect(limiter.consume("another", "pro").overflowed).toBe(false);
  });
});

it.each([
  [{ limit: 0 }, "tiers.free.limits[0].limit is 0; it may be"],
  [{ limit: -1 }, "tiers.free.limits[0].limit is -1; it may be a whole number from 1 to 10000, as calls are"],
  [{ limit: "2" }, 'tiers.free.limits[0].limit is "2"; it may be a whole number from 1 to 10000, as calls are'],
  [{ limit: 1.5 }, "tiers.free.limits[0].limit is 1.5; it may be a whole number from 1 to 10000, as calls are"],
  [{ limit: 10_001 }, "tiers.free.limits[0].limit is 10001; it may be a whole number from 1 to 10000, as calls are"],
  [{ timeoutSeconds: 0 }, "tiers.free.limits[0].timeoutSeconds is 0; it may be a number above 0, at most 4294967.295"],
  [{ timeoutSeconds: 4_294_968 }, "tiers.free.limits[0].timeoutSeconds is 4294968; it may be a number above 0"],
  [{ timeoutSeconds: -1 }, "tiers.free.limits[0].timeoutSeconds is -1; it may be a number above 0"],
  [{ timeoutSeconds: 0.0005 }, "tiers.free.limits[0].timeoutSeconds is 0.0005; it may be a number above 0"],
  [{ timeoutSeconds: Number.NaN }, "tiers.free.limits[0].timeoutSeconds is NaN; it may be a number above 0"],
  [{ timeoutSeconds: Number.POSITIVE_INFINITY }, "tiers.free.limits[0].timeoutSeconds is Infinity; it may be a number"],
  [{ timeoutSeconds: "30" }, 'tiers.free.limits[0].timeoutSeconds is "30"; it may be a number above 0'],
  [{ timeoutSeconds: undefined }, "tiers.free.limits[0].timeoutSeconds is undefined; it may be a number above 0"],
  [{ burst: 1 }, "tiers.free.limits[0].burst is an unknown field; it may be one of name, type, limit, timeoutSeconds"],
])("%o is refused", (fields, message) => {
  const tiers: Tiers = { free: { limits: [{ ...parallel, ...fields } as typeof parallel] } };
  const refused = expect.objectContaining({ code: "ERR_TIERS_INVALID", message: expect.stringContaining(message) });
  expect(() => createLimiter({ tiers })).toThrow(refused);
  const limiter = createLimiter({ tiers: TIERS });
  expect(() => limiter.reload(tiers)).toThrow(refused);
  expect(limiter.tiers).toEqual(TIERS);
});

it("a name stands for one kind", () => {
  const tiers = { free: { limits: [parallel] }, pro: { limits: [{ ...minute, name: "parallel" }] } };
  expect(() => createLimiter({ tiers })).toThrow(
    'tiers.pro.limits[0] is a bucket named "parallel"; it may be a concurrency, as elsewhere: one name is one count',
  );
});
