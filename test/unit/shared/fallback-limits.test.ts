import { expect, it } from "vitest";
import { compileTiers, type Tier } from "../../../src/engine/tier.js";
import type { LimitSpec } from "../../../src/index.js";
import { FallbackLimits } from "../../../src/shared/fallback-limits.js";

const NOW = Date.UTC(2026, 5, 15, 12);
const OPEN = { bucket: "open", quota: "open", concurrency: "open" } as const;
const SHARE = { bucket: "share", quota: "share", concurrency: "share" } as const;

function openFor(limit: LimitSpec, policies: typeof OPEN | typeof SHARE): FallbackLimits {
  const tier = compileTiers({ t: { limits: [limit] } }, new Map()).get("t") as Tier;
  return new FallbackLimits(tier, [0], 3, policies, NOW);
}

it.each<[string, LimitSpec]>([
  ["a bucket", { name: "minute", type: "bucket", limit: 0, windowSeconds: 60, burst: 1 }],
  ["a quota", { name: "day", type: "quota", limit: 0, period: "day" }],
])("%s of 0 denies for good whatever the policy: it takes no store to know it", (_, limit) => {
  for (const policies of [OPEN, SHARE]) {
    const fallback = openFor(limit, policies);
    const never = { denied: 1, waitMs: Number.POSITIVE_INFINITY, isProvisional: false };
    expect(fallback.decide(1, NOW, true)).toMatchObject(never);
    expect(fallback.decide(1000, NOW + 1e9, true)).toMatchObject(never);
    expect(fallback.decide(0, NOW + 1e9, true)).toMatchObject({ denied: 0 });
    expect(fallback.charges(NOW + 1e9)).toBeUndefined();
  }
});

it("a replica's part of a quota once granted is not filled again", () => {
  const fallback = openFor({ name: "trial", type: "quota", limit: 9, period: "once" }, SHARE);
  const allowed = Array.from({ length: 5 }, () => fallback.decide(1000, NOW, true).denied === 0);
  expect(allowed).toEqual([true, true, true, false, false]);
  // Others may have some left.
  expect(fallback.decide(1000, NOW + 1e12, true)).toMatchObject({ denied: 1, waitMs: 1000, isProvisional: true });
});

// biome-ignore format: a table
it.each<[what: string, before: number, calls: number, remaining: number, overage: number, admitted: number]>([
  ["nothing, where nothing is used: the part of three is 50",     0,   3,  47,  0,  3],
  ["nothing, where more is left than the part",                   90,  3,  10 - 3,  0,  3],
  ["what it has admitted itself beyond the limit",                90,  15, 0,   5,  15],
  ["what was beyond the limit before",                            120, 0,  0,   20, 0],
  ["that and its own",                                            120, 7,  0,   27, 7],
  ["no more than its part lets through",                          120, 20, 0,   30, 10],
  ["a debt",                                                      160, 1,  0,   60, 0],
])("a part of a quota with overage tells of it %s", (_, before, calls, remaining, overage, admitted) => {
  const limit = { name: "month", type: "quota", limit: 100, period: "month", overage: { max: 50 } } as const;
  const tier = compileTiers({ t: { limits: [limit] } }, new Map()).get("t") as Tier;
  const fallback = new FallbackLimits(tier, [before * 1000], 3, SHARE, NOW);
  for (let call = 0; call < calls; call++) fallback.decide(1000, NOW, true);
  const [spent = Number.NaN] = fallback.decide(0, NOW, false).spent;
  expect([Math.max(0, 100_000 - spent), Math.max(0, spent - 100_000)]).toEqual([remaining * 1000, overage * 1000]);
  expect(fallback.admitted).toBe(admitted * 1000);
  const [next] = fallback.decide(0, Date.UTC(2026, 6, 1), false).spent;
  expect(next).toBe(50_000);
});
