import { describe, expect, it } from "vitest";
import { createLimiter, type LimiterOptions, type Tiers } from "../../../src/index.js";
import { ENGINES, open, TIERS } from "./engines.js";

const minute = { name: "minute", type: "bucket", limit: 1, windowSeconds: 60, burst: 1 } as const;
const limits = (...names: string[]) => ({ limits: names.map((name) => ({ ...minute, name })) });

describe.each(ENGINES)("misuse of the %s engine", (engine) => {
  it.each([
    ["a string of 0 UTF-16 units", ""],
    ["a string of 513 UTF-16 units", "x".repeat(513)],
    ["of type number", 42],
    ["of type undefined", undefined],
  ])("a key that is %s is refused", (shown, key) => {
    const { limiter } = open({ engine });
    for (const call of [() => limiter.consume(key as string, "free"), () => limiter.reset(key as string)]) {
      expect(call).toThrow(
        expect.objectContaining({ code: "ERR_KEY_INVALID", message: expect.stringContaining(shown) }),
      );
    }
    expect(limiter.stats().keys).toBe(0);
  });

  it("the longest key is taken", () => {
    const { limiter } = open({ engine });
    expect(limiter.consume("\u0142".repeat(512), "free").allowed).toBe(true);
    expect(limiter.peek(`${"\u0142".repeat(511)}m`, "free").limits[0]?.remaining).toBe(100);
  });

  it.each([-1, Number.NaN, 1.0001, Number.POSITIVE_INFINITY, "2", null])("a cost of %j is refused", (cost) => {
    const { limiter } = open({ engine });
    const refused = expect.objectContaining({ code: "ERR_COST_INVALID" });
    expect(() => limiter.consume("k", "free", cost as number)).toThrow(refused);
    expect(() => limiter.consume("k", "free").settle(cost as number)).toThrow(refused);
  });

  it("a cost above what a limit can ever hold is refused, with the most that can pass", () => {
    const { limiter } = open({ engine });
    expect(limiter.consume("k", "free", 100).allowed).toBe(true);
    expect(limiter.consume("k", "free", 150).allowed).toBe(false);
    const refused = { code: "ERR_COST_EXCEEDS_CAPACITY", message: expect.stringContaining("at most 150") };
    expect(() => limiter.consume("k", "free", 150.001)).toThrow(expect.objectContaining(refused));
    expect(() => limiter.peek("k", "free", 151)).toThrow(expect.objectContaining(refused));
    expect([limiter.maxCost("free"), limiter.maxCost("enterprise")]).toEqual([150, Number.POSITIVE_INFINITY]);
  });

  it("an unknown tier is refused, with those that there are", () => {
    const { limiter } = open({ engine });
    const refused = {
      code: "ERR_TIER_UNKNOWN",
      message: "tier is gold; it may be one of free, pro, enterprise, anonymous",
    };
    expect(() => limiter.consume("k", "gold")).toThrow(expect.objectContaining(refused));
  });

  it.each([Number.NaN, -5, 2 ** 43, "now"])("a clock that says %j is refused", (now) => {
    const { limiter } = open({ engine, clock: () => now as number });
    expect(() => limiter.consume("k", "free")).toThrow(expect.objectContaining({ code: "ERR_CLOCK_INVALID" }));
  });

  it("a closed limiter is refused, and may be closed again", async () => {
    const { limiter } = open({ engine });
    const decision = limiter.consume("k", "free");
    expect(limiter.isReady).toBe(true);
    await limiter.ready();
    await limiter.close();
    await limiter.close();
    expect(limiter.isReady).toBe(false);
    const closed = expect.objectContaining({ code: "ERR_LIMITER_CLOSED" });
    for (const call of [() => limiter.consume("k", "free"), () => limiter.peek("k", "free"), () => limiter.stats()]) {
      expect(call).toThrow(closed);
    }
    await expect(limiter.flush()).rejects.toThrow(closed);
    await expect(limiter.ready()).rejects.toThrow(closed);
    expect(() => decision.refund()).not.toThrow();
  });

  it("a reload with bad tiers changes nothing, one with good tiers holds from the next decision", () => {
    const { limiter } = open({ engine });
    limiter.consume("k", "free", 50);
    expect(() => limiter.reload({ free: { limits: [{ ...minute, burst: 0 }] } })).toThrow("tiers.free.limits[0].burst");
    expect(limiter.peek("k", "free").limits[0]?.remaining).toBe(50);
    limiter.reload({ ...TIERS, free: { limits: [{ ...minute, limit: 10, burst: 1.5 }] } });
    // Of 150 tokens 100 were spent or not yet there, and the fraction is kept.
    expect(limiter.peek("k", "free").limits).toEqual([{ name: "minute", limit: 10, remaining: 5, resetMs: 60_000 }]);
    limiter.reload({ pro: TIERS.pro });
    expect(() => limiter.consume("k", "free")).toThrow(expect.objectContaining({ code: "ERR_TIER_UNKNOWN" }));
  });

  it("a reload can't bring more names than the limiter was opened for", () => {
    const { limiter } = open({ engine });
    expect(() => limiter.reload({ t: limits("minute", "second", "hour") })).toThrow("at most 2 limits apart by name");
    const { limiter: wide } = open({ engine, tiers: { t: limits("a", "b", "c") } });
    wide.reload({ t: limits("a", "d") });
    expect(() => wide.reload({ t: limits("e") })).toThrow("it may be one of a, b, c, d");
    const { limiter: widest } = open({ engine, tiers: { t: limits("a", "b", "c", "d", "e") } });
    widest.reload({ t: limits("f", "g", "h") });
    expect(() => widest.reload({ t: limits("i") })).toThrow("it may be one of a, b, c, d, e, f, g, h");
  });
});

