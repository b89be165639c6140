/** What holds of all prices and all usage. Each property is of exact amounts unless it says otherwise. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fraction } from "../../../src/ledger/fraction.js";
import { minorText, parseAmount, rounded } from "../../../src/ledger/money.js";
import type { MeterUsage, MonthUsage } from "../../../src/ledger/month-usage.js";
import type { MeterPrice, Prices } from "../../../src/ledger/price.js";
import { rate } from "../../../src/ledger/rating.js";

const HOURS = 720;
const CURRENCIES = ["EUR", "JPY", "BHD"];

/** Decimals of all lengths, with many ties of cents. */
const amount = fc.oneof(
  fc.constantFrom("0", "0.005", "0.015", "0.0025", "0.5", "2.5", "0.000000000001"),
  fc.tuple(fc.bigInt(0n, 999_999n), fc.bigInt(0n, 10n ** 12n - 1n)).map(([whole, decimals]) => {
    return `${whole}.${String(decimals).padStart(12, "0")}`;
  }),
);
/** Thousandths, many of them about the bounds of tiers. */
const unitsMilli = fc.oneof(fc.integer({ min: 0, max: 40_000 }), fc.integer({ min: 0, max: 10 ** 12 }));
const perUnit = fc.record({ model: fc.constant("per_unit" as const), unitAmount: amount });
const packaged = fc.record({
  model: fc.constant("package" as const),
  packageSize: fc.integer({ min: 1, max: 5000 }).map((milli) => milli / 1000),
  packageAmount: amount,
});
const tiers = fc
  .tuple(
    fc.uniqueArray(fc.integer({ min: 1, max: 40_000 }), { maxLength: 5 }),
    fc.array(fc.record({ unitAmount: amount, flatAmount: amount }), { minLength: 6, maxLength: 6 }),
  )
  .map(([bounds, amounts]) => {
    const rising = bounds
      .sort((a, b) => a - b)
      .map((upToMilli, index) => ({ ...amounts[index], upTo: upToMilli / 1000 }));
    return [...rising, amounts[5] ?? {}];
  });
const graduated = fc.record({ model: fc.constant("graduated" as const), tiers });
const volume = fc.record({ model: fc.constant("volume" as const), tiers });
const included = fc.integer({ min: 0, max: 20_000 }).map((milli) => milli / 1000);
const withIncluded = <T extends object>(price: fc.Arbitrary<T>) => {
  return fc.tuple(price, included).map(([own, units]) => ({ ...own, included: units }));
};
const anyPrice: fc.Arbitrary<MeterPrice> = withIncluded(fc.oneof(perUnit, packaged, graduated, volume));

/** The exact amount of a line or a total, in 10^-15 over 720: a whole number in all of these tests. */
function exactOf(text: string): bigint {
  const [numerator = "", denominator = "1"] = text.split("/");
  const [whole = "", decimals = ""] = numerator.split(".");
  const scaled = BigInt(whole + decimals.padEnd(24, "0")) * BigInt(HOURS);
  expect(decimals.length).toBeLessThanOrEqual(24);
  expect(scaled % BigInt(denominator)).toBe(0n);
  return scaled / BigInt(denominator);
}

function monthOf(
  usage: readonly MeterUsage[],
  plans: MonthUsage["plans"] = [{ plan: "pro", hours: HOURS }],
): MonthUsage {
  return { hours: HOURS, plans, usage };
}

function pricesOf(identify: MeterPrice, currency = "EUR"): Prices {
  return { pro: { currency, meters: { identify } } };
}

const used = (milli: number, overageMilli = 0) => {
  return { plan: "pro", meter: "identify", units: milli / 1000, overage: overageMilli / 1000 };
};

/** What so many units cost. */
function costOf(price: MeterPrice, milli: number): bigint {
  const [line] = rate(monthOf([used(milli)]), pricesOf(price)).lines;
  return exactOf(line?.exact ?? "none");
}

/** An amount in 10^-12. */
const picos = (text: string) => {
  const [whole = "", decimals = ""] = text.split(".");
  return BigInt(whole + decimals.padEnd(12, "0"));
};
/** What an amount in 10^-15 is in the unit of {@link exactOf}. */
const UNIT = 10n ** 9n * BigInt(HOURS);

