import { toMilli } from "../engine/amount.js";
import { TollkeeperError, unmistaken } from "../errors.js";
import { Fraction } from "./fraction.js";

/**
 * What was used of one meter under one plan; there may be several of both, which are one. The rows of a ledger's report that is
 * grouped by meter and plan are such.
 */
export interface MeterUsage {
  /** The plan under which it was used, one of those that were held. It has to be there. */
  readonly plan?: string | undefined;
  /** What was used. It has to be there. */
  readonly meter?: string | undefined;
  /** Tokens that were served, all of them: from 0, at most three decimals. */
  readonly units: number;
  /** How many of these lie beyond the quota's limit: likewise; 0 by default. */
  readonly overage?: number | undefined;
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

/** The hours of the shortest and the longest month. */
const SHORTEST = 28 * 24;
const LONGEST = 31 * 24;

/** What was used of a meter, in thousandths, and how much of that is overage. */
export interface Used {
  readonly unitsMilli: bigint;
  readonly overageMilli: bigint;
}

/**
 * For which part of the month each plan was held.
 *
 * @throws {TollkeeperError} `ERR_USAGE_INVALID`
 */
export function heldOf({ hours, plans }: MonthUsage): ReadonlyMap<string, Fraction> {
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

/**
 * What was used under each plan of each meter.
 *
 * @param held Plans by name.
 * @throws {TollkeeperError} `ERR_USAGE_INVALID`
 */
export function usedOf({ usage }: MonthUsage, held: ReadonlyMap<string, unknown>): Map<string, Map<string, Used>> {
  const used = new Map<string, Map<string, Used>>();
  usage.forEach(({ plan, meter, units, overage = 0 }, index) => {
    const path = `usage[${index}]`;
    if (plan === undefined || !held.has(plan)) {
      throw invalid(`${path}.plan`, plan, `a plan that was held: ${[...held.keys()].join(", ")}`);
    }
    if (typeof meter !== "string") throw invalid(`${path}.meter`, meter, "the name of a meter");
    const unitsMilli = unitsOf(`${path}.units`, units);
    const overageMilli = milliOf(overage);
    if (!(overageMilli <= unitsMilli)) {
      throw invalid(`${path}.overage`, overage, `a number from 0 to units, ${units}, with at most three decimals`);
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

/**
 * Tokens in thousandths.
 *
 * @throws {TollkeeperError} `ERR_USAGE_INVALID`
 */
export function unitsOf(path: string, tokens: unknown): number {
  const milli = milliOf(tokens);
  if (Number.isNaN(milli)) throw invalid(path, tokens, "a number from 0 with at most three decimals");
  return milli;
}

function milliOf(tokens: unknown): number {
  return typeof tokens === "number" ? toMilli(tokens) : Number.NaN;
}

function invalid(path: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_USAGE_INVALID", `${path} is ${unmistaken(was)}; it may be ${mayBe}`);
}
