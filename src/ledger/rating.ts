import { type CheckedPlan, type CheckedPrice, checkedPlans } from "./check-prices.js";
import { Fraction } from "./fraction.js";
import { minorText, rounded } from "./money.js";
import { heldOf, type MonthUsage, type Used, usedOf } from "./month-usage.js";
import type { Price, Prices } from "./price.js";

/**
 * One line of a {@link Rating}. Exact numbers are text: a decimal where it ends, and otherwise a fraction in lowest terms such
 * as `10/3`.
 */
export interface RatedLine {
  /** A plan's monthly fee, units of a meter, or those beyond a quota's limit. */
  kind: "fee" | "usage" | "overage";
  /** The plan whose prices it has. */
  plan: string;
  /** The meter; null for a fee. */
  meter: string | null;
  /** Units that were used; of a fee the part of the month for which the plan was held. */
  quantity: string;
  /** Units that are included, for the part of the month for which the plan was held; they may be more than were used. */
  included: string;
  /** The quantity without what is included, 0 where that is more; what is priced. */
  billable: string;
  /** How these were priced. */
  model: Price["model"] | "fixed";
  /** What it costs exactly. */
  exact: string;
  /** The same, rounded half to even to the minor unit of the currency, with all its digits. */
  amount: string;
  /** Code of the currency by ISO 4217. */
  currency: string;
}

/** What the lines of one currency are together. */
export interface RatedTotal {
  /** Code of the currency by ISO 4217. */
  currency: string;
  /** The sum of the exact amounts, as text. */
  exact: string;
  /** The sum of the rounded amounts, which is what they are together on paper. */
  amount: string;
}

/** Usage that has no price. */
export interface UnpricedUsage {
  /** The plan under which it was used. */
  plan: string;
  /** What was used. */
  meter: string;
  /** Units, exactly, as text. */
  quantity: string;
}

/** What a month costs: a preview, without tax. */
export interface Rating {
  /** By plan in the order in which they were held: the fee, then the meters in the order of their prices. */
  lines: RatedLine[];
  /** One for each currency, in the order of the lines. */
  totals: RatedTotal[];
  /** Usage that has no price, and is in no line: whose plan has none, or none of that meter. */
  unpriced: UnpricedUsage[];
}

/** A line whose exact amount is not text yet. */
type Entry = Omit<RatedLine, "exact" | "amount"> & { exact: Fraction };

/**
 * What an account's usage of a month costs by the prices of the plans that it held.
 *
 * After a change of plan each plan's usage is priced by its own prices. Its monthly fee and the units that it includes count
 * for the part of the month for which it was held, by whole hours and as an exact fraction: 372 of 744 hours are a half. The bounds
 * of tiers and the sizes of packages stay whole. Of overage nothing is included.
 *
 * @param prices Those that {@link checkPrices} gave, or any that it would.
 * @throws {TollkeeperError} `ERR_USAGE_INVALID`, naming the place, what it was and what it may be; `ERR_PRICE_INVALID`
 *
 * @example
 * ```ts
 * import { checkPrices, rate } from "tollkeeper/ledger";
 *
 * const identify = { model: "per_unit", unitAmount: "0.0025", included: 1000 } as const;
 * const prices = checkPrices({ pro: { currency: "EUR", monthlyFee: "49", meters: { identify } } }, ["identify"]);
 *
 * const usage = [{ plan: "pro", meter: "identify", units: 1302 }];
 * const { lines, totals } = rate({ hours: 720, plans: [{ plan: "pro", hours: 360 }], usage }, prices);
 * console.log(lines.map(({ billable, exact, amount }) => [billable, exact, amount].join(" "))); // [ '0.5 24.5 24.50', '802 2.005 2.00' ]
 * console.log(totals); // [ { currency: 'EUR', exact: '26.505', amount: '26.50' } ]
 * ```
 */
export function rate(month: MonthUsage, prices: Prices): Rating {
  const plans = checkedPlans(prices);
  const held = heldOf(month);
  const used = usedOf(month, held);
  const entries: Entry[] = [];
  const unpriced: Rating["unpriced"] = [];
  for (const [name, part] of held) {
    const plan = plans.get(name);
    const meters = used.get(name) ?? new Map<string, Used>();
    if (plan !== undefined) entries.push(...entriesOf(name, plan, part, meters));
    for (const [meter, { unitsMilli }] of meters) {
      if (plan?.meters.has(meter) !== true) {
        unpriced.push({ plan: name, meter, quantity: tokensOf(unitsMilli).toString() });
      }
    }
  }
  return { lines: entries.map(lineOf), totals: totalsOf(entries), unpriced };
}

function entriesOf(plan: string, prices: CheckedPlan, part: Fraction, used: ReadonlyMap<string, Used>): Entry[] {
  const { currency, monthlyFee, meters } = prices;
  const entries: Entry[] = [];
  if (monthlyFee !== undefined) {
    const share = { quantity: part.toString(), included: "0", billable: part.toString() };
    entries.push({ kind: "fee", plan, meter: null, ...share, model: "fixed", exact: monthlyFee.times(part), currency });
  }
  for (const [meter, price] of meters) {
    const units = used.get(meter);
    if (units === undefined) continue;
    const { overage } = price;
    const apartMilli = overage === undefined ? 0n : units.overageMilli;
    const of = { plan, meter, currency };
    const included = price.included.times(part);
    entries.push({ kind: "usage", ...of, ...charged(price, units.unitsMilli - apartMilli, included) });
    if (overage !== undefined && apartMilli > 0n) {
      entries.push({ kind: "overage", ...of, ...charged(overage, apartMilli, Fraction.ZERO) });
    }
  }
  return entries;
}

function charged({ model, charge }: CheckedPrice, milli: bigint, included: Fraction) {
  const quantity = tokensOf(milli);
  const billable = quantity.without(included);
  const told = { quantity: quantity.toString(), included: included.toString(), billable: billable.toString() };
  return { ...told, model, exact: charge(billable) };
}

function lineOf({ exact, ...entry }: Entry): RatedLine {
  return { ...entry, exact: exact.toString(), amount: minorText(rounded(exact, entry.currency), entry.currency) };
}

function totalsOf(entries: readonly Entry[]): RatedTotal[] {
  const currencies = [...new Set(entries.map(({ currency }) => currency))];
  return currencies.map((currency) => {
    const amounts = entries.filter((entry) => entry.currency === currency).map(({ exact }) => exact);
    const exact = amounts.reduce((sum, amount) => sum.plus(amount), Fraction.ZERO);
    const minor = amounts.reduce((sum, amount) => sum + rounded(amount, currency), 0n);
    return { currency, exact: exact.toString(), amount: minorText(minor, currency) };
  });
}

function tokensOf(milli: bigint): Fraction {
  return Fraction.of(milli, 1000n);
}
