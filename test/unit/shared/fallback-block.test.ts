import { expect, it } from "vitest";
import type { Bucket } from "../../../src/engine/bucket.js";
import { compileTiers, type Tier } from "../../../src/engine/tier.js";
import { FallbackLimits } from "../../../src/shared/fallback-limits.js";
import type { OutagePolicies } from "../../../src/shared/outage-policy.js";

const NOON = Date.UTC(2026, 5, 15, 12);
const SHARE: OutagePolicies = { bucket: "share", quota: "share", concurrency: "share" };
const limits = [
  { name: "attempts", type: "bucket", limit: 6, windowSeconds: 60, burst: 2, blockSeconds: 100 } as const,
];
const tier = compileTiers({ t: { limits } }, new Map()).get("t") as Tier;
const rule = tier.limits[0]?.rule as Bucket;

it("a block that is known goes on in an outage, and after it each part is that of a new key", () => {
  const blocked = rule.afterDenial(rule.capacity, 1000);
  const parts = new FallbackLimits(tier, [blocked], 3, SHARE, NOON);
  const denied = parts.decide(1000, NOON + 40_000, true);
  expect(denied).toMatchObject({ denied: 1, waitMs: 60_000, isProvisional: false });
  expect(rule.remainingMilli(denied.spent[0] ?? 0)).toBe(0);
  expect(rule.resetMs(denied.spent[0] ?? 0)).toBe(120_000);
  const passed = () => parts.decide(1000, NOON + 100_000, true).denied === 0;
  expect([passed(), passed(), passed()]).toEqual([true, true, false]);
  expect(parts.outstanding(NOON + 100_000)).toMatchObject({ deltas: [2000] });
});

it("none begins in an outage, since a part that is empty does not tell that the whole is", () => {
  const parts = new FallbackLimits(tier, [rule.initial], 3, SHARE, NOON);
  for (let call = 0; call < 2; call++) parts.decide(1000, NOON, true);
  expect(parts.decide(1000, NOON, true)).toMatchObject({ denied: 1, waitMs: 1000, isProvisional: true });
  expect(parts.decide(1000, NOON + 30_000, true).denied).toBe(0);
});

it("what is let in openly during a block is counted", () => {
  const parts = new FallbackLimits(
    tier,
    [rule.blockedFor(5000)],
    1,
    { bucket: "open", quota: "open", concurrency: "open" },
    NOON,
  );
  expect(parts.decide(2000, NOON, true).denied).toBe(0);
  expect(parts.outstanding(NOON + 1000)).toMatchObject({ deltas: [2000] });
});
