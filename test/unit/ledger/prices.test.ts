/** Worked examples: what is expected was reckoned by hand, and stands beside what it is of. */
import { describe, expect, it } from "vitest";
import type { MonthUsage } from "../../../src/ledger/month-usage.js";
import type { MeterPrice, Prices } from "../../../src/ledger/price.js";
import { rate } from "../../../src/ledger/rating.js";

const perUnit = (unitAmount: string) => ({ model: "per_unit", unitAmount }) as const;
const tiers = [{ upTo: 1000, unitAmount: "0.01" }, { upTo: 10_000, unitAmount: "0.005" }, { unitAmount: "0.001" }];
const flats = [
  { upTo: 100, flatAmount: "5" },
  { unitAmount: "0.03", flatAmount: "2" },
];
const rising = [
  { upTo: 100, unitAmount: "0.1", flatAmount: "1" },
  { unitAmount: "0.05", flatAmount: "2" },
];

const PRICES = {
  "free of charge": perUnit("0"),
  "a cent": perUnit("0.01"),
  "half a cent": perUnit("0.005"),
  "a quarter of a cent": perUnit("0.0025"),
  "10⁻¹²": perUnit("0.000000000001"),
  "the highest": perUnit("999999999999999.999999999999"),
  "an eighth": perUnit("0.125"),
  "a half": perUnit("0.5"),
  "a half of 0.001": perUnit("0.0005"),
  "120": perUnit("120"),
  "1.2345": perUnit("1.2345"),
  "a cent, 1000 included": { ...perUnit("0.01"), included: 1000 },
  "a cent, 0.001 included": { ...perUnit("0.01"), included: 0.001 },
  graduated: { model: "graduated", tiers },
  "graduated, 500 included": { model: "graduated", tiers, included: 500 },
  "graduated with flat amounts": { model: "graduated", tiers: flats },
  volume: { model: "volume", tiers },
  "volume, 500 included": { model: "volume", tiers, included: 500 },
  "volume with flat amounts": { model: "volume", tiers: rising },
  "1000 for a half": { model: "package", packageSize: 1000, packageAmount: "0.5" },
  "1000 for a half, 1000 included": { model: "package", packageSize: 1000, packageAmount: "0.5", included: 1000 },
  "half a token for a cent": { model: "package", packageSize: 0.5, packageAmount: "0.01" },
} satisfies Record<string, MeterPrice>;

type Example = [
  price: keyof typeof PRICES,
  currency: string,
  units: number,
  exact: string,
  amount: string,
  why: string,
];