describe("tiers", () => {
  it.each(["", "x".repeat(65), "gold\n", "gö→ld", "two words", "a,b", 'free{"minute":null}'])(
    "of the name %j are refused: no header field could carry it, or it would be taken for another",
    (name) => {
      expect(() => createLimiter({ tiers: { [name]: { limits: [] } } })).toThrow(
        `tiers.${name} is ${name || '""'}; it may be a name of 1 to 64 visible ASCII characters`,
      );
    },
  );

  it.each<[string, unknown, string]>([
    ["no tiers", {}, "tiers is {}; it may be at least one tier"],
    ["no object", null, "tiers is null"],
    ["a tier without limits", { t: {} }, "tiers.t.limits is undefined; it may be an array of limits"],
    [
      "a ninth name",
      { a: limits("a", "b", "c", "d", "e", "f"), b: limits("g", "h", "i") },
      "tiers.b.limits[2].name is i; it may be one of a, b, c, d, e, f, g, h",
    ],
    [
      "a burst of 0",
      { t: { limits: [{ ...minute, burst: 0 }] } },
      "tiers.t.limits[0].burst is 0; it may be a number above 0",
    ],
    [
      "a burst in which nothing fits",
      { t: { limits: [{ ...minute, limit: 0.001, burst: 0.999 }] } },
      "tiers.t.limits[0]: limit × burst is less than 0.001",
    ],
    ["two limits of one name", { t: limits("a", "a") }, "tiers.t.limits is a; it may be limits of different names"],
    ["a window of 0", { t: { limits: [{ ...minute, windowSeconds: 0 }] } }, "tiers.t.limits[0].windowSeconds is 0"],
    [
      "a limit below 0",
      { t: { limits: [{ ...minute, limit: -0.001 }] } },
      "tiers.t.limits[0].limit is -0.001; it may be a number from 0",
    ],
    ["a limit with four decimals", { t: { limits: [{ ...minute, limit: 0.0001 }] } }, "at most three decimals"],
    ["a limit of text", { t: { limits: [{ ...minute, limit: "5" }] } }, 'tiers.t.limits[0].limit is "5"'],
    [
      "an unknown type",
      { t: { limits: [{ ...minute, type: "window" }] } },
      'tiers.t.limits[0].type is window; it may be "bucket", "quota" or "concurrency"',
    ],
    ["an unknown field", { t: { limits: [{ ...minute, brust: 2 }] } }, "tiers.t.limits[0].brust is an unknown field"],
    ["a bad name", { t: { limits: [{ ...minute, name: "per minute" }] } }, "tiers.t.limits[0].name is per minute"],
    [
      "an unknown period",
      { t: { limits: [{ name: "w", type: "quota", limit: 1, period: "fortnight" }] } },
      "tiers.t.limits[0].period is fortnight; it may be hour, day, week, month, year, once",
    ],
    [
      "an anchor of 32",
      { t: { limits: [{ name: "m", type: "quota", limit: 1, period: "month", anchorDay: 32 }] } },
      "anchorDay is 32",
    ],
    [
      "an anchored day",
      { t: { limits: [{ name: "d", type: "quota", limit: 1, period: "day", anchorDay: 2 }] } },
      "left out for a day",
    ],
    ...(
      [
        [
          "an anchor of 8 of a week",
          { period: "week", anchorDay: 8 },
          "anchorDay is 8; it may be a day of the week, 1 (Monday) to 7 (Sunday)",
        ],
        ["an anchor of 0 of a week", { period: "week", anchorDay: 0 }, "anchorDay is 0; it may be a day of the week"],
        [
          "an anchor of half a day",
          { period: "week", anchorDay: 1.5 },
          "anchorDay is 1.5; it may be a day of the week",
        ],
        ["an anchor as text", { period: "week", anchorDay: "1" }, 'anchorDay is "1"; it may be a day of the week'],
        ["an anchor of month 13", { period: "year", anchorMonth: 13 }, "anchorMonth is 13; it may be a month, 1 to 12"],
        ["an anchor day of a year", { period: "year", anchorDay: 1 }, "anchorDay is 1; it may be left out for a year"],
        [
          "an anchor month of a month",
          { period: "month", anchorMonth: 1 },
          "anchorMonth is 1; it may be left out for a month",
        ],
        ["an anchored hour", { period: "hour", anchorDay: 1 }, "anchorDay is 1; it may be left out for an hour"],
        [
          "an anchor of once",
          { period: "once", anchorMonth: 1 },
          "anchorMonth is 1; it may be left out for one that never begins anew",
        ],
      ] as const
    ).map(([title, period, message]): [string, unknown, string] => [
      title,
      { t: { limits: [{ name: "q", type: "quota", limit: 1, ...period }] } },
      `tiers.t.limits[0].${message}`,
    ]),
    [
      "a name of two kinds",
      { a: limits("m"), b: { limits: [{ name: "m", type: "quota", limit: 1, period: "day" }] } },
      'tiers.b.limits[0] is a day quota named "m"',
    ],
    [
      "what is too fine to count",
      { t: { limits: [{ ...minute, limit: 9_999_999_999.999, windowSeconds: 86_399.999 }] } },
      "too fine to count exactly",
    ],
  ])("%s: refused, by name", (_, tiers, message) => {
    for (const engine of ENGINES) {
      expect(() => createLimiter({ tiers: tiers as Tiers, engine })).toThrow(
        expect.objectContaining({ code: "ERR_TIERS_INVALID", message: expect.stringContaining(message) }),
      );
    }
  });
});

