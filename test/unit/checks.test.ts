import { describe, expect, it, onTestFinished } from "vitest";
import { checkTiers, createLimiter, maxKeysOf, nativeEngine, type Tiers } from "../../src/index.js";

const TIERS: Tiers = { free: { limits: [{ name: "minute", type: "bucket", limit: 2, windowSeconds: 60, burst: 1 }] } };

function thrown(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

describe("nativeEngine", () => {
  it("says what engine a limiter gets, and why it is another", () => {
    const limiter = createLimiter({ tiers: TIERS });
    onTestFinished(() => limiter.close());
    expect(nativeEngine().isAvailable).toBe(limiter.engine === "native");
    expect(nativeEngine().reason).toBe(limiter.fallbackReason);
  });
});

describe("maxKeysOf", () => {
  it.each(["native", "js"] as const)("is the most that a limiter takes: %s", (engine) => {
    const open = (maxKeys: number) => createLimiter({ tiers: TIERS, engine, maxKeys });
    expect(() => open(maxKeysOf(engine) + 1)).toThrow(expect.objectContaining({ code: "ERR_OPTION_INVALID" }));
    onTestFinished(() => open(maxKeysOf(engine)).close());
  });
});

describe("checkTiers", () => {
  it.each<[string, unknown]>([
    ["none", {}],
    ["a limit of no type", { free: { limits: [{ name: "minute" }] } }],
    ["a getter", { free: Object.defineProperty({}, "limits", { get: () => [], enumerable: true }) }],
  ])("refuses what createLimiter refuses, in the same words: %s", (_, tiers) => {
    const refused = thrown(() => createLimiter({ tiers: tiers as Tiers }));
    expect(refused).toMatchObject({ code: "ERR_TIERS_INVALID" });
    expect(thrown(() => checkTiers(tiers as Tiers))).toEqual(refused);
  });

  it("gives a copy that nobody else can change", () => {
    const limits = [...(TIERS["free"]?.limits ?? [])];
    const checked = checkTiers({ free: { limits } });
    limits.length = 0;
    expect(checked).toEqual(TIERS);
  });
});