describe("what units cost", () => {
  it("is, graduated, the sum over slices of what each costs at its tier's price alone", () => {
    fc.assert(
      fc.property(graduated, unitsMilli, (price, milli) => {
        let sum = 0n;
        let from = 0;
        for (const { upTo, unitAmount = "0", flatAmount = "0" } of price.tiers as {
          upTo?: number;
          unitAmount?: string;
          flatAmount?: string;
        }[]) {
          const to = Math.min(milli, upTo === undefined ? Number.POSITIVE_INFINITY : Math.round(upTo * 1000));
          if (to > from) sum += BigInt(to - from) * picos(unitAmount) + 1000n * picos(flatAmount);
          from = Math.max(from, to);
        }
        expect(costOf(price, milli)).toBe(sum * UNIT);
      }),
    );
  });

  it("is, by volume, what all cost by the one tier that the last lies in", () => {
    fc.assert(
      fc.property(volume, fc.integer({ min: 1, max: 50_000 }), fc.nat(12), (price, anywhere, at) => {
        const all = price.tiers as { upTo?: number; unitAmount?: string; flatAmount?: string }[];
        const bound = all[at]?.upTo; // At the last unit of a tier, where there is one.
        const milli = bound === undefined ? anywhere : Math.round(bound * 1000);
        const below = all.filter(({ upTo }) => upTo !== undefined && Math.round(upTo * 1000) < milli).length;
        const { unitAmount = "0", flatAmount = "0" } = all[below] ?? {};
        expect(costOf(price, milli)).toBe((BigInt(milli) * picos(unitAmount) + 1000n * picos(flatAmount)) * UNIT);
      }),
    );
  });

  it("is, by packages, that of as few as hold them", () => {
    fc.assert(
      fc.property(packaged, unitsMilli, ({ packageSize, ...price }, milli) => {
        const size = Math.round(packageSize * 1000);
        const packages = Math.floor(milli / size) + (milli % size === 0 ? 0 : 1);
        expect(costOf({ ...price, packageSize }, milli)).toBe(
          BigInt(packages) * 1000n * picos(price.packageAmount) * UNIT,
        );
      }),
    );
  });

  it("never falls with more of them, but by volume", () => {
    fc.assert(
      fc.property(
        withIncluded(fc.oneof(perUnit, graduated, packaged)),
        unitsMilli,
        unitsMilli,
        (price, milli, more) => {
          expect(costOf(price, milli + more) >= costOf(price, milli)).toBe(true);
        },
      ),
    );
  });

  it("never rises with more that are included, but by volume", () => {
    fc.assert(
      fc.property(
        fc.oneof(perUnit, graduated, packaged),
        unitsMilli,
        included,
        included,
        (price, milli, some, more) => {
          const [least, most] = [Math.min(some, more), Math.max(some, more)];
          expect(costOf({ ...price, included: most }, milli) <= costOf({ ...price, included: least }, milli)).toBe(
            true,
          );
        },
      ),
    );
  });

  it("is nothing up to what is included, and from there that of the rest", () => {
    fc.assert(
      fc.property(anyPrice, unitsMilli, (price, milli) => {
        const { included: units = 0, ...plain } = price;
        expect(costOf(price, Math.min(milli, Math.round(units * 1000)))).toBe(0n);
        expect(costOf(price, Math.round(units * 1000) + milli)).toBe(costOf(plain as MeterPrice, milli));
      }),
    );
  });
});

