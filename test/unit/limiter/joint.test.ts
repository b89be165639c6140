import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Cost, type Limiter, overriddenTier, type Subject } from "../../../src/index.js";
import { ENGINES, open, remaining } from "./engines.js";

const left = (limiter: Limiter, key: string, tier = "free") => remaining(limiter, key, tier, "minute");

describe.each(ENGINES)("consumeAll, %s engine", (engine) => {
  it("spends of every subject, each at its own cost", () => {
    const { limiter } = open({ engine });
    const decision = limiter.consumeAll([
      { key: "team", tier: "pro", cost: 20 },
      { key: "ann", tier: "free" },
      { key: "all", tier: "enterprise", cost: 1000 },
    ]);
    expect(decision).toMatchObject({ allowed: true, denied: null, deniedBy: null, retryAfterMs: 0 });
    expect(decision.decisions.map(({ tier, cost }) => [tier, cost])).toEqual([
      ["pro", 20],
      ["free", 1],
      ["enterprise", 1000],
    ]);
    expect([left(limiter, "team", "pro"), left(limiter, "ann")]).toEqual([980, 99]);
    const allowed = { free: 1, pro: 1, enterprise: 1, anonymous: 0 };
    expect(limiter.stats().tiers.map(({ tier, allowed }) => [tier, allowed])).toEqual(Object.entries(allowed));
  });

  it.each([0, 1, 2])("spends of none if one denies, be it the %d. of three", (place) => {
    const { limiter } = open({ engine });
    const keys = ["a", "b", "c"];
    limiter.consume(keys[place] ?? "", "free", 100);
    const subjects = keys.map((key) => ({ key, tier: "free", cost: 2 }));
    const decision = limiter.consumeAll(subjects);
    expect(decision).toMatchObject({ allowed: false, deniedBy: "minute", retryAfterMs: 1200 });
    expect(decision.denied).toBe(subjects[place]);
    expect(decision.decisions.map(({ allowed }) => allowed)).toEqual(keys.map((_, index) => index !== place));
    expect(decision.decisions.map(({ limits }) => limits[0]?.remaining)).toEqual(
      keys.map((_, index) => (index === place ? 0 : 100)),
    );
    expect(keys.map((key) => left(limiter, key))).toEqual(keys.map((_, index) => (index === place ? 0 : 100)));
    // Of those that would have been allowed nothing is counted.
    expect(limiter.stats().tiers[0]).toEqual({ tier: "free", allowed: 1, denied: { minute: 1 } });
    expect([decision.refund(), decision.settle(0), decision.decisions[0]?.refund()]).toEqual([false, false, false]);
  });

  it("names the subject with the longest wait", () => {
    const { limiter } = open({ engine });
    limiter.consume("short", "free", 100);
    limiter.consume("long", "free", 50);
    const subjects = [
      { key: "short", tier: "free" },
      { key: "long", tier: "free", cost: 100 },
      { key: "fine", tier: "free" },
    ];
    expect(limiter.consumeAll(subjects)).toMatchObject({ denied: { key: "long" }, retryAfterMs: 30_000 });
  });

  it("adds up what a subject costs that is there twice", () => {
    const { limiter } = open({ engine });
    const twice = [
      { key: "a", tier: "free", cost: 40 },
      { key: "b", tier: "free" },
      { key: "a", tier: "free", cost: 20.5 },
    ];
    const { decisions } = limiter.consumeAll(twice);
    expect(decisions[0]).toBe(decisions[2]);
    expect(decisions.map(({ cost }) => cost)).toEqual([60.5, 1, 60.5]);
    expect(left(limiter, "a")).toBe(39.5);
    const again = limiter.consumeAll(twice);
    expect(again.denied).toBe(twice[0]);
    expect([left(limiter, "a"), left(limiter, "b")]).toEqual([39.5, 99]);
    expect(() => limiter.consumeAll([twice[0], twice[0], twice[0], twice[0]] as Subject[])).toThrow(
      expect.objectContaining({ code: "ERR_COST_EXCEEDS_CAPACITY", message: expect.stringContaining("cost is 160") }),
    );
  });

  it("spends of each limit of each subject at its own cost, and charges and settles so", () => {
    const minute = { type: "bucket", windowSeconds: 60, burst: 1 } as const;
    const requests = { ...minute, name: "requests", limit: 10 } as const;
    const tokens = { ...minute, name: "tokens", limit: 1000 } as const;
    const { limiter } = open({
      engine,
      tiers: { team: { limits: [requests, tokens] }, member: { limits: [tokens] }, route: { limits: [requests] } },
    });
    const standing = () =>
      ["team", "member", "route"].map((key) => limiter.peek(key, key, 0).limits.map(({ remaining }) => remaining));
    const subjects = [
      { key: "team", tier: "team", cost: { requests: 1, tokens: 300 } },
      { key: "member", tier: "member", cost: { tokens: 300 } },
      { key: "route", tier: "route" },
      { key: "team", tier: "team", cost: { tokens: 100 } },
    ];
    const decision = limiter.consumeAll(subjects);
    expect(decision.decisions.map(({ cost }) => cost)).toEqual([
      { requests: 1, tokens: 400 },
      { tokens: 300 },
      1,
      { requests: 1, tokens: 400 },
    ]);
    expect(standing()).toEqual([[9, 600], [700], [9]]);
    expect(decision.charge([{ tokens: 50 }, { tokens: 20 }, 0, { requests: 0.5 }])).toBe(true);
    expect(standing()).toEqual([[8.5, 550], [680], [9]]);
    expect(() => decision.charge({ tokens: 50 })).toThrow("cost.tokens is of no limit of tier route");
    expect(() => decision.settle([{ tokens: 1 }, { tokens: 1 }, { requests: 1 }])).toThrow("actual is 3 items long");
    expect(standing()).toEqual([[8.5, 550], [680], [9]]);
    expect(decision.settle([{ requests: 1, tokens: 7 }, { tokens: 7 }, 2, 1])).toBe(true);
    expect(standing()).toEqual([[8, 992], [993], [8]]);
    expect([decision.charge(1), decision.refund()]).toEqual([false, false]);

    limiter.consume("member", "member", 990);
    const denied = limiter.consumeAll(subjects);
    expect(denied).toMatchObject({ allowed: false, denied: { key: "member" }, deniedBy: "tokens" });
    expect([denied.charge(1), denied.settle(0), denied.refund()]).toEqual([false, false, false]);
    expect(standing()).toEqual([[8, 992], [3], [8]]);
    expect(limiter.consumeAll([{ key: "team", tier: "team", cost: {} }]).allowed).toBe(true);
    const twice = { key: "team", tier: "team", cost: { tokens: 600 } };
    expect(() => limiter.consumeAll([twice, twice])).toThrow("cost.tokens is 1200");
    const foreign = { key: "member", tier: "member", cost: { requests: 1 } };
    expect(() => limiter.consumeAll([twice, foreign])).toThrow(expect.objectContaining({ code: "ERR_COST_INVALID" }));
    const fine = { key: "member", tier: "member", cost: { tokens: 0.0001 } };
    expect(() => limiter.consumeAll([twice, fine])).toThrow("cost.tokens is 0.0001");
    expect(standing()).toEqual([[8, 992], [3], [8]]);
  });

  it("charges more of every subject, as the call goes on, and gives it back", () => {
    const { limiter } = open({ engine });
    const decision = limiter.consumeAll(["a", "b"].map((key) => ({ key, tier: "free" })));
    expect([decision.charge(4), decision.charge([0, 200])]).toEqual([true, true]);
    expect(decision.decisions.map(({ cost }) => cost)).toEqual([5, 205]);
    expect([left(limiter, "a"), left(limiter, "b")]).toEqual([95, 0]);
    expect(decision.refund()).toBe(true);
    expect([left(limiter, "a"), left(limiter, "b")]).toEqual([100, 100]);
    expect(() => decision.charge([1])).toThrow("more is 1 items long; it may be one item per subject, 2");
  });

  it("counts a key under two tiers as two subjects, one after the other", () => {
    const tiers = {
      account: { limits: [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }] },
      route: { limits: [{ name: "route", type: "bucket", limit: 2, windowSeconds: 60, burst: 1 }] },
      more: { limits: [{ name: "minute", type: "bucket", limit: 20, windowSeconds: 60, burst: 1 }] },
    } as const;
    const { limiter } = open({ engine, tiers });
    const call = (second: string, cost = 1) =>
      limiter.consumeAll([
        { key: "a", tier: "account", cost },
        { key: "a", tier: second, cost },
      ]);
    expect([call("route").allowed, call("route").allowed, call("route").denied?.tier]).toEqual([true, true, "route"]);
    expect(left(limiter, "a", "account")).toBe(8);
    // What both name alike is one count: 4 of 10, and then 8 of 20.
    expect(call("more", 4).allowed).toBe(true);
    expect(left(limiter, "a", "account")).toBe(2);
    expect(call("more", 2)).toMatchObject({ allowed: false, denied: { tier: "more" } });
    expect(left(limiter, "a", "account")).toBe(2);
  });

  describe("of one key under several tiers", () => {
    const quota = (limit: number, anchorDay = 1) =>
      ({ name: "month", type: "quota", limit, period: "month", anchorDay }) as const;
    const running = (limit: number) => ({ name: "running", type: "concurrency", limit, timeoutSeconds: 60 }) as const;
    const tiers = {
      small: { limits: [bucket(10), quota(10), running(1)] },
      large: { limits: [bucket(20), quota(12), running(2)] },
      steep: { limits: [{ ...bucket(3), burst: 4 }] },
      nothing: { limits: [bucket(0), quota(0)] },
      shifted: { limits: [quota(10, 15)] },
    } as const;
    const call = (costs: Partial<Record<keyof typeof tiers, Cost>>, key?: string) =>
      Object.entries(costs).map(([tier, cost]) => ({ key: key ?? "a", tier, cost }));

    it.each([
      [{ small: { minute: 5 }, large: { minute: 10.001 } }, "minute", 20, "large"],
      [{ large: { minute: 16 }, small: { minute: 2.001 } }, "minute", 10, "small"],
      [{ small: { minute: 4 }, large: { minute: 6 }, steep: { minute: 3.601 } }, "minute", 12, "steep"],
      [{ small: { month: 6 }, large: { month: 6.001 } }, "month", 12, "large"],
      [{ small: { running: 1 }, large: { running: 1 }, steep: 1, shifted: 1 }, undefined],
      [{ large: { running: 1 }, small: { running: 1 } }, "running", 1, "small"],
      [{ small: { minute: 5 }, large: { minute: 10 } }, undefined],
      [{ small: { month: 6 }, large: { month: 6 } }, undefined],
      // What costs nothing passes, and what a limit of nothing stops is denied.
      [{ large: { month: 12 }, small: { minute: 1 } }, undefined],
      [{ small: { month: 10 }, nothing: { month: 1 } }, undefined, false],
      // Periods that begin on other days are other counts, as a rule.
      [{ small: { month: 10 }, shifted: { month: 10 } }, undefined],
    ] as const)("refuses %j if no wait would let it pass", (costs, limit, most?, tier?) => {
      const { limiter } = open({ engine, tiers });
      const subjects = [{ key: "b", tier: "large", cost: 1 }, ...call(costs)];
      if (limit === undefined) {
        expect(limiter.consumeAll(subjects).allowed).toBe(most ?? true);
        return;
      }
      const message = `together they can never pass: ${limit} is one count of their key, which holds at most ${most} under tier ${tier}`;
      expect(() => limiter.consumeAll(subjects)).toThrow(
        expect.objectContaining({ code: "ERR_COST_EXCEEDS_CAPACITY", message: expect.stringContaining(message) }),
      );
      expect(limiter.stats().keys).toBe(0);
      // By itself each can pass.
      for (const { tier, cost } of subjects) expect(limiter.peek(tier, tier, cost).retryAfterMs).toBeLessThan(60_000);
    });

    it("names all subjects whose costs don't fit together, and no others", () => {
      const { limiter } = open({ engine, tiers });
      const subjects = [
        ...call({ small: 4 }),
        ...call({ large: 1 }, "b"),
        ...call({ large: 9 }),
        ...call({ small: 1 }),
      ];
      expect(() => limiter.consumeAll(subjects)).toThrow("subjects[0, 2, 3]: together they can never pass: month");
    });
  });

  it("gives back, and settles, of every subject once", () => {
    const { limiter } = open({ engine });
    const subjects = [
      { key: "a", tier: "free", cost: 10 },
      { key: "b", tier: "free", cost: 20 },
    ];
    const refunded = limiter.consumeAll(subjects);
    expect([refunded.refund("quotas"), refunded.refund()]).toEqual([true, false]);
    expect(["a", "b"].map((key) => remaining(limiter, key, "free", "month"))).toEqual([50_000, 50_000]);
    expect([left(limiter, "a"), left(limiter, "b")]).toEqual([90, 80]);
    expect(limiter.consumeAll(subjects).settle(4)).toBe(true);
    expect([left(limiter, "a"), left(limiter, "b")]).toEqual([86, 76]);
    const settled = limiter.consumeAll(subjects);
    expect(() => settled.settle([1])).toThrow("actual is 1 items long; it may be one item per subject, 2");
    expect(() => settled.settle([1, -1])).toThrow("cost is -1");
    expect([settled.settle([1, 2]), settled.settle([1, 2])]).toEqual([true, false]);
    expect([left(limiter, "a"), left(limiter, "b")]).toEqual([85, 74]);
  });

  it("passes at a cost of 0 and touches nothing, beside one that costs something too", () => {
    const { limiter } = open({ engine });
    limiter.consume("spent", "free", 100);
    const free = { key: "spent", tier: "free", cost: 0 };
    expect(limiter.consumeAll([free])).toMatchObject({ allowed: true });
    expect(limiter.consumeAll([free, { key: "b", tier: "free" }]).decisions[0]?.limits[0]?.remaining).toBe(0);
    expect(limiter.stats().keys).toBe(2);
  });

  it.each([
    ["no array", "a", "subjects is a; it may be an array of { key, tier, cost }"],
    ["none", [], "subjects is 0 items long; it may be 1 to 8 items long"],
    ["nine", Array(9).fill({ key: "a", tier: "free" }), "subjects is 9 items long; it may be 1 to 8 items long"],
    ["no subject", [{ key: "good", tier: "free" }, null], "subjects[1] is null; it may be { key, tier, cost }"],
    ["no key", [{ key: "good", tier: "free" }, { tier: "free" }], "subjects[1]: key is of type undefined"],
    [
      "a long key",
      [
        { key: "good", tier: "free" },
        { key: "a".repeat(513), tier: "free" },
      ],
      "subjects[1]: key is a string of 513 UTF-16 units",
    ],
    [
      "no tier",
      [
        { key: "good", tier: "free" },
        { key: "a", tier: "none" },
      ],
      "subjects[1]: tier is none",
    ],
    [
      "a cost below 0",
      [
        { key: "good", tier: "free" },
        { key: "a", tier: "free", cost: -1 },
      ],
      "subjects[1]: cost is -1",
    ],
    [
      "four decimals",
      [
        { key: "good", tier: "free" },
        { key: "a", tier: "free", cost: 0.0001 },
      ],
      "subjects[1]: cost is 0.0001",
    ],
    [
      "NaN",
      [
        { key: "good", tier: "free" },
        { key: "a", tier: "free", cost: Number.NaN },
      ],
      "subjects[1]: cost is NaN",
    ],
    [
      "too much",
      [
        { key: "good", tier: "free" },
        { key: "a", tier: "free", cost: 151 },
      ],
      "subjects[1]: cost is 151, which can never pass: tier free holds at most 150",
    ],
    [
      "too much of one that is there twice",
      [
        { key: "a", tier: "free", cost: 100 },
        { key: "b", tier: "free" },
        { key: "a", tier: "free", cost: 51 },
      ],
      "subjects[0, 2]: cost is 151",
    ],
  ])("spends nothing of anybody for %s", (_what, subjects, message) => {
    const { limiter } = open({ engine });
    expect(() => limiter.consumeAll(subjects as Subject[])).toThrow(message);
    expect(limiter.stats().keys).toBe(0);
  });

  it("takes keys for what they are, and not for what they are joined", () => {
    const { limiter } = open({ engine });
    const keys = ["ab", "c", "\ud83d", "\ude00"];
    limiter.consumeAll(keys.map((key, index) => ({ key, tier: "free", cost: index + 1 })));
    expect([...keys, "a", "bc", "😀"].map((key) => left(limiter, key))).toEqual([99, 98, 97, 96, 100, 100, 100]);
  });

  it("reads each field of a subject once", () => {
    const { limiter } = open({ engine });
    let reads = 0;
    const subject = {
      key: "a",
      tier: "free",
      get cost() {
        return ++reads === 1 ? 1 : -1;
      },
    };
    expect(limiter.consumeAll([subject]).decisions[0]?.cost).toBe(1);
  });

  it("decides after a close that it is closed", async () => {
    const { limiter } = open({ engine });
    await limiter.close();
    expect(() => limiter.consumeAll([{ key: "a", tier: "free" }])).toThrow("the limiter is closed");
  });

  it("goes by tiers with overrides and by those of a reload", () => {
    const { limiter } = open({ engine });
    const subject = { key: "a", tier: "free" };
    const own = { key: "c", tier: overriddenTier("free", { minute: { limit: 500 } }), cost: 200 };
    limiter.consumeAll([subject, { key: "b", tier: "pro" }, own]);
    expect(left(limiter, "c", own.tier)).toBe(300);
    limiter.reload({ free: { limits: [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }] } });
    expect(limiter.consumeAll([subject]).decisions[0]?.limits[0]).toMatchObject({ limit: 10, remaining: 5.6 });
    expect(() => limiter.consumeAll([subject, { key: "b", tier: "pro" }])).toThrow("tier is pro");
  });

  it("has shadow limits decide only on a call that goes on", () => {
    const shadow = { name: "hour", type: "bucket", limit: 1, windowSeconds: 3600, burst: 1, shadow: true } as const;
    const minute = { name: "minute", type: "bucket", limit: 2, windowSeconds: 60, burst: 1 } as const;
    const { limiter } = open({ engine, tiers: { free: { limits: [minute, shadow] } } });
    const call = () =>
      limiter.consumeAll([
        { key: "a", tier: "free" },
        { key: "b", tier: "free" },
      ]);
    expect(call().decisions.map(({ shadowDenials }) => shadowDenials)).toEqual([[], []]);
    expect(call().decisions.map(({ shadowDenials }) => shadowDenials)).toEqual([["hour"], ["hour"]]);
    expect(call().decisions.map(({ shadowDenials }) => shadowDenials)).toEqual([[], []]);
    expect(limiter.stats().shadow).toEqual([{ tier: "free", limit: "hour", denials: 2 }]);
  });

  it("blocks the subject that denies, and no other", () => {
    const login = { ...bucket(2), blockSeconds: 3600 };
    const { limiter, clock } = open({ engine, tiers: { login: { limits: [login] }, address: { limits: [login] } } });
    const call = (login: string, address: string) =>
      limiter.consumeAll([
        { key: login, tier: "login" },
        { key: address, tier: "address" },
      ]);
    expect([call("ann", "a"), call("ann", "b"), call("ann", "c")].map(({ denied }) => denied?.key)).toEqual([
      undefined,
      undefined,
      "ann",
    ]);
    clock.now += 60_000;
    expect(call("ann", "c")).toMatchObject({ denied: { key: "ann" }, retryAfterMs: 3_540_000 });
    expect([call("ben", "c").allowed, call("eve", "c").allowed, call("eve", "c").denied?.key]).toEqual([
      true,
      true,
      "c",
    ]);
    expect([left(limiter, "ben", "login"), left(limiter, "eve", "login"), left(limiter, "c", "address")]).toEqual([
      1, 1, 0,
    ]);
    clock.now += 3_540_000;
    expect(call("ann", "a").allowed).toBe(true);
  });

  it("shares the overflow bucket where there is no room, and takes back what it spent of that", () => {
    const { limiter } = open({ engine, maxKeys: 2 });
    limiter.consumeAll([
      { key: "a", tier: "free", cost: 50 },
      { key: "b", tier: "free", cost: 50 },
    ]);
    const more = (cost: number) => limiter.consumeAll(["c", "a", "d"].map((key) => ({ key, tier: "free", cost })));
    expect(more(20).decisions.map(({ overflowed }) => overflowed)).toEqual([true, false, true]);
    expect(limiter.stats()).toMatchObject({ keys: 2, overflow: 2 });
    // 30 are left of a, and 60 of what c and d share: d lacks two, and a one.
    expect(more(31)).toMatchObject({ allowed: false, denied: { key: "d" }, retryAfterMs: 1200 });
    expect(more(30)).toMatchObject({ allowed: true });
    expect([left(limiter, "a"), left(limiter, "c")]).toEqual([0, 0]);
  });

  it("makes room by keys that are idle, and never by one of its own", () => {
    const { limiter, clock } = open({ engine, tiers: { t: { limits: [bucket(10)] } }, maxKeys: 4 });
    for (const key of ["a", "b", "c", "d"]) limiter.consume(key, "t", 5);
    clock.now += 60_000;
    const subjects = ["e", "f", "g", "h"].map((key) => ({ key, tier: "t", cost: 5 }));
    expect(limiter.consumeAll(subjects).decisions.map(({ overflowed }) => overflowed)).toEqual(Array(4).fill(false));
    expect(subjects.map(({ key }) => left(limiter, key, "t"))).toEqual([5, 5, 5, 5]);
    expect(limiter.stats()).toMatchObject({ keys: 4, evictions: 4 });
  });

  it("is what one call after the other would be, where all pass or the first denial undoes the rest", () => {
    const { limiter: joint, clock } = open({ engine });
    const { limiter: single, clock: other } = open({ engine });
    const subject = fc.record({
      key: fc.constantFrom("a", "b", "c", "d"),
      tier: fc.constantFrom("free", "pro", "enterprise", "anonymous"),
      cost: fc.oneof(
        fc.constantFrom<Cost>(0, 0.5, 1, 7, 30),
        fc.record({ minute: fc.constantFrom(0, 0.5, 3, 30) }, { requiredKeys: [] }),
      ),
    });
    // Each key under one tier, since one after the other a denial would convert it, too.
    const subjects = fc.uniqueArray(subject, { minLength: 1, maxLength: 4, selector: ({ key }) => key });
    let denials = 0;
    fc.assert(
      fc.property(subjects, fc.integer({ min: 0, max: 500 }), (subjects, advanceMs) => {
        clock.now += advanceMs;
        other.now = clock.now;
        const decision = joint.consumeAll(subjects);
        const alone = subjects.map(({ key, tier, cost }) => single.consume(key, tier, cost));
        const isAllowed = alone.every(({ allowed }) => allowed);
        if (!isAllowed) for (const one of alone) one.refund();
        if (!isAllowed) denials++;
        expect(decision.allowed).toBe(isAllowed);
        expect(decision.decisions.map(({ allowed }) => allowed)).toEqual(alone.map(({ allowed }) => allowed));
        for (const { key, tier } of subjects) {
          expect(joint.peek(key, tier, 0).limits).toEqual(single.peek(key, tier, 0).limits);
        }
      }),
      { numRuns: 300 },
    );
    expect(denials).toBeGreaterThan(10);
  });
});

function bucket(limit: number) {
  return { name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1 } as const;
}
