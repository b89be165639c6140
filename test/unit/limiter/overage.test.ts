import { describe, expect, it } from "vitest";
import { fieldsOf } from "../../../src/http/headers.js";
import { capacityOf, type LimitSpec, type Overrides, overriddenTier, type QuotaSpec } from "../../../src/index.js";
import { ENGINES, open } from "./engines.js";

const month = (limit: number, max?: number): QuotaSpec => {
  const overage = max === undefined ? {} : { overage: { max } };
  return { name: "month", type: "quota", limit, period: "month", ...overage };
};
const day = (limit: number, max: number): QuotaSpec => ({
  name: "day",
  type: "quota",
  limit,
  period: "day",
  overage: { max },
});
const minute: LimitSpec = { name: "minute", type: "bucket", limit: 1000, windowSeconds: 60, burst: 1 };
const tiersOf = (...limits: LimitSpec[]) => ({ pro: { limits } });

describe.each(ENGINES)("overage, %s engine", (engine) => {
  /** What is told of the first limit. */
  const standing = (limiter: ReturnType<typeof open>["limiter"], tier = "pro") => {
    const [{ limit, remaining, overage } = { limit: 0, remaining: 0 }] = limiter.peek("k", tier, 0).limits;
    return { limit, remaining, overage };
  };

  // biome-ignore format: a table
  it.each<[what: string, used: number, remaining: number, overage: number, next: number]>([
    ["nothing is used",                     0,       1000,  0,     1500],
    ["there is a thousandth left",          999.999, 0.001, 0,     500.001],
    ["all is used, and nothing beyond",     1000,    0,     0,     500],
    ["a thousandth is beyond",              1000.001, 0,    0.001, 499.999],
    ["half of the overage is used",         1250.5,  0,     250.5, 249.5],
    ["a thousandth of the overage is left", 1499.999, 0,    499.999, 0.001],
  ])("tells where it stands when %s, and denies a thousandth beyond all of it", (_, used, remaining, overage, next) => {
    const { limiter } = open({ engine, tiers: tiersOf(month(1000, 500)) });
    expect(limiter.consume("k", "pro", used).allowed).toBe(true);
    expect(standing(limiter)).toEqual({ limit: 1000, remaining, overage });
    const more = Math.round(next * 1000 + 1) / 1000;
    if (more <= 1500) expect(limiter.consume("k", "pro", more)).toMatchObject({ allowed: false, deniedBy: "month" });
    expect(limiter.consume("k", "pro", next).allowed).toBe(true);
    expect(standing(limiter)).toEqual({ limit: 1000, remaining: 0, overage: 500 });
    expect(limiter.consume("k", "pro", 0.001)).toMatchObject({ allowed: false, deniedBy: "month" });
  });

  it("is not told of a quota that has none, nor of any other limit", () => {
    const { limiter } = open({ engine, tiers: tiersOf(minute, month(1000), day(10, 5)) });
    const told = limiter.consume("k", "pro", 12).limits.map((limit) => ["overage" in limit, limit.overage]);
    expect(told).toEqual([
      [false, undefined],
      [false, undefined],
      [true, 2],
    ]);
  });

  it("begins anew with the period", () => {
    const { limiter, clock } = open({ engine, tiers: tiersOf(month(10, 5)) });
    limiter.consume("k", "pro", 15);
    const { retryAfterMs } = limiter.consume("k", "pro");
    expect(retryAfterMs).toBe(Date.UTC(2026, 6, 1) - clock.now);
    clock.now += retryAfterMs;
    expect(standing(limiter)).toEqual({ limit: 10, remaining: 10, overage: 0 });
  });

  it("is the most that a call may cost, with the limit", () => {
    const { limiter } = open({ engine, tiers: tiersOf(month(10, 5)) });
    expect(limiter.maxCost("pro")).toBe(15);
    expect(() => limiter.consume("k", "pro", 15.001)).toThrow(/never holds more than 15|15/);
    expect(limiter.consume("k", "pro", 15).allowed).toBe(true);
    expect(capacityOf(month(10, 5))).toBe(15);
    expect(capacityOf(month(0.1, 0.2))).toBe(0.3);
  });

  it("takes what is given back first, and is told past its end once more was charged", () => {
    const { limiter } = open({ engine, tiers: tiersOf(month(10, 5)) });
    limiter.consume("k", "pro", 8);
    const decision = limiter.consume("k", "pro", 5);
    decision.charge(4);
    expect(standing(limiter)).toEqual({ limit: 10, remaining: 0, overage: 7 });
    decision.settle(3);
    expect(standing(limiter)).toEqual({ limit: 10, remaining: 0, overage: 1 });
    const last = limiter.consume("k", "pro", 2);
    expect(last.limits[0]?.overage).toBe(3);
    last.refund();
    expect(standing(limiter)).toEqual({ limit: 10, remaining: 0, overage: 1 });
  });

  it("is told of each decision of a batch and of several subjects", () => {
    const { limiter } = open({ engine, tiers: tiersOf(month(2, 5)) });
    const batch = limiter.consumeMany(["k", "k", "k"], "pro");
    expect(batch.map(({ limits }) => limits[0]?.overage)).toEqual([0, 0, 1]);
    const { decisions } = limiter.consumeAll([
      { key: "k", tier: "pro" },
      { key: "l", tier: "pro", cost: 3 },
    ]);
    expect(decisions.map(({ limits }) => limits[0]?.overage)).toEqual([2, 1]);
    expect(JSON.parse(JSON.stringify(batch[2])).limits[0].overage).toBe(1);
  });

  it("goes along with a change of plan and with a reload, since what was used does", () => {
    const plans = { pro: { limits: [month(10, 5)] }, large: { limits: [month(20, 5)] }, free: { limits: [month(10)] } };
    const { limiter } = open({ engine, tiers: plans });
    limiter.consume("k", "pro", 13);
    expect(standing(limiter, "large")).toEqual({ limit: 20, remaining: 7, overage: 0 });
    expect(standing(limiter, "free")).toEqual({ limit: 10, remaining: 0, overage: undefined });
    expect(limiter.consume("k", "free").allowed).toBe(false);
    limiter.reload({ ...plans, pro: { limits: [month(12, 2)] } });
    expect(limiter.tiers["pro"]).toEqual({ limits: [month(12, 2)] });
    expect(standing(limiter)).toEqual({ limit: 12, remaining: 0, overage: 1 });
    expect([limiter.consume("k", "pro").allowed, limiter.consume("k", "pro").allowed]).toEqual([true, false]);
  });

  it("may be all that a plan has", () => {
    const { limiter } = open({ engine, tiers: tiersOf(month(0, 2)) });
    const told = [1, 1, 1].map((cost) => limiter.consume("k", "pro", cost));
    expect(told.map(({ allowed }) => allowed)).toEqual([true, true, false]);
    expect(standing(limiter)).toEqual({ limit: 0, remaining: 0, overage: 2 });
    expect(Number.isFinite(told[2]?.retryAfterMs)).toBe(true);
  });

  it("comes after tokens that were granted, of which none can be kept", () => {
    const { limiter } = open({ engine, tiers: tiersOf(month(10, 5)) });
    limiter.grant("k", "pro", 4);
    limiter.consume("k", "pro", 13);
    expect(standing(limiter)).toEqual({ limit: 10, remaining: 1, overage: 0 });
    limiter.consume("k", "pro", 3);
    expect(standing(limiter)).toEqual({ limit: 10, remaining: 0, overage: 2 });
    const message = "keep is true; it may be left out for month, since what is beyond its limit is overage";
    const kept = () => limiter.grant("k", "pro", 4, { keep: true });
    expect(kept).toThrow(expect.objectContaining({ code: "ERR_GRANT_INVALID", message }));
  });

  it("counts what a shadow limit would have denied", () => {
    const shadow = { ...month(2, 1), shadow: true };
    const { limiter } = open({ engine, tiers: tiersOf(shadow) });
    const denials = [1, 1, 1, 1].map((cost) => limiter.consume("k", "pro", cost).shadowDenials);
    expect(denials).toEqual([[], [], [], ["month"]]);
    expect(limiter.tiers["pro"]).toEqual({ limits: [shadow] });
  });

  // biome-ignore format: a table
  it.each<[Overrides, used: number, told: object, most: number]>([
    [{ month: { limit: 20 } },                       22, { limit: 20, remaining: 0, overage: 2 }, 25],
    [{ month: { overage: { max: 50 } } },            40, { limit: 10, remaining: 0, overage: 30 }, 60],
    [{ month: { limit: 20, overage: { max: 0.5 } } }, 20.5, { limit: 20, remaining: 0, overage: 0.5 }, 20.5],
    [{ month: { overage: null } },                   10, { limit: 10, remaining: 0, overage: undefined }, 10],
    [{ month: { limit: 3, overage: null } },         1,  { limit: 3, remaining: 2, overage: undefined }, 3],
  ])("may be a caller's own: %j", (overrides, used, told, most) => {
    const { limiter } = open({ engine, tiers: tiersOf(month(10, 5)) });
    const own = overriddenTier("pro", overrides);
    limiter.consume("k", own, used);
    expect(standing(limiter, own)).toEqual(told);
    expect(limiter.maxCost(own)).toBe(most);
  });

  it("may be a caller's own of a quota that has none", () => {
    const { limiter } = open({ engine, tiers: tiersOf(month(10)) });
    const own = overriddenTier("pro", { month: { overage: { max: 5 } } });
    limiter.consume("k", own, 12);
    expect(standing(limiter, own)).toEqual({ limit: 10, remaining: 0, overage: 2 });
  });

  it("is in the fields of an answer: the X- ones have it, the others what is left up to the limit", () => {
    const { limiter } = open({ engine, tiers: tiersOf(minute, month(10, 5)) });
    const told = (cost: number) => {
      const fields = Object.fromEntries(fieldsOf(limiter.consume("k", "pro", cost), { x: "delta" }));
      const left = /"month";r=(\d+)/.exec(fields["ratelimit"] ?? "")?.[1];
      return [
        left,
        fields["x-quota-monthly-remaining"],
        fields["x-quota-overage"],
        /"month";q=(\d+)/.exec(fields["ratelimit-policy"] ?? "")?.[1],
      ];
    };
    expect([told(9.5), told(0.5), told(0.001), told(1), told(4)]).toEqual([
      ["0", "0", "0", "10"],
      ["0", "0", "0", "10"],
      ["0", "0", "1", "10"],
      ["0", "0", "2", "10"],
      ["0", "0", "2", "10"],
    ]);
    expect(Object.fromEntries(fieldsOf(limiter.consume("l", "pro")))).not.toHaveProperty("x-quota-overage");
  });

  it.each<[string, LimitSpec[], string | undefined]>([
    ["the monthly one's", [day(1, 9), month(2, 9)], "1"],
    ["the first one's where the month has none", [month(5), day(1, 9)], "2"],
    ["the first one's where there is no month", [day(1, 9), { ...day(2, 9), name: "workday" }], "2"],
    ["nobody's where there is none", [month(50)], undefined],
  ])("is in one field: %s", (_, limits, overage) => {
    const { limiter } = open({ engine, tiers: tiersOf(...limits) });
    const fields = Object.fromEntries(fieldsOf(limiter.consume("k", "pro", 3), { x: "epoch" }));
    expect(fields["x-quota-overage"]).toBe(overage);
  });
});

