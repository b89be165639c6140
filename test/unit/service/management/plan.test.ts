import { expect, it } from "vitest";
import { planAt } from "../../../../src/service/management/plan.js";

const at = "2026-12-01T00:00:00.000Z";
const terms = { plan: "pro", from: "2026-11-01T00:00:00.000Z", scheduled: { plan: "free", at } };
const END = Date.parse(at);

it.each([
  ["long before", END - 86_400_000, terms],
  ["in the last millisecond", END - 1, terms],
  ["at the instant", END, { plan: "free", from: at, scheduled: null }],
  ["ever after", END + 86_400_000_000, { plan: "free", from: at, scheduled: null }],
])("a plan that ends is the next one from its instant on: %s", (_, nowMs, expected) => {
  expect(planAt(terms, nowMs)).toEqual(expected);
});

it("a plan without an end has none", () => {
  const endless = { ...terms, scheduled: null };
  expect(planAt(endless, Number.MAX_SAFE_INTEGER)).toBe(endless);
});