describe("options", () => {
  it.each<[string, object]>([
    ["name", { name: "" }],
    ["engine", { engine: "wasm" }],
    ["maxKeys", { maxKeys: 0 }],
    ["maxKeys", { maxKeys: 1.5 }],
    ["clock", { clock: 5 }],
    ["storage.type", { storage: { type: "disk" } }],
    ["storage.type", { storage: null }],
    ["storage.path", { storage: { type: "file", path: "" } }],
    ["storage.flushMs", { storage: { type: "file", path: "x", flushMs: 5 } }],
    ["onStorageError", { onStorageError: true }],
    ["maxkeys", { maxkeys: 5 }],
  ])("%s is checked", (option, options) => {
    expect(() => createLimiter({ tiers: TIERS, ...options } as LimiterOptions)).toThrow(
      expect.objectContaining({ code: "ERR_OPTION_INVALID", message: expect.stringContaining(`${option} is `) }),
    );
  });

  it("the JavaScript engine can't store and takes no more keys than a Map", () => {
    const file = { type: "file", path: "never-made.redb" } as const;
    const needsNative = expect.objectContaining({ code: "ERR_STORAGE_NEEDS_NATIVE" });
    expect(() => createLimiter({ tiers: TIERS, engine: "js", storage: file })).toThrow(needsNative);
    expect(() => createLimiter({ tiers: TIERS, engine: "js", maxKeys: 2 ** 30 })).toThrow("at most 16000000");
  });
});