describe("overage that can't be meant", () => {
  const at = "tiers.pro.limits[0].overage";
  const number = (most: number) => `a number above 0, at most ${most}, with at most three decimals`;
  const object = "an object with max, the tokens beyond the limit";
  // biome-ignore format: a table
  it.each<[unknown, string]>([
    [{ max: 0 },          `${at}.max is 0; it may be ${number(2_251_799_813_675.248)}`],
    [{ max: -1 },         `${at}.max is -1; it may be ${number(2_251_799_813_675.248)}`],
    [{ max: 0.0001 },     `${at}.max is 0.0001; it may be ${number(2_251_799_813_675.248)}`],
    [{ max: "5" },        `${at}.max is "5"; it may be ${number(2_251_799_813_675.248)}`],
    [{ max: Number.NaN }, `${at}.max is NaN; it may be ${number(2_251_799_813_675.248)}`],
    [{ max: 2_251_799_813_675.5 }, `${at}.max is 2251799813675.5; it may be ${number(2_251_799_813_675.248)}`],
    [{},                  `${at}.max is undefined; it may be ${number(2_251_799_813_675.248)}`],
    [{ max: 5, min: 1 },  `${at}.min is an unknown field; it may be one of max`],
    [5,                   `${at} is 5; it may be ${object}`],
    [true,                `${at} is true; it may be ${object}`],
    [null,                `${at} is null; it may be ${object}`],
    [[5],                 `${at} is an array; it may be ${object}`],
    [{ get max() { return 5; } }, `${at}.max is a getter; it may be a value`],
  ])("%j", (overage, message) => {
    const limit = { ...month(10), overage } as unknown as LimitSpec;
    expect(() => open({ tiers: tiersOf(limit) })).toThrow(expect.objectContaining({ code: "ERR_TIERS_INVALID", message }));
  });

  it("of a bucket, or of calls at the same time", () => {
    const bucket = { ...minute, overage: { max: 5 } } as LimitSpec;
    const places = {
      name: "running",
      type: "concurrency",
      limit: 2,
      timeoutSeconds: 5,
      overage: { max: 5 },
    } as LimitSpec;
    for (const limit of [bucket, places])
      expect(() => open({ tiers: tiersOf(limit) })).toThrow(
        `${at} is an unknown field; it may be one of name, type, limit`,
      );
  });

  // biome-ignore format: a table
  it.each<[unknown, string]>([
    [{ month: { overage: 5 } },                  "overrides.month.overage is 5; it may be an object with max, or null for none"],
    [{ month: { overage: { max: 0 } } },         "overrides.month.overage.max is 0; it may be a number above 0, at most 2251799813685.248, with at most three decimals"],
    [{ month: { overage: { most: 5 } } },        "overrides.month.overage.most is an unknown field; it may be max"],
    [{ minute: { overage: { max: 5 } } },        "overrides.minute.overage is of type object; it may be left out for a bucket"],
    [{ month: { overage: { max: 2_251_799_813_685 } } }, "overrides.month.overage.max is 2251799813685; it may be a number above 0, at most 2251799813675.248, with at most three decimals"],
  ])("of one caller's own: %j", (overrides, message) => {
    const { limiter } = open({ tiers: tiersOf(minute, month(10, 5)) });
    const consume = () => limiter.consume("k", overriddenTier("pro", overrides as Overrides));
    expect(consume).toThrow(expect.objectContaining({ code: "ERR_OVERRIDES_INVALID", message }));
  });

  it("is not changed by whoever has given it", () => {
    const overage = { max: 5 };
    const { limiter } = open({ tiers: tiersOf({ ...month(10), overage }) });
    overage.max = 500;
    expect(limiter.tiers["pro"]).toEqual({ limits: [month(10, 5)] });
  });
});
