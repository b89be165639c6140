import { MAX_CAPACITY, toMilli } from "../engine/amount.js";
import { placeOf } from "../engine/plain-tiers.js";
import { TollkeeperError } from "../errors.js";
import { type Charge, type ChargeTier, graduated, packaged, perUnit, volume } from "./charge.js";
import { Fraction } from "./fraction.js";
import { AMOUNT_MAY_BE, isCurrency, parseAmount } from "./money.js";
import type { Price, Prices, PriceTier } from "./price.js";

/** A price, ready to charge. */
export interface CheckedPrice {
  readonly model: Price["model"];
  readonly charge: Charge;
}

/** The price of a meter, ready to charge. */
export interface CheckedMeter extends CheckedPrice {
  /** Units of a whole month. */
  readonly included: Fraction;
  readonly overage: CheckedPrice | undefined;
}

/** The prices of a plan, ready to charge. */
export interface CheckedPlan {
  readonly currency: string;
  /** Undefined if it has none. */
  readonly monthlyFee: Fraction | undefined;
  readonly meters: ReadonlyMap<string, CheckedMeter>;
}

const MAX_TIERS = 100;
/** Objects within one another that prices can have: the last are the tiers of overage. */
const MAX_DEPTH = 8;
/** UTF-16 units that are told of what is wrong. */
const MAX_SHOWN = 60;

const FIELDS = {
  per_unit: ["unitAmount"],
  graduated: ["tiers"],
  volume: ["tiers"],
  package: ["packageSize", "packageAmount"],
} as const satisfies Record<Price["model"], readonly string[]>;

/** What was checked, so that each of many ratings need not do it again. */
const checked = new WeakMap<Prices, ReadonlyMap<string, CheckedPlan>>();

/**
 * Checks prices, and gives a copy of them in which nothing changes any more.
 *
 * @param meters Names of the meters that there are.
 * @throws {TollkeeperError} `ERR_PRICE_INVALID`, naming the place, what it was and what it may be.
 *
 * @example
 * ```ts
 * import { checkPrices } from "tollkeeper/ledger";
 *
 * const tiers = [{ upTo: 1000, unitAmount: "0.01" }, { upTo: 500, unitAmount: "0.005" }, { unitAmount: "0.001" }];
 * const identify = { model: "graduated", tiers } as const;
 * try {
 *   checkPrices({ pro: { currency: "EUR", meters: { identify } } }, ["identify"]);
 * } catch (error) {
 *   console.log((error as Error).message.split(";")[0]); // prices.pro.meters.identify.tiers[1].upTo is 500
 * }
 * ```
 */
export function checkPrices(prices: Prices, meters: readonly string[]): Prices {
  const copy = frozen(prices, MAX_DEPTH) as Prices;
  checked.set(copy, plansOf(copy, meters));
  return copy;
}

/**
 * Prices, ready to charge: at once, if {@link checkPrices} gave them.
 *
 * @throws {TollkeeperError} `ERR_PRICE_INVALID`
 */
export function checkedPlans(prices: Prices): ReadonlyMap<string, CheckedPlan> {
  return checked.get(prices) ?? plansOf(frozen(prices, MAX_DEPTH), undefined);
}

function plansOf(prices: unknown, meters: readonly string[] | undefined): ReadonlyMap<string, CheckedPlan> {
  const entries = Object.entries(objectOf("prices", prices, "an object of prices by name of the plan"));
  return new Map(entries.map(([name, plan]) => [name, planOf(placeOf("prices", name), plan, meters)]));
}

function planOf(path: string, plan: unknown, meters: readonly string[] | undefined): CheckedPlan {
  const fields = objectOf(path, plan, "an object with currency, monthlyFee and meters");
  onlyFields(path, fields, ["currency", "monthlyFee", "meters"]);
  const { currency, monthlyFee } = fields;
  if (!isCurrency(currency)) {
    throw invalid(`${path}.currency`, currency, 'one code of ISO 4217, in capitals, such as "EUR"');
  }
  const own = Object.entries(
    objectOf(`${path}.meters`, fields["meters"] ?? {}, "an object of prices by name of the meter"),
  );
  return {
    currency,
    monthlyFee: monthlyFee === undefined ? undefined : amountOf(`${path}.monthlyFee`, monthlyFee),
    meters: new Map(
      own.map(([name, price]) => {
        const place = placeOf(`${path}.meters`, name);
        if (meters?.includes(name) === false) throw invalid(place, Symbol("of an unknown meter"), oneOf(meters));
        return [name, meterOf(place, price)];
      }),
    ),
  };
}

function meterOf(path: string, price: unknown): CheckedMeter {
  const { included = 0, overage } = objectOf(path, price, "an object with a model");
  return {
    ...priceOf(path, price, ["included", "overage"]),
    included: unitsOf(`${path}.included`, included, 0),
    overage: overage === undefined ? undefined : priceOf(`${path}.overage`, overage, []),
  };
}

