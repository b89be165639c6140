import { describe, expect, it } from "vitest";
import { checkPrices } from "../../../src/ledger/check-prices.js";
import type { Prices } from "../../../src/ledger/price.js";
import { rate } from "../../../src/ledger/rating.js";

const METERS = ["identify", "compare"];

/** Prices as somebody might write them, who has no types. */
const plan = (fields: Record<string, unknown>) => ({ pro: { currency: "EUR", ...fields } }) as unknown as Prices;
const meter = (price: unknown) => plan({ meters: { identify: price } });
const perUnit = (unitAmount: unknown) => meter({ model: "per_unit", unitAmount });
const tiered = (...tiers: unknown[]) => meter({ model: "graduated", tiers });

const AMOUNT = 'a decimal in quotes from 0, below 10^15, with at most 12 decimals, such as "0.0025"';
const CURRENCY = 'one code of ISO 4217, in capitals, such as "EUR"';
const IDENTIFY = "prices.pro.meters.identify";
const UNITS = "at most 2251799813685.248, with at most three decimals";
const MODELS = "one of per_unit, graduated, volume, package";

// biome-ignore format: a table
const WRONG: [what: string, prices: Prices, path: string, was: string, mayBe: string][] = [
  ["no prices", null as unknown as Prices, "prices", "null", "an object of prices by name of the plan"],
  ["a list of prices", [] as unknown as Prices, "prices", "an array of 0", "an object of prices by name of the plan"],
  ["a plan that is text", { pro: "9.99" } as unknown as Prices, "prices.pro", '"9.99"', "an object with currency, monthlyFee and meters"],
  ["a plan's unknown field", plan({ fee: "1" }), "prices.pro.fee", "an unknown field", "one of currency, monthlyFee, meters"],

  ["four currencies", plan({ currency: ["EUR", "USD", "JPY", "BHD"] }), "prices.pro.currency", "an array of 4", CURRENCY],
  ["four currencies in one text", plan({ currency: "EUR,USD,JPY,BHD" }), "prices.pro.currency", '"EUR,USD,JPY,BHD"', CURRENCY],
  ["a currency of four letters", plan({ currency: "EURO" }), "prices.pro.currency", '"EURO"', CURRENCY],
  ["a currency in small letters", plan({ currency: "eur" }), "prices.pro.currency", '"eur"', CURRENCY],
  ["a currency that there is not", plan({ currency: "EUX" }), "prices.pro.currency", '"EUX"', CURRENCY],
  ["no currency", plan({ currency: undefined }), "prices.pro.currency", "undefined", CURRENCY],

  ["a negative fee", plan({ monthlyFee: "-5" }), "prices.pro.monthlyFee", '"-5"', AMOUNT],
  ["a fee that is a number", plan({ monthlyFee: 49 }), "prices.pro.monthlyFee", "49", AMOUNT],
  ["a negative price", perUnit("-0.01"), `${IDENTIFY}.unitAmount`, '"-0.01"', AMOUNT],
  ["a price below nothing by a little", perUnit("-0"), `${IDENTIFY}.unitAmount`, '"-0"', AMOUNT],
  ["a price of 40 digits", perUnit("1234567890123456789012345678901234567890"), `${IDENTIFY}.unitAmount`, '"1234567890123456789012345678901234567890"', AMOUNT],
  ["a price of 1000 digits, cut short in the message", perUnit("9".repeat(1000)), `${IDENTIFY}.unitAmount`, `"${"9".repeat(60)}…"`, AMOUNT],
  ["a price of 10^15", perUnit("1000000000000000"), `${IDENTIFY}.unitAmount`, '"1000000000000000"', AMOUNT],
  ["a price of 13 decimals", perUnit("0.0000000000001"), `${IDENTIFY}.unitAmount`, '"0.0000000000001"', AMOUNT],
  ["13 decimals that say nothing", perUnit("0.1000000000000"), `${IDENTIFY}.unitAmount`, '"0.1000000000000"', AMOUNT],
  ["a price that is a number", perUnit(0.01), `${IDENTIFY}.unitAmount`, "0.01", AMOUNT],
  ["a price with an exponent", perUnit("1e-2"), `${IDENTIFY}.unitAmount`, '"1e-2"', AMOUNT],
  ["a price with a comma", perUnit("0,01"), `${IDENTIFY}.unitAmount`, '"0,01"', AMOUNT],
  ["a price with a space", perUnit(" 1"), `${IDENTIFY}.unitAmount`, '" 1"', AMOUNT],
  ["a price with a line's end", perUnit("1\n"), `${IDENTIFY}.unitAmount`, '"1\\n"', AMOUNT],
  ["a price with its currency", perUnit("€1"), `${IDENTIFY}.unitAmount`, '"€1"', AMOUNT],
  ["a price without a digit in front", perUnit(".5"), `${IDENTIFY}.unitAmount`, '".5"', AMOUNT],
  ["a price without decimals behind its point", perUnit("1."), `${IDENTIFY}.unitAmount`, '"1."', AMOUNT],
  ["a price with a 0 in front", perUnit("01"), `${IDENTIFY}.unitAmount`, '"01"', AMOUNT],
  ["digits of another script", perUnit("٣"), `${IDENTIFY}.unitAmount`, '"٣"', AMOUNT],
  ["an empty price", perUnit(""), `${IDENTIFY}.unitAmount`, '""', AMOUNT],
  ["no price", perUnit(undefined), `${IDENTIFY}.unitAmount`, "undefined", AMOUNT],

  ["an unknown meter", plan({ meters: { identfy: {} } }), "prices.pro.meters.identfy", "of an unknown meter", "one of identify, compare"],
  ["meters in a list", plan({ meters: [] }), "prices.pro.meters", "an array of 0", "an object of prices by name of the meter"],
  ["an unknown model", meter({ model: "stairstep" }), `${IDENTIFY}.model`, '"stairstep"', MODELS],
  ["a model that all objects have", meter({ model: "toString" }), `${IDENTIFY}.model`, '"toString"', MODELS],
  ["no model", meter({ unitAmount: "1" }), `${IDENTIFY}.model`, "undefined", MODELS],
  ["a field of another model", meter({ model: "per_unit", unitAmount: "1", tiers: [] }), `${IDENTIFY}.tiers`, "an unknown field", "one of model, unitAmount, included, overage"],
  ["included below 0", meter({ model: "per_unit", unitAmount: "1", included: -1 }), `${IDENTIFY}.included`, "-1", `a number from 0, ${UNITS}`],
  ["included as text", meter({ model: "per_unit", unitAmount: "1", included: "5" }), `${IDENTIFY}.included`, '"5"', `a number from 0, ${UNITS}`],
  ["included of four decimals", meter({ model: "per_unit", unitAmount: "1", included: 0.0001 }), `${IDENTIFY}.included`, "0.0001", `a number from 0, ${UNITS}`],
  ["included of more than any limit holds", meter({ model: "per_unit", unitAmount: "1", included: 2_251_799_813_685.25 }), `${IDENTIFY}.included`, "2251799813685.25", `a number from 0, ${UNITS}`],
  ["included without end", meter({ model: "per_unit", unitAmount: "1", included: Number.POSITIVE_INFINITY }), `${IDENTIFY}.included`, "Infinity", `a number from 0, ${UNITS}`],

  ["no tiers", tiered(), `${IDENTIFY}.tiers`, "an array of 0", "an array of 1 to 100 tiers"],
  ["101 tiers", tiered(...Array.from({ length: 101 }, () => ({}))), `${IDENTIFY}.tiers`, "an array of 101", "an array of 1 to 100 tiers"],
  ["one tier in place of a list", meter({ model: "volume", tiers: {} }), `${IDENTIFY}.tiers`, "an object", "an array of 1 to 100 tiers"],
  ["a tier that is nothing", tiered(null), `${IDENTIFY}.tiers[0]`, "null", "an object with upTo, unitAmount and flatAmount"],
  ["a tier's unknown field", tiered({ unitAmount: "1", up_to: 5 }), `${IDENTIFY}.tiers[0].up_to`, "an unknown field", "one of upTo, unitAmount, flatAmount"],
  ["a tier without an amount", tiered({ upTo: 1 }, { unitAmount: "1" }), `${IDENTIFY}.tiers[0]`, "without an amount", "one with unitAmount, flatAmount or both"],
  ["a tier with a negative flat amount", tiered({ flatAmount: "-1" }), `${IDENTIFY}.tiers[0].flatAmount`, '"-1"', AMOUNT],
  ["a tier up to 0", tiered({ upTo: 0, unitAmount: "1" }, { unitAmount: "1" }), `${IDENTIFY}.tiers[0].upTo`, "0", `a number above 0, ${UNITS}`],
  ["tiers that fall", tiered({ upTo: 10, unitAmount: "1" }, { upTo: 9.999, unitAmount: "1" }, { unitAmount: "1" }),
    `${IDENTIFY}.tiers[1].upTo`, "9.999", "a number above 10, since tiers rise and only the last one has no end"],
  ["tiers that stand still", tiered({ upTo: 10, unitAmount: "1" }, { upTo: 10, unitAmount: "1" }, { unitAmount: "1" }),
    `${IDENTIFY}.tiers[1].upTo`, "10", "a number above 10, since tiers rise and only the last one has no end"],
  ["a tier without an end in the middle", tiered({ upTo: 10, unitAmount: "1" }, { unitAmount: "1" }, { unitAmount: "1" }),
    `${IDENTIFY}.tiers[1].upTo`, "undefined", "a number above 10, since tiers rise and only the last one has no end"],
  ["a last tier with an end", tiered({ upTo: 10, unitAmount: "1" }, { upTo: 20, unitAmount: "1" }),
    `${IDENTIFY}.tiers[1].upTo`, "20", "left out, since the last tier has no end"],

  ["a package of 0", meter({ model: "package", packageSize: 0, packageAmount: "1" }), `${IDENTIFY}.packageSize`, "0", `a number above 0, ${UNITS}`],
  ["a package below 0", meter({ model: "package", packageSize: -5, packageAmount: "1" }), `${IDENTIFY}.packageSize`, "-5", `a number above 0, ${UNITS}`],
  ["a package without a price", meter({ model: "package", packageSize: 10 }), `${IDENTIFY}.packageAmount`, "undefined", AMOUNT],

  ["overage of an unknown model", meter({ model: "per_unit", unitAmount: "1", overage: { model: "free" } }), `${IDENTIFY}.overage.model`, '"free"', MODELS],
  ["overage with units included", meter({ model: "per_unit", unitAmount: "1", overage: { model: "per_unit", unitAmount: "1", included: 5 } }),
    `${IDENTIFY}.overage.included`, "an unknown field", "one of model, unitAmount"],
  ["overage of overage", meter({ model: "per_unit", unitAmount: "1", overage: { model: "per_unit", unitAmount: "1", overage: {} } }),
    `${IDENTIFY}.overage.overage`, "an unknown field", "one of model, unitAmount"],
  ["overage whose last tier has an end", meter({ model: "per_unit", unitAmount: "1", overage: { model: "volume", tiers: [{ upTo: 5, unitAmount: "1" }] } }),
    `${IDENTIFY}.overage.tiers[0].upTo`, "5", "left out, since the last tier has no end"],
];