// biome-ignore format: a table
const EXAMPLES: Example[] = [
  ["a cent",                         "EUR",             0, "0",                   "0.00",  "nothing used"],
  ["a cent",                         "EUR",             1, "0.01",                "0.01",  "one unit"],
  ["a cent",                         "EUR",          1234, "12.34",               "12.34", "many"],
  ["a cent",                         "EUR",         0.001, "0.00001",             "0.00",  "the least that is counted"],
  ["free of charge",                 "EUR",          1000, "0",                   "0.00",  "a price of 0"],

  ["a quarter of a cent",            "EUR",             1, "0.0025",              "0.00",  "a fraction of a cent, below its half"],
  ["a quarter of a cent",            "EUR",             3, "0.0075",              "0.01",  "above its half"],
  ["a quarter of a cent",            "EUR",             2, "0.005",               "0.00",  "a tie, of 0 and 1 cent"],
  ["a quarter of a cent",            "EUR",             6, "0.015",               "0.02",  "a tie, of 1 and 2 cents"],
  ["a quarter of a cent",            "EUR",            10, "0.025",               "0.02",  "a tie, of 2 and 3 cents"],
  ["a quarter of a cent",            "EUR",            14, "0.035",               "0.04",  "a tie, of 3 and 4 cents"],
  ["a quarter of a cent",            "EUR",          3998, "9.995",               "10.00", "a tie that carries: 999 and 1000 cents"],
  ["half a cent",                    "EUR",         0.999, "0.004995",            "0.00",  "a thousandth of a token below a tie"],
  ["half a cent",                    "EUR",         1.001, "0.005005",            "0.01",  "and above it"],
  ["10⁻¹²",                          "EUR",             1, "0.000000000001",      "0.00",  "the lowest price"],
  ["10⁻¹²",                          "EUR",         0.001, "0.000000000000001",   "0.00",  "of the least"],
  ["10⁻¹²",                          "EUR", 5_000_000_000, "0.005",               "0.00",  "which adds up to a tie"],
  ["10⁻¹²",                          "EUR", 5_000_000_000.001, "0.005000000000001", "0.01", "and goes beyond it by 10⁻¹⁵"],

  ["a cent, 1000 included",          "EUR",             0, "0",                   "0.00",  "nothing of what is included"],
  ["a cent, 1000 included",          "EUR",           999, "0",                   "0.00",  "not all of it"],
  ["a cent, 1000 included",          "EUR",          1000, "0",                   "0.00",  "all of it"],
  ["a cent, 1000 included",          "EUR",      1000.001, "0.00001",             "0.00",  "a thousandth more"],
  ["a cent, 1000 included",          "EUR",          1001, "0.01",                "0.01",  "one more"],
  ["a cent, 1000 included",          "EUR",          2500, "15",                  "15.00", "1500 more"],
  ["a cent, 0.001 included",         "EUR",             1, "0.00999",             "0.01",  "next to nothing is included"],

  ["graduated",                      "EUR",             0, "0",                   "0.00",  "nothing used"],
  ["graduated",                      "EUR",             1, "0.01",                "0.01",  "in the first tier"],
  ["graduated",                      "EUR",          1000, "10",                  "10.00", "its last unit"],
  ["graduated",                      "EUR",        1000.5, "10.0025",             "10.00", "half a unit of the second tier"],
  ["graduated",                      "EUR",          1001, "10.005",              "10.00", "a whole one, and a tie"],
  ["graduated",                      "EUR",          1003, "10.015",              "10.02", "and another"],
  ["graduated",                      "EUR",        10_000, "55",                  "55.00", "10 + 9000 × 0.005"],
  ["graduated",                      "EUR",        10_001, "55.001",              "55.00", "the first unit of the last tier"],
  ["graduated",                      "EUR",        25_000, "70",                  "70.00", "10 + 45 + 15,000 × 0.001"],
  ["graduated, 500 included",        "EUR",          1500, "10",                  "10.00", "tiers begin beyond what is included"],
  ["graduated, 500 included",        "EUR",          1502, "10.01",               "10.01", "so this is the second unit of the second"],
  ["graduated with flat amounts",    "EUR",             0, "0",                   "0.00",  "what is not used has no flat amount"],
  ["graduated with flat amounts",    "EUR",         0.001, "5",                   "5.00",  "it is there from the first thousandth"],
  ["graduated with flat amounts",    "EUR",           100, "5",                   "5.00",  "to the last unit"],
  ["graduated with flat amounts",    "EUR",       100.001, "7.00003",             "7.00",  "then the next one comes to it"],
  ["graduated with flat amounts",    "EUR",           200, "10",                  "10.00", "5 + 2 + 100 × 0.03"],

  ["volume",                         "EUR",             0, "0",                   "0.00",  "nothing used"],
  ["volume",                         "EUR",          1000, "10",                  "10.00", "the last unit of the first tier"],
  ["volume",                         "EUR",      1000.001, "5.000005",            "5.00",  "all go by the second: more costs less"],
  ["volume",                         "EUR",          1003, "5.015",               "5.02",  "1003 × 0.005, a tie"],
  ["volume",                         "EUR",        10_000, "50",                  "50.00", "10,000 × 0.005"],
  ["volume",                         "EUR",        10_001, "10.001",              "10.00", "10,001 × 0.001"],
  ["volume, 500 included",           "EUR",          1500, "10",                  "10.00", "1000 are left: the first tier"],
  ["volume, 500 included",           "EUR",          1501, "5.005",               "5.00",  "1001 are left: the second, and a tie"],
  ["volume with flat amounts",       "EUR",             0, "0",                   "0.00",  "what is not used has no flat amount"],
  ["volume with flat amounts",       "EUR",           100, "11",                  "11.00", "1 + 100 × 0.1"],
  ["volume with flat amounts",       "EUR",           101, "7.05",                "7.05",  "2 + 101 × 0.05, without the first tier's"],

  ["1000 for a half",                "EUR",             0, "0",                   "0.00",  "no package"],
  ["1000 for a half",                "EUR",         0.001, "0.5",                 "0.50",  "one is begun"],
  ["1000 for a half",                "EUR",          1000, "0.5",                 "0.50",  "and used up"],
  ["1000 for a half",                "EUR",      1000.001, "1",                   "1.00",  "the next one is begun"],
  ["1000 for a half",                "EUR",          2500, "1.5",                 "1.50",  "three are begun"],
  ["1000 for a half, 1000 included", "EUR",          1000, "0",                   "0.00",  "all is included"],
  ["1000 for a half, 1000 included", "EUR",          1001, "0.5",                 "0.50",  "packages begin beyond it"],
  ["half a token for a cent",        "EUR",           1.2, "0.03",                "0.03",  "2.4 packages are three"],

  ["a half",                         "JPY",             1, "0.5",                 "0",     "no decimals: a tie of 0 and 1"],
  ["a half",                         "JPY",             3, "1.5",                 "2",     "of 1 and 2"],
  ["a half",                         "JPY",             5, "2.5",                 "2",     "of 2 and 3"],
  ["a half",                         "JPY",         5.002, "2.501",               "3",     "just above"],
  ["120",                            "JPY",            10, "1200",                "1200",  "whole yen"],
  ["a half of 0.001",                "BHD",             1, "0.0005",              "0.000", "three decimals: a tie of 0 and 1 fils"],
  ["a half of 0.001",                "BHD",             3, "0.0015",              "0.002", "of 1 and 2"],
  ["a half of 0.001",                "BHD",             5, "0.0025",              "0.002", "of 2 and 3"],
  ["1.2345",                         "BHD",             1, "1.2345",              "1.234", "of 1234 and 1235"],
  ["an eighth",                      "HUF",             1, "0.125",               "0.12",  "two decimals by ISO 4217, none by custom"],
  ["1.2345",                         "IQD",             1, "1.2345",              "1.234", "three by ISO 4217, none by custom"],

  ["the highest",                    "EUR",             1, "999999999999999.999999999999", "1000000000000000.00", "carries over all digits"],
  ["the highest",                    "EUR", 9_007_199_254_740, "9007199254739999999999999990.99280074526",
    "9007199254739999999999999990.99", "as much as can be: 9,007,199,254,740 × 10¹⁵ − 9.00719925474"],
];

