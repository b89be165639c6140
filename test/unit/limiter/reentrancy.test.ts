import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter, type Decision, type Limiter, type Tiers } from "../../../src/index.js";
import { ENGINES, NOON, open, remaining } from "./engines.js";

const bucket = (limit: number) => ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1 }) as const;
const tiers = (limit: number): Tiers => ({ free: { limits: [bucket(limit)] } });

/** A limiter whose clock does something else as well, once. */
function withClock(engine: (typeof ENGINES)[number], limit = 10) {
  const aside: { run: ((limiter: Limiter) => void) | undefined } = { run: undefined };
  const limiter: Limiter = createLimiter({
    engine,
    tiers: tiers(limit),
    clock: () => {
      const { run } = aside;
      aside.run = undefined;
      run?.(limiter);
      return NOON;
    },
  });
  onTestFinished(() => limiter.close());
  return { limiter, aside };
}

describe.each(ENGINES)("somebody else's code within a call, %s engine", (engine) => {
  it("may reload the tiers from the clock: the decision is in the units of the tiers that made it", () => {
    const { limiter, aside } = withClock(engine, 1000);
    limiter.consume("k", "free", 500);
    aside.run = () => limiter.reload(tiers(10));
    expect(limiter.consume("k", "free").limits).toMatchObject([{ limit: 10, remaining: 4 }]);
    aside.run = () => limiter.reload(tiers(1000));
    expect(limiter.consumeMany(["k"], "free")[0]?.limits).toMatchObject([{ limit: 1000, remaining: 399 }]);
    aside.run = () => limiter.reload(tiers(10));
    const { decisions } = limiter.consumeAll([{ key: "k", tier: "free" }]);
    expect(decisions[0]?.limits).toMatchObject([{ limit: 10, remaining: 2.99 }]);
  });

  it("may correct the same decision from the clock, which counts once", () => {
    const { limiter, aside } = withClock(engine);
    limiter.consume("k", "free", 3);
    const decision = limiter.consume("k", "free", 4);
    aside.run = () => void decision.refund();
    expect(decision.refund()).toBe(false);
    expect(remaining(limiter, "k", "free", "minute")).toBe(7);
  });

  it("may call the limiter from the arrays of a batch", () => {
    const { limiter } = open({ engine, tiers: tiers(10) });
    const keys = ["k"];
    Object.defineProperty(keys, 0, {
      get: () => {
        limiter.consume("other", "free", 0);
        return "k";
      },
    });
    for (let call = 0; call < 10; call++) expect(limiter.consumeMany(keys, "free")[0]?.allowed).toBe(true);
    expect(limiter.consumeMany(keys, "free")[0]?.allowed).toBe(false);
  });

  it("may have its own way to join the keys of a batch", () => {
    const { limiter } = open({ engine, tiers: tiers(10) });
    const keys = Object.assign(["a", "b"], { join: () => "X" });
    expect(limiter.consumeMany(keys, "free").map(({ allowed }: Decision) => allowed)).toEqual([true, true]);
    expect(remaining(limiter, "X", "free", "minute")).toBe(10);
  });

  it.each([0, 64])("may leave a tier and a cost out of a batch, at %i, and gets nobody in by that", (index) => {
    const { limiter } = open({ engine, tiers: tiers(10) });
    const keys = Array.from({ length: index + 1 }, () => "k");
    const names = keys.map((_, at) => (at === index ? undefined : "free")) as string[];
    const costs = keys.map((_, at) => (at === index ? undefined : 0)) as number[];
    expect(() => limiter.consumeMany(keys, names, costs)).toThrow(
      expect.objectContaining({ code: "ERR_TIER_UNKNOWN" }),
    );
  });

  it("may give a clock that tells big integers, which is refused as any other", () => {
    const limiter = createLimiter({ engine, tiers: tiers(10), clock: (() => 1n) as unknown as () => number });
    onTestFinished(() => limiter.close());
    expect(() => limiter.consume("k", "free")).toThrow(expect.objectContaining({ code: "ERR_CLOCK_INVALID" }));
  });

  it.each(["\ud800", "a\udfff"])("may name nothing with half a surrogate pair: %j", (name) => {
    const code = (code: string) => expect.objectContaining({ code });
    expect(() => createLimiter({ engine, tiers: tiers(1), name })).toThrow(code("ERR_OPTION_INVALID"));
    expect(() => createLimiter({ engine, tiers: { [name]: { limits: [] } } })).toThrow(code("ERR_TIERS_INVALID"));
  });
});
