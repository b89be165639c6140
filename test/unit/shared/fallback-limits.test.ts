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