describe("a month's usage of one meter", () => {
  it.each(EXAMPLES)("%s, %s, %d units: %s, so %s: %s", (price, currency, units, exact, amount) => {
    const prices = { pro: { currency, meters: { identify: PRICES[price] } } };
    const usage = [{ plan: "pro", meter: "identify", units }];
    const { lines, totals, unpriced } = rate({ hours: 720, plans: [{ plan: "pro", hours: 720 }], usage }, prices);
    const { model } = PRICES[price];
    expect(lines).toMatchObject([{ kind: "usage", plan: "pro", meter: "identify", model, exact, amount, currency }]);
    expect({ totals, unpriced }).toEqual({ totals: [{ currency, exact, amount }], unpriced: [] });
  });
});

const PLANS: Prices = {
  free: { currency: "EUR", meters: { identify: { ...perUnit("0.01"), included: 1000 } } },
  pro: {
    currency: "EUR",
    monthlyFee: "49",
    meters: {
      identify: {
        model: "graduated",
        tiers: [{ upTo: 10_000, unitAmount: "0.005" }, { unitAmount: "0.001" }],
        included: 10_000,
        overage: perUnit("0.02"),
      },
      compare: perUnit("0.0025"),
    },
  },
  // Quotas of 1,000 and 5,000: the first may go 500 beyond.
  small: {
    currency: "EUR",
    monthlyFee: "10",
    meters: { identify: { ...perUnit("0.01"), included: 500, overage: perUnit("0.05") } },
  },
  large: { currency: "EUR", monthlyFee: "40", meters: { identify: { ...perUnit("0.008"), included: 4000 } } },
  packs: {
    currency: "EUR",
    meters: {
      identify: {
        model: "package",
        packageSize: 100,
        packageAmount: "3",
        overage: { model: "graduated", tiers: [{ upTo: 10, unitAmount: "1" }, { unitAmount: "0.5" }] },
      },
    },
  },
  tokyo: {
    currency: "JPY",
    monthlyFee: "5000",
    meters: { identify: { model: "package", packageSize: 1000, packageAmount: "150", included: 3000 } },
  },
  odd: { currency: "EUR", monthlyFee: "0.05" },
  even: { currency: "EUR", monthlyFee: "0.07" },
  three: {
    currency: "EUR",
    meters: { a: perUnit("0.005"), b: perUnit("0.005"), c: perUnit("0.005") },
  },
};

