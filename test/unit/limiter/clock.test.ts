import { describe, expect, it, onTestFinished, vi } from "vitest";
import { TollkeeperError } from "../../../src/index.js";
import { admitted, ENGINES, NOON, open, remaining } from "./engines.js";

const YEAR = 365 * 86_400_000;
const SECOND = 1000;

describe.each(ENGINES)("a clock that was a year ahead for one reading, %s engine", (engine) => {
  /** A key that was used then, and the clock as it is a second later. */
  function jumped() {
    const opened = open({ engine });
    const { limiter, clock } = opened;
    admitted(limiter, "k", "anonymous", 15);
    clock.now = NOON + YEAR;
    admitted(limiter, "k", "anonymous", 46);
    clock.now = NOON + SECOND;
    return opened;
  }

  it("tells the wait until it is there again and the bucket has refilled, and is right", () => {
    const { limiter, clock } = jumped();
    const denied = limiter.consume("k", "anonymous");
    expect(denied).toMatchObject({ allowed: false, deniedBy: "minute" });
    expect(denied.retryAfterMs).toBe(YEAR - SECOND + 2000);
    expect(denied.limits).toEqual([{ name: "minute", limit: 30, remaining: 0, resetMs: YEAR - SECOND + 90_000 }]);
    expect(limiter.peek("k", "anonymous").retryAfterMs).toBe(denied.retryAfterMs);
    expect(limiter.consumeMany(["k"], "anonymous")[0]?.retryAfterMs).toBe(denied.retryAfterMs);
    clock.now += denied.retryAfterMs - 1;
    expect(limiter.consume("k", "anonymous").retryAfterMs).toBe(1);
    clock.now += 1;
    expect(limiter.consume("k", "anonymous").allowed).toBe(true);
  });

  it("tells so of an allowed call too, and of a quota", () => {
    const { limiter, clock } = open({ engine });
    clock.now = NOON + YEAR;
    limiter.consume("k", "free", 50);
    clock.now = NOON;
    const { limits } = limiter.consume("k", "free", 10);
    const nextMonth = Date.UTC(2027, 6, 1);
    expect(limits.map(({ resetMs }) => resetMs)).toEqual([YEAR + 66_000, nextMonth - NOON]);
  });

  it("ends for a key that is reset, which goes by the clock from then on", () => {
    const { limiter, clock } = jumped();
    limiter.reset("k");
    expect(admitted(limiter, "k", "anonymous", 40)).toBe(30);
    expect(limiter.consume("k", "anonymous").retryAfterMs).toBe(2000);
    clock.now += 2000;
    expect(limiter.consume("k", "anonymous").allowed).toBe(true);
  });

  it("is nothing to the keys that were not used then, not even where a new one finds no room", () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const { limiter, clock } = open({ engine, maxKeys: 4 });
    const keys = ["a", "b", "c", "d"];
    for (const key of keys) limiter.consume(key, "free", 50);
    vi.advanceTimersByTime(100); // The limiter sweeps.
    clock.now = NOON + YEAR;
    expect(limiter.peek("new", "free").overflowed).toBe(true);
    expect(limiter.consume("new", "free").overflowed).toBe(true);
    clock.now = NOON;
    expect(keys.map((key) => remaining(limiter, key, "free", "month"))).toEqual([49_950, 49_950, 49_950, 49_950]);
  });

  it("is nothing to the keys that were not used then", () => {
    const { limiter, clock } = open({ engine });
    admitted(limiter, "other", "anonymous", 30);
    clock.now = NOON + YEAR;
    limiter.consume("k", "anonymous");
    clock.now = NOON + 2 * SECOND;
    expect(limiter.consume("other", "anonymous").allowed).toBe(true);
    expect(limiter.consume("other", "anonymous").retryAfterMs).toBe(2000);
    expect(admitted(limiter, "new", "anonymous", 40)).toBe(30);
  });

  it("is refused if it is no instant at all", () => {
    const { limiter, clock } = open({ engine });
    clock.now = Number.NaN;
    expect(() => limiter.consume("k", "free")).toThrow(TollkeeperError);
    clock.now = NOON;
    expect(remaining(limiter, "k", "free", "minute")).toBe(100);
  });
});
