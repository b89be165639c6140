import { afterEach, describe, expect, it, vi } from "vitest";
import { admitted, ENGINES, NOON, open, remaining } from "./engines.js";

const month = (limit: number, anchorDay: number) =>
  ({ t: { limits: [{ name: "month", type: "quota", limit, period: "month", anchorDay }] } }) as const;

afterEach(() => void vi.useRealTimers());

describe.each(ENGINES)("corrections of the %s engine", (engine) => {
  it("a debt is the whole debt", () => {
    const { limiter, clock } = open({ engine });
    limiter.consume("k", "free").settle(10_000);
    // 100 tokens less 10,000, and one for the call, at 600 ms each.
    expect(limiter.consume("k", "free").retryAfterMs).toBe(9901 * 600);
    clock.now += 9901 * 600;
    expect(limiter.consume("k", "free").allowed).toBe(true);
  });

  it("a call that cost nothing can be settled to what it did cost", () => {
    const { limiter } = open({ engine });
    expect(limiter.consume("new", "free", 0).settle(50)).toBe(true);
    expect(remaining(limiter, "new", "free", "minute")).toBe(50);
  });

  it("a call is charged the rest though its key was forgotten, even where there is no room", () => {
    const { limiter } = open({ engine, maxKeys: 1 });
    const decision = limiter.consume("k", "anonymous");
    limiter.reset("k");
    limiter.consume("other", "anonymous");
    decision.settle(21);
    expect(limiter.consume("third", "anonymous").limits[0]?.remaining).toBe(30 - 20 - 1);
  });

  it("a refund counts by the tier that was charged, whatever a reload has made of it", () => {
    const { limiter } = open({ engine, tiers: month(10, 1) });
    const first = limiter.consume("k", "t", 5);
    limiter.reload(month(20, 1));
    first.refund();
    expect(remaining(limiter, "k", "t", "month")).toBe(20);
    const second = limiter.consume("k", "t", 5);
    limiter.reload({ other: month(20, 1).t });
    expect(second.refund()).toBe(true);
    expect(remaining(limiter, "k", "other", "month")).toBe(20);
  });

  it("a quota goes on where the periods of two anchors are one", () => {
    const tiers = { a: month(10, 28).t, b: month(10, 30).t };
    const { limiter, clock } = open({ engine, tiers });
    clock.now = Date.UTC(2031, 2, 10);
    limiter.consume("k", "a", 7);
    clock.now = Date.UTC(2031, 2, 28);
    // Under b the period is still the one of February 28 to March 30.
    expect(limiter.peek("k", "b").limits[0]?.remaining).toBe(3);
    expect(limiter.consume("k", "b", 3).limits[0]?.remaining).toBe(0);
  });

  it("months before 1970 have no start to tell apart", () => {
    const { limiter, clock } = open({ engine, tiers: { a: month(10, 15).t, b: month(10, 20).t } });
    clock.now = 0;
    limiter.consume("k", "a", 6);
    expect(limiter.peek("k", "b").limits[0]?.remaining).toBe(4);
  });

  it("a clock that fails costs no refund and ends no process", () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    let now: number = NOON;
    const { limiter } = open({ engine, clock: () => now });
    const decision = limiter.consume("k", "free", 60);
    now = Number.NaN;
    expect(() => decision.refund()).toThrow(expect.objectContaining({ code: "ERR_CLOCK_INVALID" }));
    vi.advanceTimersByTime(1000); // The sweep asks the clock too.
    now = NOON;
    expect(decision.refund()).toBe(true);
    expect(remaining(limiter, "k", "free", "minute")).toBe(100);
  });

  it("only all or the quotas can be refunded", () => {
    const { limiter } = open({ engine });
    const decision = limiter.consume("k", "free", 60);
    expect(() => decision.refund("quota" as "quotas")).toThrow(expect.objectContaining({ code: "ERR_OPTION_INVALID" }));
    expect(decision.refund()).toBe(true);
  });

  it("after a close nothing is refunded, and nothing says that it was", async () => {
    const { limiter } = open({ engine });
    const decision = limiter.consume("k", "free", 60);
    await limiter.close();
    expect(decision.refund()).toBe(false);
    expect(() => limiter.records).toThrow(expect.objectContaining({ code: "ERR_LIMITER_CLOSED" }));
  });

  it("a peek says what the shared bucket would, where a new key finds no room", () => {
    const { limiter } = open({ engine, maxKeys: 1 });
    limiter.consume("only", "anonymous");
    admitted(limiter, "second", "anonymous", 30);
    expect(limiter.peek("third", "anonymous")).toMatchObject({ allowed: false, overflowed: true });
  });

  it("a small table keeps idle keys as long as a quarter of it is free", () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const { limiter, clock } = open({ engine, maxKeys: 8 });
    for (let key = 0; key < 6; key++) limiter.consume(`k${key}`, "anonymous");
    clock.now += 3_600_000;
    vi.advanceTimersByTime(10_000); // A hundred sweeps.
    expect(limiter.stats()).toMatchObject({ keys: 6, evictions: 0 });
  });

  it("a batch of calls is checked for what it is", () => {
    const { limiter } = open({ engine });
    for (const [keys, tiers, costs] of [
      ["ab", "free", 1],
      [null, "free", 1],
      [["a"], null, 1],
      [["a"], "free", null],
    ]) {
      expect(() => limiter.consumeMany(keys as string[], tiers as string, costs as number)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_/) }),
      );
    }
  });
});
