import { toMilli } from "../engine/amount.js";
import { TollkeeperError } from "../errors.js";
import { shown } from "../limiter/misuse.js";

/** What one call has used, or that it was denied. */
export interface Usage {
  /** Whose usage it is: 1 to 512 UTF-16 units. */
  account: string;
  /** What was sold: one of those that the ledger was opened with. */
  meter: string;
  /** Under which plan: the tier's own name, 1 to 64 UTF-16 units. */
  plan: string;
  /** Tokens that were served, net of what was given back: from 0, at most three decimals; 1 by default. */
  units?: number | undefined;
  /** Tokens that were charged and then given back: from 0, at most three decimals; 0 by default. */
  refunded?: number | undefined;
  /** Whether the call was denied, and used nothing; false by default. */
  denied?: boolean | undefined;
}

/** Tokens in thousandths, if they may be. */
export function checkedUnits(name: "units" | "refunded", tokens: unknown): number {
  const milli = typeof tokens === "number" ? toMilli(tokens) : Number.NaN;
  if (Number.isNaN(milli)) throw usageInvalid(name, tokens, "a number from 0 with at most three decimals");
  return milli;
}

/** @throws {TollkeeperError} `ERR_USAGE_INVALID` */
export function checkName(name: "account" | "plan", text: unknown, most: number): void {
  if (typeof text === "string" && text.length > 0 && text.length <= most) return;
  const was = typeof text === "string" ? `a string of ${text.length} UTF-16 units` : `of type ${typeof text}`;
  throw new TollkeeperError("ERR_USAGE_INVALID", `${name} is ${was}; it may be a string of 1 to ${most} UTF-16 units`);
}

/** @throws {TollkeeperError} `ERR_USAGE_INVALID` */
export function checkDenied({ denied, units, refunded }: Usage): void {
  if (typeof denied !== "boolean") throw usageInvalid("denied", denied, "true or false");
  if (denied && (units !== undefined || refunded !== undefined)) {
    const name = units === undefined ? "refunded" : "units";
    throw usageInvalid(name, units ?? refunded, "left out of a call that was denied, which has used nothing");
  }
}

function usageInvalid(name: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_USAGE_INVALID", `${name} is ${shown(was)}; it may be ${mayBe}`);
}

/** A meter that there is not. */
export function unknownMeter(meter: unknown, meters: readonly string[]): TollkeeperError {
  const was = typeof meter === "string" ? meter : `of type ${typeof meter}`;
  return new TollkeeperError("ERR_METER_UNKNOWN", `meter is ${was}; it may be one of ${meters.join(", ")}`);
}