/** @param others Fields that it may have beside those of its model. */
function priceOf(path: string, price: unknown, others: readonly string[]): CheckedPrice {
  const fields = objectOf(path, price, "an object with a model");
  const model = modelOf(`${path}.model`, fields["model"]);
  onlyFields(path, fields, ["model", ...FIELDS[model], ...others]);
  const amount = (field: string) => amountOf(`${path}.${field}`, fields[field]);
  switch (model) {
    case "per_unit":
      return { model, charge: perUnit(amount("unitAmount")) };
    case "package": {
      const size = unitsOf(`${path}.packageSize`, fields["packageSize"], 1);
      return { model, charge: packaged(size, amount("packageAmount")) };
    }
    case "graduated":
      return { model, charge: graduated(tiersOf(`${path}.tiers`, fields["tiers"])) };
    case "volume":
      return { model, charge: volume(tiersOf(`${path}.tiers`, fields["tiers"])) };
  }
}

function modelOf(path: string, model: unknown): Price["model"] {
  if (typeof model === "string" && Object.hasOwn(FIELDS, model)) return model as Price["model"];
  throw invalid(path, model, oneOf(Object.keys(FIELDS)));
}

function tiersOf(path: string, tiers: unknown): ChargeTier[] {
  if (!Array.isArray(tiers) || tiers.length === 0 || tiers.length > MAX_TIERS) {
    const was = Array.isArray(tiers) ? Symbol(`an array of ${tiers.length}`) : tiers;
    throw invalid(path, was, `an array of 1 to ${MAX_TIERS} tiers`);
  }
  let from = Fraction.ZERO;
  return tiers.map((tier, index) => {
    const place = `${path}[${index}]`;
    const checkedTier = tierOf(place, tier);
    const { upTo } = checkedTier;
    const isLast = index === tiers.length - 1;
    if (isLast !== (upTo === undefined) || (upTo !== undefined && !upTo.isAbove(from))) {
      const mayBe = isLast
        ? "left out, since the last tier has no end"
        : `a number above ${from}, since tiers rise and only the last one has no end`;
      throw invalid(`${place}.upTo`, (tier as PriceTier).upTo, mayBe);
    }
    from = upTo ?? from;
    return checkedTier;
  });
}

function tierOf(path: string, tier: unknown): ChargeTier {
  const fields = objectOf(path, tier, "an object with upTo, unitAmount and flatAmount");
  onlyFields(path, fields, ["upTo", "unitAmount", "flatAmount"]);
  const { upTo, unitAmount, flatAmount } = fields;
  if (unitAmount === undefined && flatAmount === undefined) {
    throw invalid(path, Symbol("without an amount"), "one with unitAmount, flatAmount or both");
  }
  const amount = (field: string, value: unknown) => {
    return value === undefined ? Fraction.ZERO : amountOf(`${path}.${field}`, value);
  };
  return {
    upTo: upTo === undefined ? undefined : unitsOf(`${path}.upTo`, upTo, 1),
    unitAmount: amount("unitAmount", unitAmount),
    flatAmount: amount("flatAmount", flatAmount),
  };
}

function amountOf(path: string, amount: unknown): Fraction {
  const exact = parseAmount(amount);
  if (exact === undefined) throw invalid(path, amount, AMOUNT_MAY_BE);
  return exact;
}

/** Units, of thousandths; `least` is 0 or 1 of these. */
function unitsOf(path: string, units: unknown, least: 0 | 1): Fraction {
  const milli = typeof units === "number" ? toMilli(units) : Number.NaN;
  if (milli >= least && milli <= MAX_CAPACITY) return Fraction.of(BigInt(milli), 1000n);
  const from = least === 0 ? "from 0" : "above 0";
  throw invalid(path, units, `a number ${from}, at most ${MAX_CAPACITY / 1000}, with at most three decimals`);
}

function objectOf(path: string, value: unknown, mayBe: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(path, value, mayBe);
  return value as Record<string, unknown>;
}

function onlyFields(path: string, fields: object, known: readonly string[]): void {
  const unknown = Object.keys(fields).find((field) => !known.includes(field));
  if (unknown !== undefined) throw invalid(placeOf(path, unknown), Symbol("an unknown field"), oneOf(known));
}

function oneOf(names: readonly string[]): string {
  return names.length === 0 ? "left out, since there are none" : `one of ${names.join(", ")}`;
}

/** A copy of the own fields, read once; what lies deeper than prices go is left as it is, and found wrong. */
function frozen(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null || depth === 0) return value;
  if (Array.isArray(value)) return Object.freeze(Array.from(value, (item) => frozen(item, depth - 1)));
  return Object.freeze(
    Object.fromEntries(Object.entries(value).map(([name, field]) => [name, frozen(field, depth - 1)])),
  );
}

/** @param was The value; a symbol says it in words. */
function invalid(path: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_PRICE_INVALID", `${path} is ${shown(was)}; it may be ${mayBe}`);
}

function shown(was: unknown): string {
  if (typeof was === "symbol") return was.description ?? "a symbol";
  if (typeof was === "string") return JSON.stringify(was.length > MAX_SHOWN ? `${was.slice(0, MAX_SHOWN)}…` : was);
  if (Array.isArray(was)) return `an array of ${was.length}`;
  return typeof was === "object" && was !== null ? "an object" : String(was);
}