describe("a rating", () => {
  it("is the same however one plan's usage of a meter is cut into rows, and in whatever order these come", () => {
    fc.assert(
      fc.property(
        anyPrice,
        fc.array(fc.tuple(unitsMilli, fc.boolean()), { minLength: 1, maxLength: 6 }),
        (price, parts) => {
          const prices = pricesOf({ ...price, overage: { model: "per_unit", unitAmount: "0.007" } });
          const rows = parts.map(([milli, isOver]) => used(milli, isOver ? milli : 0));
          const total = parts.reduce((sum, [milli]) => sum + milli, 0);
          const over = parts.reduce((sum, [milli, isOver]) => (isOver ? sum + milli : sum), 0);
          const whole = rate(monthOf([used(total, over)]), prices);
          expect(rate(monthOf(rows), prices)).toEqual(whole);
          expect(rate(monthOf(rows.reverse()), prices)).toEqual(whole);
        },
      ),
    );
  });

  it("has the same exact sum wherever units lie that cost the same each: of another meter, or of overage", () => {
    fc.assert(
      fc.property(perUnit, fc.array(unitsMilli, { minLength: 2, maxLength: 8 }), (price, parts) => {
        const meters = Object.fromEntries(parts.map((_, index) => [`m${index}`, { ...price, overage: price }]));
        const split = parts.map((milli, index) => {
          return {
            plan: "pro",
            meter: `m${index}`,
            units: milli / 1000,
            overage: index % 2 === 0 ? Math.floor(milli / 3) / 1000 : 0,
          };
        });
        const whole = parts.reduce((sum, milli) => sum + milli, 0);
        const [total] = rate(monthOf(split), { pro: { currency: "EUR", meters } }).totals;
        expect(exactOf(total?.exact ?? "none")).toBe(costOf(price, whole));
      }),
    );
  });

  it("has of a plan's fee and of what it includes in all as much as of the whole month, however this is cut", () => {
    fc.assert(
      fc.property(perUnit, included, amount, fc.integer({ min: 0, max: HOURS }), (price, units, monthlyFee, hours) => {
        // Two plans of the same prices, so that a change between them is none.
        const own = { currency: "EUR", monthlyFee, meters: { identify: { ...price, included: units } } };
        const plans = [
          { plan: "before", hours },
          { plan: "after", hours: HOURS - hours },
        ];
        const usage = plans.map(({ plan }) => ({ plan, meter: "identify", units: 0 }));
        const { lines } = rate(monthOf(usage, plans), { before: own, after: own });
        const sum = (kind: string, of: "exact" | "included") => {
          return lines.filter((line) => line.kind === kind).reduce((all, line) => all + exactOf(line[of]), 0n);
        };
        expect(sum("fee", "exact")).toBe(1000n * picos(monthlyFee) * UNIT);
        expect(sum("usage", "included")).toBe(exactOf(String(units)));
      }),
    );
  });

  it("has each unit in one line, and every line's billable units within its quantity", () => {
    fc.assert(
      fc.property(
        anyPrice,
        fc.option(
          anyPrice.map(({ included: _, ...price }) => price as typeof price),
          { nil: undefined },
        ),
        unitsMilli,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (price, overage, milli, part) => {
          const month = monthOf([used(milli, Math.floor(milli * part))]);
          const { lines } = rate(month, pricesOf({ ...price, overage } as MeterPrice));
          const sum = lines.reduce((all, { quantity }) => all + exactOf(quantity), 0n);
          expect(sum).toBe(BigInt(milli) * 10n ** 21n * BigInt(HOURS));
          for (const { quantity, billable } of lines) expect(exactOf(billable) <= exactOf(quantity)).toBe(true);
        },
      ),
    );
  });

  it("rounds each line to the nearest minor unit, of two to the even one, and adds up what it has rounded", () => {
    const decimals: Record<string, bigint> = { EUR: 2n, JPY: 0n, BHD: 3n };
    fc.assert(
      fc.property(
        anyPrice,
        unitsMilli,
        fc.constantFrom(...CURRENCIES),
        amount,
        fc.integer({ min: 0, max: HOURS }),
        (price, milli, currency, monthlyFee, hours) => {
          const prices = { pro: { currency, monthlyFee, meters: { identify: price } } };
          const { lines, totals } = rate(monthOf([used(milli)], [{ plan: "pro", hours }]), prices);
          const minorUnit = (10n ** 24n * BigInt(HOURS)) / 10n ** (decimals[currency] ?? 2n);
          const minors = lines.map((line) => {
            const minor = BigInt(line.amount.replace(".", ""));
            const off = 2n * (exactOf(line.exact) - minor * minorUnit);
            expect(
              (off < minorUnit && off > -minorUnit) || (minor % 2n === 0n && (off === minorUnit || off === -minorUnit)),
            ).toBe(true);
            return minor;
          });
          expect(lines).toHaveLength(2);
          expect(BigInt(totals[0]?.amount.replace(".", "") ?? "")).toBe(minors.reduce((sum, minor) => sum + minor, 0n));
        },
      ),
    );
  });
});

describe("an exact number", () => {
  const number = fc.tuple(fc.bigInt(0n, 10n ** 30n), fc.bigInt(1n, 10n ** 6n));

  it("is told so that it can be read again: a decimal that ends, or a fraction in lowest terms", () => {
    fc.assert(
      fc.property(number, ([numerator, denominator]) => {
        const [top = "", bottom = "1"] = String(Fraction.of(numerator, denominator)).split("/");
        const [whole = "", decimals = ""] = top.split(".");
        const scale = 10n ** BigInt(decimals.length) * BigInt(bottom);
        expect(BigInt(whole + decimals) * denominator).toBe(numerator * scale);
        expect(decimals).not.toMatch(/0$/);
        expect(top).toMatch(/^(0|[1-9]\d*)(\.\d+)?$/);
        if (bottom !== "1") expect(BigInt(bottom) % 2n === 0n && BigInt(top) % 2n === 0n).toBe(false);
      }),
    );
  });

  it("is what a price says, to the last of 12 decimals", () => {
    fc.assert(
      fc.property(amount, (text) => {
        const { numerator = 0n, denominator = 1n } = parseAmount(text) ?? {};
        expect(numerator * 10n ** 12n).toBe(picos(text) * denominator);
      }),
    );
  });

  it("is shown in minor units with all their digits", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 20n), fc.constantFrom(...CURRENCIES), (minor, currency) => {
        const text = minorText(minor, currency);
        const exact = Fraction.of(BigInt(text.replace(".", "")), 10n ** BigInt(text.split(".")[1]?.length ?? 0));
        expect(rounded(exact, currency)).toBe(minor);
        expect(text.split(".")[1]?.length).toBe({ EUR: 2, JPY: undefined, BHD: 3 }[currency]);
      }),
    );
  });
});