/** Plans as `free 360, pro 360`; usage as `free identify 700, pro identify 1200 of which 200`, in tokens. */
type Month = [why: string, hours: number, plans: string, usage: string, lines: string[], totals: string[]];

// biome-ignore format: a table
const MONTHS: Month[] = [
  ["a fee without usage", 720, "pro 720", "",
    ["fee pro: 1 − 0 = 1 → 49 = 49.00 EUR"], ["49 = 49.00 EUR"]],
  ["no fee and no usage", 720, "free 720", "", [], []],
  ["an hour of a month of 31 days", 744, "pro 1", "",
    ["fee pro: 1/744 − 0 = 1/744 → 49/744 = 0.07 EUR"], ["49/744 = 0.07 EUR"]],
  ["a change at half of it: half of what is included, half of the fee", 744, "free 372, pro 372",
    "free identify 700, pro identify 6000",
    ["usage free identify: 700 − 500 = 200 → 2 = 2.00 EUR",
      "fee pro: 0.5 − 0 = 0.5 → 24.5 = 24.50 EUR",
      "usage pro identify: 6000 − 5000 = 1000 → 5 = 5.00 EUR"], ["31.5 = 31.50 EUR"]],
  ["a week of a February of 28 days", 672, "free 168, pro 504", "free identify 250, pro identify 7501",
    ["usage free identify: 250 − 250 = 0 → 0 = 0.00 EUR",
      "fee pro: 0.75 − 0 = 0.75 → 36.75 = 36.75 EUR",
      "usage pro identify: 7501 − 7500 = 1 → 0.005 = 0.00 EUR"], ["36.755 = 36.75 EUR"]],
  ["thirds, which no decimal says", 720, "free 240, pro 480", "free identify 400, pro identify 7000",
    ["usage free identify: 400 − 1000/3 = 200/3 → 2/3 = 0.67 EUR",
      "fee pro: 2/3 − 0 = 2/3 → 98/3 = 32.67 EUR",
      "usage pro identify: 7000 − 20000/3 = 1000/3 → 5/3 = 1.67 EUR"], ["35 = 35.01 EUR"]],
  ["a tie of half a fee, down", 720, "odd 360", "", ["fee odd: 0.5 − 0 = 0.5 → 0.025 = 0.02 EUR"], ["0.025 = 0.02 EUR"]],
  ["a tie of half a fee, up", 720, "even 360", "", ["fee even: 0.5 − 0 = 0.5 → 0.035 = 0.04 EUR"], ["0.035 = 0.04 EUR"]],
  ["a plan that came back", 744, "free 186, pro 372, free 186", "free identify 300, free identify 300",
    ["usage free identify: 600 − 500 = 100 → 1 = 1.00 EUR",
      "fee pro: 0.5 − 0 = 0.5 → 24.5 = 24.50 EUR"], ["25.5 = 25.50 EUR"]],
  ["a plan of no whole hour includes nothing", 720, "free 720, pro 0", "pro identify 2",
    ["fee pro: 0 − 0 = 0 → 0 = 0.00 EUR",
      "usage pro identify: 2 − 0 = 2 → 0.01 = 0.01 EUR"], ["0.01 = 0.01 EUR"]],
  ["an account that began in mid-month", 720, "small 180", "small identify 125",
    ["fee small: 0.25 − 0 = 0.25 → 2.5 = 2.50 EUR",
      "usage small identify: 125 − 125 = 0 → 0 = 0.00 EUR"], ["2.5 = 2.50 EUR"]],
  ["bounds of tiers stay whole: 10,000 at 0.005, then 0.001", 720, "pro 360", "pro identify 16000",
    ["fee pro: 0.5 − 0 = 0.5 → 24.5 = 24.50 EUR",
      "usage pro identify: 16000 − 5000 = 11000 → 51 = 51.00 EUR"], ["75.5 = 75.50 EUR"]],
  ["sizes of packages stay whole", 720, "packs 72", "packs identify 101",
    ["usage packs identify: 101 − 0 = 101 → 6 = 6.00 EUR"], ["6 = 6.00 EUR"]],
  ["overage is a line of its own, and nothing of it included", 720, "pro 720", "pro identify 1200000 of which 200000",
    ["fee pro: 1 − 0 = 1 → 49 = 49.00 EUR",
      "usage pro identify: 1000000 − 10000 = 990000 → 1030 = 1030.00 EUR",
      "overage pro identify: 200000 − 0 = 200000 → 4000 = 4000.00 EUR"], ["5079 = 5079.00 EUR"]],
  ["overage has tiers of its own, which begin with it", 720, "packs 720", "packs identify 115 of which 15",
    ["usage packs identify: 100 − 0 = 100 → 3 = 3.00 EUR",
      "overage packs identify: 15 − 0 = 15 → 12.5 = 12.50 EUR"], ["15.5 = 15.50 EUR"]],
  ["overage before a change to more in mid-month", 720, "small 360, large 360",
    "small identify 1200 of which 200, large identify 1000",
    ["fee small: 0.5 − 0 = 0.5 → 5 = 5.00 EUR",
      "usage small identify: 1000 − 250 = 750 → 7.5 = 7.50 EUR",
      "overage small identify: 200 − 0 = 200 → 10 = 10.00 EUR",
      "fee large: 0.5 − 0 = 0.5 → 20 = 20.00 EUR",
      "usage large identify: 1000 − 2000 = 0 → 0 = 0.00 EUR"], ["42.5 = 42.50 EUR"]],
  ["overage after a change to less in mid-month: all of it, for the quota goes on", 720, "large 360, small 360",
    "large identify 3000, small identify 100 of which 100",
    ["fee large: 0.5 − 0 = 0.5 → 20 = 20.00 EUR",
      "usage large identify: 3000 − 2000 = 1000 → 8 = 8.00 EUR",
      "fee small: 0.5 − 0 = 0.5 → 5 = 5.00 EUR",
      "usage small identify: 0 − 250 = 0 → 0 = 0.00 EUR",
      "overage small identify: 100 − 0 = 100 → 5 = 5.00 EUR"], ["38 = 38.00 EUR"]],
  ["overage without a price of its own is priced with the rest", 720, "large 720", "large identify 5500 of which 500",
    ["fee large: 1 − 0 = 1 → 40 = 40.00 EUR",
      "usage large identify: 5500 − 4000 = 1500 → 12 = 12.00 EUR"], ["52 = 52.00 EUR"]],
  ["no overage, no line of it", 720, "small 720", "small identify 501 of which 0",
    ["fee small: 1 − 0 = 1 → 10 = 10.00 EUR",
      "usage small identify: 501 − 500 = 1 → 0.01 = 0.01 EUR"], ["10.01 = 10.01 EUR"]],
  ["rows of one plan and meter are one: no tier is there twice", 720, "pro 720", "pro identify 15000, pro identify 9000",
    ["fee pro: 1 − 0 = 1 → 49 = 49.00 EUR",
      "usage pro identify: 24000 − 10000 = 14000 → 54 = 54.00 EUR"], ["103 = 103.00 EUR"]],
  ["two meters of a plan, in the order of its prices", 720, "pro 720", "pro compare 6, pro identify 10002",
    ["fee pro: 1 − 0 = 1 → 49 = 49.00 EUR",
      "usage pro identify: 10002 − 10000 = 2 → 0.01 = 0.01 EUR",
      "usage pro compare: 6 − 0 = 6 → 0.015 = 0.02 EUR"], ["49.025 = 49.03 EUR"]],
  ["each line is rounded by itself", 720, "three 720", "three a 1, three b 1, three c 1",
    ["usage three a: 1 − 0 = 1 → 0.005 = 0.00 EUR",
      "usage three b: 1 − 0 = 1 → 0.005 = 0.00 EUR",
      "usage three c: 1 − 0 = 1 → 0.005 = 0.00 EUR"], ["0.015 = 0.00 EUR"]],
  ["a third of a fee in yen", 720, "tokyo 240", "tokyo identify 1001",
    ["fee tokyo: 1/3 − 0 = 1/3 → 5000/3 = 1667 JPY",
      "usage tokyo identify: 1001 − 1000 = 1 → 150 = 150 JPY"], ["5450/3 = 1817 JPY"]],
  ["a change of plan and of currency", 720, "small 360, tokyo 360", "small identify 350, tokyo identify 3501",
    ["fee small: 0.5 − 0 = 0.5 → 5 = 5.00 EUR",
      "usage small identify: 350 − 250 = 100 → 1 = 1.00 EUR",
      "fee tokyo: 0.5 − 0 = 0.5 → 2500 = 2500 JPY",
      "usage tokyo identify: 3501 − 1500 = 2001 → 450 = 450 JPY"], ["6 = 6.00 EUR", "2950 = 2950 JPY"]],
];

