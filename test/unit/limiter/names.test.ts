import { describe, expect, it } from "vitest";
import { type Limiter, overriddenTier } from "../../../src/index.js";
import { admitted, ENGINES, open, remaining, TIERS } from "./engines.js";

describe.each(ENGINES)("names of limiters on the %s engine", (engine) => {
  it("the same name is the same table", () => {
    const first = open({ engine, name: `same ${engine}` }).limiter;
    const second = open({ engine, name: `same ${engine}` }).limiter;
    expect(admitted(first, "k", "anonymous", 20) + admitted(second, "k", "anonymous", 20)).toBe(30);
  });

  it("a limiter without a name has a table of its own", () => {
    const [first, second] = [open({ engine }).limiter, open({ engine }).limiter];
    expect(admitted(first, "k", "anonymous", 40) + admitted(second, "k", "anonymous", 40)).toBe(60);
  });

  it("the same name with another configuration is an error", () => {
    open({ engine, name: `conflict ${engine}` });
    const conflict = expect.objectContaining({ code: "ERR_NAME_CONFLICT" });
    expect(() => open({ engine, name: `conflict ${engine}`, maxKeys: 5 })).toThrow(conflict);
    expect(() => open({ engine, name: `conflict ${engine}`, tiers: { a: { limits: [] } } })).toThrow(conflict);
  });

  it("a reload by one is seen by the other, in decisions that are already in new units", () => {
    const first = open({ engine, name: `reload ${engine}` }).limiter;
    const second = open({ engine, name: `reload ${engine}` }).limiter;
    second.consume("k", "anonymous", 15);
    const limit = { name: "minute", type: "bucket", limit: 3, windowSeconds: 7, burst: 3 } as const;
    first.reload({ anonymous: { limits: [limit] } });
    // Of 45 tokens 30 were spent or not yet there: of 9 tokens, 6 are.
    expect(second.consume("k", "anonymous").limits).toEqual([
      { name: "minute", limit: 3, remaining: 2, resetMs: 16_334 },
    ]);
    expect(second.tiers).toEqual(first.tiers);
  });

  it("a thread that starts after a reload may open it as all others did, or with the tiers in force", () => {
    const name = `late ${engine}`;
    const first = open({ engine, name }).limiter;
    const reloaded = { ...TIERS, anonymous: { limits: [] } };
    first.reload({ ...TIERS, pro: { limits: [] } });
    first.reload(reloaded);
    first.consume("k", "free", 30);
    for (const tiers of [TIERS, reloaded]) {
      const late = open({ engine, name, tiers }).limiter;
      expect(late.tiers).toEqual(reloaded);
      expect(remaining(late, "k", "free", "minute")).toBe(70);
    }
    const conflict = expect.objectContaining({ code: "ERR_NAME_CONFLICT" });
    expect(() => open({ engine, name, tiers: { free: TIERS.free } })).toThrow(conflict);
  });

  it("a reload that changes nothing makes nothing anew, so that it may come as often as one likes", () => {
    const { limiter } = open({ engine });
    const specs = () =>
      ["free", overriddenTier("free", { minute: { limit: 7 } })].map((t) => limiter.peek("k", t).tierSpec);
    const before = specs();
    limiter.reload(structuredClone(TIERS));
    specs().forEach((spec, index) => void expect(spec).toBe(before[index]));
    limiter.reload({ ...TIERS, pro: { limits: [] } });
    expect(specs()[0]).not.toBe(before[0]);
  });

  it("a reload by one holds for the batches of the other, which spend nothing if it makes a call wrong", () => {
    const hour = (limit: number) => ({
      limits: [{ name: "hour", type: "bucket", limit, windowSeconds: 3600, burst: 1 } as const],
    });
    const name = `batches ${engine}`;
    const [first, second] = [0, 1].map(
      () => open({ engine, name, tiers: { a: hour(1000), b: hour(1000) } }).limiter,
    ) as [Limiter, Limiter];
    // More keys than cross at once, so that the first are decided before the others are asked for.
    const keys = Array.from({ length: 128 }, () => "k");
    const tiers = keys.map((_, index) => (index < 64 ? "a" : "b"));
    const costs = keys.map((_, index) => (index < 64 ? 1 : 900));
    const own = overriddenTier("a", { hour: { limit: 2000 } });
    second.consumeMany(["k", "other"], ["a", own], 0);

    first.reload({ a: hour(1000), b: hour(800) });
    expect(() => second.consumeMany(keys, tiers, costs)).toThrow("tier b holds at most 800");
    first.reload({ a: hour(1000) });
    expect(() => second.consumeMany(keys, tiers)).toThrow(expect.objectContaining({ code: "ERR_TIER_UNKNOWN" }));
    expect(remaining(second, "k", "a", "hour")).toBe(1000);
    first.reload({ a: hour(1500), b: hour(1000) });
    expect(second.consumeMany(["other"], own)[0]?.limits).toMatchObject([{ limit: 2000, remaining: 1999 }]);
    first.reload({ a: hour(1400) });
    expect(second.consumeMany(["more"], "a", 1400)[0]).toMatchObject({ allowed: true });
    first.reload({ a: hour(9000) });
    expect(second.consumeMany(["most"], "a", 9000)[0]).toMatchObject({ allowed: true });
  });

  it("when all have closed it, the name is free", async () => {
    const first = open({ engine, name: `free ${engine}` }).limiter;
    const second = open({ engine, name: `free ${engine}` }).limiter;
    admitted(first, "k", "anonymous", 30);
    await first.close();
    expect(second.consume("k", "anonymous").allowed).toBe(false);
    await second.close();
    expect(open({ engine, name: `free ${engine}`, maxKeys: 5 }).limiter.consume("k", "anonymous").allowed).toBe(true);
  });
});
