import { expect, it } from "vitest";
import { compileTiers } from "../../../src/engine/tier.js";
import { Lease } from "../../../src/shared/lease.js";
import { SharedTier } from "../../../src/shared/shared-tier.js";

/** A lease with tokens in grants: how many, and when they expire. */
function leaseOf(...grants: [tokens: number, expiresMs: number][]): Lease {
  const [tier] = compileTiers(
    { t: { limits: [{ name: "day", type: "quota", limit: 100, period: "day" }] } },
    new Map(),
  ).values();
  if (tier === undefined) throw new Error("there is no tier");
  const corrector = { isClosed: () => false, clock: () => 0, correct: () => undefined };
  const lease = new Lease("k", new SharedTier(tier, 0, 0, corrector));
  lease.grants = grants.map(([tokens, expiresMs]) => ({ milli: tokens * 1000, expiresMs, takenMs: 0 }));
  return lease;
}

it("tokens count as usable as far as the key's rate will use them before they expire", () => {
  const lease = leaseOf([10, 1100], [10, 1500], [5, 900]);
  lease.rate = 50; // 50 tokens a second
  // By 1,100 five of the first are used, and by 1,500 twenty more could be.
  expect(lease.usable(1000)).toBe(15_000);
  lease.rate = 5;
  expect(lease.usable(1000)).toBe(2500);
  expect(lease.usable(1500)).toBe(0);
});

it("uses the tokens that expire first, and none that have expired", () => {
  const lease = leaseOf([2, 1000], [2, 2000]);
  expect(lease.use(3000, 500)).toBe(true);
  expect(lease.grants.map(({ milli }) => milli)).toEqual([0, 1000]);
  expect(lease.use(1000, 2000)).toBe(false);
  expect(lease.held(1500)).toBe(1000);
});