/** A month as its row of the table says it. */
function monthOf(hours: number, plans: string, usage: string): MonthUsage {
  const parts = (text: string) => (text === "" ? [] : text.split(", ").map((part) => part.split(" ")));
  return {
    hours,
    plans: parts(plans).map(([plan = "", own]) => ({ plan, hours: Number(own) })),
    usage: parts(usage).map(([plan = "", meter = "", units, , , overage = 0]) => {
      return { plan, meter, units: Number(units), overage: Number(overage) };
    }),
  };
}

describe("a month", () => {
  it.each(MONTHS)("%s", (_, hours, plans, usage, lines, totals) => {
    const rating = rate(monthOf(hours, plans, usage), PLANS);
    const shown = rating.lines.map(({ kind, plan, meter, quantity, included, billable, exact, amount, currency }) => {
      const of = meter === null ? plan : `${plan} ${meter}`;
      return `${kind} ${of}: ${quantity} − ${included} = ${billable} → ${exact} = ${amount} ${currency}`;
    });
    expect(shown).toEqual(lines);
    expect(rating.totals.map(({ exact, amount, currency }) => `${exact} = ${amount} ${currency}`)).toEqual(totals);
    expect(rating.unpriced).toEqual([]);
  });

  it("tells of usage that has no price, and prices the rest", () => {
    const month = monthOf(720, "trial 360, free 360", "trial identify 20.5, free compare 3, free identify 501");
    const { lines, unpriced } = rate(month, PLANS);
    expect(lines.map(({ plan, meter, amount }) => ({ plan, meter, amount }))).toEqual([
      { plan: "free", meter: "identify", amount: "0.01" },
    ]);
    expect(unpriced).toEqual([
      { plan: "trial", meter: "identify", quantity: "20.5" },
      { plan: "free", meter: "compare", quantity: "3" },
    ]);
  });

  it("may hold more than 2^53 thousandths of a meter", () => {
    const row = { plan: "free", meter: "identify", units: 9_007_199_254_740 };
    const { lines } = rate({ hours: 720, plans: [{ plan: "free", hours: 0 }], usage: [row, row, row] }, PLANS);
    expect(lines[0]?.quantity).toBe("27021597764220");
  });
});