describe("checkPrices", () => {
  it.each(WRONG)("refuses %s", (_, prices, path, was, mayBe) => {
    const message = `${path} is ${was}; it may be ${mayBe}`;
    expect(() => checkPrices(prices, METERS)).toThrow(expect.objectContaining({ code: "ERR_PRICE_INVALID", message }));
  });

  it("refuses every meter where there is none", () => {
    const message = "prices.pro.meters.identify is of an unknown meter; it may be left out, since there are none";
    expect(() => checkPrices(perUnit("1"), [])).toThrow(expect.objectContaining({ message }));
  });

  it.each<[string, Prices]>([
    ["no plans", {}],
    ["a plan without meters", plan({})],
    ["a plan with a fee alone", plan({ monthlyFee: "0.000000000001" })],
    ["a price of 15 and 12 digits", perUnit("999999999999999.999999999999")],
    ["a price of 0", perUnit("0")],
    ["zeros behind the point", perUnit("0.100")],
    [
      "fields that are left undefined",
      meter({ model: "per_unit", unitAmount: "1", included: undefined, overage: undefined }),
    ],
    ["one tier", tiered({ flatAmount: "1" })],
    ["a tier up to a thousandth", tiered({ upTo: 0.001, flatAmount: "1" }, { unitAmount: "1" })],
    ["the smallest package", meter({ model: "package", packageSize: 0.001, packageAmount: "1" })],
    ["a plan that is called as a field of every object", { constructor: { currency: "EUR" } }],
    [
      "each currency of ISO 4217 that Node knows",
      Object.fromEntries(Intl.supportedValuesOf("currency").map((currency) => [currency, { currency }])),
    ],
  ])("takes %s, and gives the same", (_, prices) => {
    expect(checkPrices(prices, METERS)).toEqual(prices);
  });

  it("gives a copy that nobody can change", () => {
    const given = { pro: { currency: "EUR", meters: { identify: { model: "volume", tiers: [{ unitAmount: "1" }] } } } };
    const prices = checkPrices(given as Prices, METERS);
    const month = {
      hours: 720,
      plans: [{ plan: "pro", hours: 720 }],
      usage: [{ plan: "pro", meter: "identify", units: 2 }],
    };
    given.pro.currency = "JPY";
    given.pro.meters.identify.tiers = [{ unitAmount: "2" }];
    expect(rate(month, prices).totals).toEqual([{ currency: "EUR", exact: "2", amount: "2.00" }]);
    const tiers = (prices as unknown as typeof given).pro.meters.identify.tiers;
    expect(() => tiers.push({ unitAmount: "3" })).toThrow(TypeError);
  });
});

describe("rate", () => {
  const month = { hours: 720, plans: [], usage: [] };

  it("checks prices that nobody has checked, but for the names of their meters", () => {
    expect(() => rate(month, perUnit("-1"))).toThrow(expect.objectContaining({ code: "ERR_PRICE_INVALID" }));
    expect(rate(month, plan({ meters: { anything: { model: "per_unit", unitAmount: "1" } } })).lines).toEqual([]);
  });
});
