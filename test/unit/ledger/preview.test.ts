import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../../src/index.js";
import { openLedger } from "../../../src/ledger/ledger.js";
import type { PreviewQuery } from "../../../src/ledger/preview.js";

const NOVEMBER = Date.UTC(2026, 10);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const PRICES: PreviewQuery["prices"] = {
  free: { currency: "EUR" },
  pro: {
    currency: "EUR",
    monthlyFee: "30",
    meters: {
      identify: {
        model: "per_unit",
        unitAmount: "0.01",
        included: 300,
        overage: { model: "per_unit", unitAmount: "0.05" },
      },
      compare: { model: "per_unit", unitAmount: "0.02", overage: { model: "per_unit", unitAmount: "0.1" } },
    },
  },
};

/** A ledger of calls `[day, hour, plan, meter, units]` of one account in November. */
function counted(calls: [day: number, hour: number, plan: string, meter: string, units: number][]) {
  const clock = { nowMs: NOVEMBER };
  const limiter = createLimiter({ tiers: { free: { limits: [] } }, engine: "js" });
  const ledger = openLedger({ limiter, meters: ["identify", "compare"], clock: () => clock.nowMs });
  for (const [day, hour, plan, meter, units] of calls) {
    clock.nowMs = NOVEMBER + (day - 1) * DAY_MS + hour * HOUR_MS;
    ledger.record({ account: "acme", meter, plan, units });
  }
  onTestFinished(async () => {
    await ledger.close();
    await limiter.close();
  });
  const preview = (query: Partial<PreviewQuery> = {}) =>
    ledger.preview({
      ...{ account: "acme", at: "2026-11-30", plans: [{ plan: "pro", from: "2026-01-01" }], prices: PRICES },
      ...query,
    });
  return { ledger, clock, preview };
}

const shortly = ({ lines, totals }: Awaited<ReturnType<ReturnType<typeof counted>["preview"]>>) => [
  ...lines.map(({ kind, plan, meter, quantity, amount }) => [kind, plan, meter ?? "", quantity, amount].join(" ")),
  ...totals.map(({ amount, currency }) => `total ${amount} ${currency}`),
];

describe("a preview", () => {
  it("has the fee of the month, and what was used beyond what is included", async () => {
    const { preview } = counted([
      [1, 0, "pro", "identify", 200],
      [30, 23, "pro", "identify", 150],
      [2, 5, "pro", "compare", 10],
    ]);
    expect(shortly(await preview())).toEqual([
      "fee pro  1 30.00",
      "usage pro identify 350 0.50",
      "usage pro compare 10 0.20",
      "total 30.70 EUR",
    ]);
  });

  it("of a plan that was changed in mid-month has half of the fee and of what is included, and each plan's usage", async () => {
    const { preview } = counted([
      [3, 0, "free", "identify", 500],
      [16, 0, "pro", "identify", 250],
    ]);
    const plans = [
      { plan: "free", from: "2026-01-01" },
      { plan: "pro", from: "2026-11-16T00:30:00Z" },
    ];
    const told = await preview({ plans });
    expect(shortly(told)).toEqual(["fee pro  0.5 15.00", "usage pro identify 250 1.00", "total 16.00 EUR"]);
    expect(told.unpriced).toEqual([{ plan: "free", meter: "identify", quantity: "500" }]);
  });

  it("tells overage by the hours in which it was used, within an hour by the meters' names, anew in each period", async () => {
    const { preview } = counted([
      [1, 0, "pro", "identify", 90],
      [1, 1, "pro", "compare", 30],
      [1, 1, "pro", "identify", 5],
      [1, 2, "pro", "identify", 10],
      [2, 0, "pro", "identify", 100],
    ]);
    const overage = { period: "day" as const, limits: { pro: 100 } };
    expect(shortly(await preview({ overage }))).toEqual([
      "fee pro  1 30.00",
      "usage pro identify 190 0.00",
      "overage pro identify 15 0.75",
      "usage pro compare 10 0.20",
      "overage pro compare 20 2.00",
      "total 32.95 EUR",
    ]);
  });

  it("goes from anchor day to anchor day", async () => {
    const { preview } = counted([
      [14, 23, "pro", "compare", 1],
      [15, 0, "pro", "compare", 10],
    ]);
    const told = await preview({ anchorDay: 15, at: NOVEMBER + 20 * DAY_MS });
    expect([told.from, told.to]).toEqual(["2026-11-15T00:00:00.000Z", "2026-12-15T00:00:00.000Z"]);
    expect(shortly(told)).toContain("usage pro compare 10 0.20");
  });

  it("prices what was used under a plan that nobody knows of, with nothing included", async () => {
    const { preview } = counted([[3, 0, "pro", "identify", 10]]);
    expect(shortly(await preview({ plans: [{ plan: "free", from: 0 }] }))).toEqual([
      "fee pro  0 0.00",
      "usage pro identify 10 0.10",
      "total 0.10 EUR",
    ]);
  });

  it("says whether its month is over, and reads more than a page", async () => {
    const { preview, clock } = counted(
      Array.from(
        { length: 720 },
        (_, hour) =>
          [1 + Math.floor(hour / 24), hour % 24, "pro", "compare", 1] as [number, number, string, string, number],
      ),
    );
    const overage = { period: "month" as const, limits: { pro: 700 } };
    expect((await preview({ overage })).complete).toBe(false);
    clock.nowMs = NOVEMBER + 30 * DAY_MS + 20 * 60_000;
    const told = await preview({ overage });
    expect(told.complete).toBe(true);
    expect(shortly(told)).toContain("overage pro compare 20 2.00");
  });

  it.each<[what: string, query: Partial<PreviewQuery>, message: RegExp]>([
    ["an instant that is none", { at: "yesterday" }, /^at is "yesterday"; it may be an instant/],
    ["a number that is no date", { at: "1" }, /^at is "1"; it may be/],
    ["a day that is none", { at: "2026-02-30" }, /^at is "2026-02-30"; it may be/],
    ["a time of nowhere", { at: "2026-11-01T05:00" }, /^at is "2026-11-01T05:00"; it may be/],
    ["the end of time", { at: "+275760-09-13T00:00:00Z" }, /^at is "\+275760/],
    ["a time after all periods", { at: "2300-01-01" }, /^at is "2300-01-01"; it may be/],
    ["an anchor day that no month has", { anchorDay: 32 }, /^anchorDay is 32; it may be a day of the month, 1 to 31/],
    [
      "plans out of order",
      {
        plans: [
          { plan: "pro", from: 5e12 },
          { plan: "free", from: 0 },
        ],
      },
      /^plans\[1\].from is 0; it may be/,
    ],
    ["a plan since nobody knows when", { plans: [{ plan: "pro", from: Number.NaN }] }, /^plans\[0\].from is NaN/],
  ])("refuses %s", async (_, query, message) => {
    const { preview } = counted([]);
    await expect(preview(query)).rejects.toThrow(message);
  });
});