describe("usage that can't be meant", () => {
  const used = { plan: "free", meter: "identify", units: 1 };
  const month = { hours: 720, plans: [{ plan: "free", hours: 720 }], usage: [used] };
  // biome-ignore format: a table
  it.each<[string, MonthUsage, string]>([
    ["a day", { ...month, hours: 24 }, "hours is 24; it may be the whole hours of a month, 672 to 744"],
    ["32 days", { ...month, hours: 768 }, "hours is 768; it may be the whole hours of a month, 672 to 744"],
    ["half an hour", { ...month, hours: 700.5 }, "hours is 700.5; it may be the whole hours of a month, 672 to 744"],
    ["a plan for longer than the month", { ...month, plans: [{ plan: "free", hours: 721 }] },
      "plans[0].hours is 721; it may be whole hours from 0, at most the 720 that are left of the month"],
    ["plans for longer than the month", { ...month, plans: [{ plan: "free", hours: 700 }, { plan: "pro", hours: 21 }] },
      "plans[1].hours is 21; it may be whole hours from 0, at most the 20 that are left of the month"],
    ["a plan for less than nothing", { ...month, plans: [{ plan: "free", hours: -1 }] },
      "plans[0].hours is -1; it may be whole hours from 0, at most the 720 that are left of the month"],
    ["a plan that was not held", { ...month, usage: [used, { ...used, plan: "pro" }] },
      "usage[1].plan is pro; it may be a plan that was held: free"],
    ["no plan, as in a report that tells none apart", { ...month, usage: [{ ...used, plan: undefined }] },
      "usage[0].plan is undefined; it may be a plan that was held: free"],
    ["no meter, likewise", { ...month, usage: [{ ...used, meter: undefined }] },
      "usage[0].meter is undefined; it may be the name of a meter"],
    ["half a thousandth", { ...month, usage: [{ ...used, units: 0.0005 }] },
      "usage[0].units is 0.0005; it may be a number from 0 with at most three decimals"],
    ["less than nothing", { ...month, usage: [{ ...used, units: -1 }] },
      "usage[0].units is -1; it may be a number from 0 with at most three decimals"],
    ["more than is counted exactly", { ...month, usage: [{ ...used, units: 2 ** 53 }] },
      "usage[0].units is 9007199254740992; it may be a number from 0 with at most three decimals"],
    ["text", { ...month, usage: [{ ...used, units: "1" as unknown as number }] },
      'usage[0].units is "1"; it may be a number from 0 with at most three decimals'],
    ["more overage than usage", { ...month, usage: [{ ...used, overage: 1.001 }] },
      "usage[0].overage is 1.001; it may be a number from 0 to units, 1, with at most three decimals"],
    ["overage of NaN", { ...month, usage: [{ ...used, overage: Number.NaN }] },
      "usage[0].overage is NaN; it may be a number from 0 to units, 1, with at most three decimals"],
  ])("%s", (_, wrong, message) => {
    expect(() => rate(wrong, PLANS)).toThrow(expect.objectContaining({ code: "ERR_USAGE_INVALID", message }));
  });
});
