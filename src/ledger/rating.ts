import { TollkeeperError, unmistaken } from "../errors.js";
import { type CheckedPlan, type CheckedPrice, checkedPlans } from "./check-prices.js";
import { Fraction } from "./fraction.js";
import { minorText, rounded } from "./money.js";
import type { Price, Prices } from "./price.js";

/** What was used of one meter under one plan; there may be several of both, which are one. */
export interface MeterUsage {
  /** The plan under which it was used, one of those that were held. */
  readonly plan: string;
  /** What was used. */
  readonly meter: string;
  /** Thousandths of a token that were served, all of them: whole, from 0. */
  readonly unitsMilli: number;
  /** How many of these lie beyond the quota's limit: whole, from 0; 0 by default. */
  readonly overageMilli?: number | undefined;
}

/** For how long a plan was held; several of one plan add up. */
export interface HeldPlan {
  /** The plan. */
  readonly plan: string;
  /** Whole hours of the month, from 0. */
  readonly hours: number;
}

/** One account's usage of one month, by the calendar or from its anchor day on. */
export interface MonthUsage {
  /** Hours that the whole month has: whole, 672 to 744. */
  readonly hours: number;
  /** The plans that were held in it, in their order; together no longer than the month. */
  readonly plans: readonly HeldPlan[];
  /** What was used under them. */
  readonly usage: readonly MeterUsage[];
}

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

/** What a month costs: a preview, without tax. */
export interface Rating {
  /** By plan in the order in which they were held: the fee, then the meters in the order of their prices. */
  lines: RatedLine[];
  /** One for each currency, in the order of the lines. */
  totals: RatedTotal[];
  /** Usage that has no price, and is in no line: whose plan has none, or none of that meter. */
  unpriced: { plan: string; meter: string; quantity: string }[];
}

/** The hours of the shortest and the longest month. */
const SHORTEST = 28 * 24;
const LONGEST = 31 * 24;

/** What was used of a meter, in thousandths, and how much of that is overage. */
interface Used {
  readonly unitsMilli: bigint;
  readonly overageMilli: bigint;
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

/** For which part of the month each plan was held. */
function heldOf({ hours, plans }: MonthUsage): ReadonlyMap<string, Fraction> {
  if (!Number.isInteger(hours) || hours < SHORTEST || hours > LONGEST) {
    throw invalid("hours", hours, `the whole hours of a month, ${SHORTEST} to ${LONGEST}`);
  }
  const held = new Map<string, number>();
  let left = hours;
  plans.forEach(({ plan, hours: own }, index) => {
    if (!Number.isInteger(own) || own < 0 || own > left) {
      throw invalid(`plans[${index}].hours`, own, `whole hours from 0, at most the ${left} that are left of the month`);
    }
    left -= own;
    held.set(plan, (held.get(plan) ?? 0) + own);
  });
  return new Map([...held].map(([plan, own]) => [plan, Fraction.of(BigInt(own), BigInt(hours))]));
}

/** What was used under each plan of each meter. */
function usedOf({ usage }: MonthUsage, held: ReadonlyMap<string, unknown>): Map<string, Map<string, Used>> {
  const used = new Map<string, Map<string, Used>>();
  usage.forEach(({ plan, meter, unitsMilli, overageMilli = 0 }, index) => {
    const path = `usage[${index}]`;
    if (!held.has(plan)) throw invalid(`${path}.plan`, plan, `a plan that was held: ${[...held.keys()].join(", ")}`);
    if (!Number.isSafeInteger(unitsMilli) || unitsMilli < 0) {
      throw invalid(`${path}.unitsMilli`, unitsMilli, "whole thousandths from 0, below 2^53");
    }
    if (!Number.isSafeInteger(overageMilli) || overageMilli < 0 || overageMilli > unitsMilli) {
      throw invalid(
        `${path}.overageMilli`,
        overageMilli,
        `whole thousandths from 0, at most unitsMilli: ${unitsMilli}`,
      );
    }
    const meters = used.get(plan) ?? new Map<string, Used>();
    const before = meters.get(meter);
    meters.set(meter, {
      unitsMilli: (before?.unitsMilli ?? 0n) + BigInt(unitsMilli),
      overageMilli: (before?.overageMilli ?? 0n) + BigInt(overageMilli),
    });
    used.set(plan, meters);
  });
  return used;
}

function tokensOf(milli: bigint): Fraction {
  return Fraction.of(milli, 1000n);
}

function invalid(path: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_USAGE_INVALID", `${path} is ${unmistaken(was)}; it may be ${mayBe}`);
}
