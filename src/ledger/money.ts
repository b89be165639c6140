import { decimalText, Fraction } from "./fraction.js";

/** Decimals that a price may have. */
const DECIMALS = 12;
const SCALE = 10n ** BigInt(DECIMALS);

/** A decimal as prices are written: below 10^15, without a sign, an exponent or zeros in front. */
const DECIMAL = /^(0|[1-9]\d{0,14})(?:\.(\d{1,12}))?$/;

/** What {@link parseAmount} takes, in words. */
export const AMOUNT_MAY_BE = 'a decimal in quotes from 0, below 10^15, with at most 12 decimals, such as "0.0025"';

/**
 * The decimals of the currencies that don't have two, by ISO 4217. Not those of `Intl`, which are those of custom and go
 * with the version of Node: by them HUF and IQD have none.
 */
const DIGITS: Readonly<Record<number, readonly string[]>> = {
  0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(" "),
  3: "BHD IQD JOD KWD LYD OMR TND".split(" "),
};

const digits = new Map(
  Object.entries(DIGITS).flatMap(([count, currencies]) => currencies.map((currency) => [currency, Number(count)])),
);
const currencies: ReadonlySet<string> = new Set(Intl.supportedValuesOf("currency"));

/** Whether it is the code of a currency by ISO 4217, in capitals. */
export function isCurrency(code: unknown): code is string {
  return typeof code === "string" && currencies.has(code);
}

/** Decimals of a currency's minor unit: 2 of EUR, 0 of JPY, 3 of BHD. */
export function digitsOf(currency: string): number {
  return digits.get(currency) ?? 2;
}

/** An amount of money as it is written in prices, in whole currency units; undefined if it is none. */
export function parseAmount(text: unknown): Fraction | undefined {
  const [, whole, decimals = ""] = (typeof text === "string" && DECIMAL.exec(text)) || [];
  if (whole === undefined) return undefined;
  return Fraction.of(BigInt(whole + decimals.padEnd(DECIMALS, "0")), SCALE);
}

/** An exact amount in whole minor units of its currency, rounded half to even. */
export function rounded(exact: Fraction, currency: string): bigint {
  return exact.times(Fraction.of(10n ** BigInt(digitsOf(currency)))).nearest;
}

/** Minor units as a decimal with all digits of the currency: `12.50`. */
export function minorText(minor: bigint, currency: string): string {
  return decimalText(minor, digitsOf(currency));
}
