import { describe, expect, it } from "vitest";
import { admitted, ENGINES, open, remaining } from "./engines.js";

const tiers = {
  t: {
    limits: [
      { name: "minute", type: "bucket" as const, limit: 10, windowSeconds: 60, burst: 1 },
      { name: "month", type: "quota" as const, limit: 15, period: "month" as const },
    ],
  },
};

describe.each(ENGINES)("atomicity of the %s engine", (engine) => {
  it("a denied call spends nothing, whichever limit denies", () => {
    const { limiter, clock } = open({ engine, tiers });
    expect(admitted(limiter, "k", "t", 100)).toBe(10);
    expect(remaining(limiter, "k", "t", "month")).toBe(5);
    clock.now += 60_000;
    expect(admitted(limiter, "k", "t", 100)).toBe(5);
    expect(remaining(limiter, "k", "t", "minute")).toBe(5);
  });

  it("a peek spends nothing, starts nothing and converts nothing", () => {
    const { limiter, clock } = open({ engine });
    expect(limiter.peek("k", "free", 100).allowed).toBe(true);
    expect(limiter.stats().keys).toBe(0);
    clock.now += 3_600_000;
    expect(remaining(limiter, "k", "free", "minute")).toBe(100);
    limiter.consume("k", "free", 100);
    limiter.peek("k", "pro", 1);
    clock.now += 600;
    expect(remaining(limiter, "k", "free", "minute")).toBe(1);
  });

  it("a cost of 0 passes and touches nothing, even where nothing is left", () => {
    const { limiter } = open({ engine });
    limiter.consume("k", "free", 0);
    expect(limiter.stats().keys).toBe(0);
    admitted(limiter, "k", "free", 100);
    expect(limiter.consume("k", "free", 0).allowed).toBe(true);
  });

  it("a refund gives back once", () => {
    const { limiter } = open({ engine });
    const decision = limiter.consume("k", "free", 60);
    limiter.consume("k", "free", 40);
    expect([decision.refund(), decision.refund(), decision.settle(0)]).toEqual([true, false, false]);
    expect(remaining(limiter, "k", "free", "minute")).toBe(60);
    expect(remaining(limiter, "k", "free", "month")).toBe(49_960);
  });

  it("a denial and a peek have nothing to refund", () => {
    const { limiter } = open({ engine });
    admitted(limiter, "k", "free", 100);
    expect(limiter.consume("k", "free").refund()).toBe(false);
    expect(limiter.peek("k", "free", 0).refund()).toBe(false);
    expect(remaining(limiter, "k", "free", "minute")).toBe(0);
  });

  it("a refund in the new month does not credit it", () => {
    const { limiter, clock } = open({ engine });
    const decision = limiter.consume("k", "free", 60);
    clock.now = Date.UTC(2026, 6, 1);
    limiter.consume("k", "free", 5);
    decision.refund();
    expect(remaining(limiter, "k", "free", "month")).toBe(49_995);
  });

  it("a refund of the quotas leaves the rate as it is", () => {
    const { limiter } = open({ engine });
    limiter.consume("k", "free", 60).refund("quotas");
    expect(remaining(limiter, "k", "free", "minute")).toBe(40);
    expect(remaining(limiter, "k", "free", "month")).toBe(50_000);
  });

  it("settling gives back what was not needed and charges the rest even past empty", () => {
    const { limiter, clock } = open({ engine });
    limiter.consume("k", "free", 60).settle(1.5);
    expect(remaining(limiter, "k", "free", "minute")).toBe(98.5);
    limiter.consume("k", "free", 90).settle(160);
    expect(remaining(limiter, "k", "free", "minute")).toBe(0);
    expect(remaining(limiter, "k", "free", "month")).toBe(50_000 - 161.5);
    // 61.5 tokens in debt: a call needs 62.5 of them, at 600 ms each.
    expect(limiter.consume("k", "free").retryAfterMs).toBe(37_500);
    clock.now += 37_500;
    expect(limiter.consume("k", "free").allowed).toBe(true);
  });

  it("a batch of calls is decided in order, each on its own", () => {
    const { limiter } = open({ engine, tiers });
    const decisions = limiter.consumeMany(["a", "b", "a"], "t", [10, 3, 1]);
    expect(decisions.map(({ allowed }) => allowed)).toEqual([true, true, false]);
  });

  it("a batch with misuse in it spends nothing", () => {
    const { limiter } = open({ engine, tiers });
    expect(() => limiter.consumeMany(["a", "b"], "t", [1, -1])).toThrow("cost is -1");
    expect(() => limiter.consumeMany(["a", "b"], ["t"], 1)).toThrow("tiers is 1 items long");
    expect(limiter.stats().keys).toBe(0);
  });
});
