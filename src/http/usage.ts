import type { Cost } from "../engine/cost.js";
import { optionInvalid } from "../errors.js";
import type { Decision } from "../limiter/decision.js";
import type { Limits } from "./limits.js";

/** What one call has used, or that it was denied. */
export interface CallUsage {
  /** Whose usage it is. */
  account: string;
  /** What was sold. */
  meter: string;
  /** Under which plan: the name of the caller's tier. */
  plan: string;
  /** Tokens that were served. */
  units?: number;
  /** Tokens that were charged and given back. */
  refunded?: number;
  /** Whether the call was denied, and used nothing. */
  denied?: boolean;
}

/** Where calls are counted: what `openLedger` of `tollkeeper/ledger` returned. */
export interface UsageLedger {
  /** What can be counted. */
  readonly meters: readonly string[];
  /** Counts one call. */
  record(usage: CallUsage): void;
}

/** A meter whose units are the tokens of one limit. */
export interface LimitMeter {
  /** What is sold. */
  readonly name: string;
  /** The name of a limit of some tier. */
  readonly limit: string;
}

/**
 * Under which meter a call is counted: its name, or with the limit whose tokens are the units. Without that, the limit of which a
 * call costs most says them. `false` for none.
 */
export type Meter = string | LimitMeter | false;

/**
 * Checks a meter as far as that can be done without a ledger.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkMeter(path: string, meter: unknown): void {
  if (meter === undefined || meter === false || typeof meter === "string") return;
  const { name, limit, ...others } = (meter ?? {}) as { name?: unknown; limit?: unknown };
  if (typeof name === "string" && typeof limit === "string" && Object.keys(others).length === 0) return;
  throw optionInvalid(path, meter, "the name of a meter, { name, limit }, or false for none");
}

/**
 * Checks that a ledger has a meter, and some tier the limit that it names: usage of what there is not would be lost in silence.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkMeterOf(path: string, meter: Meter | undefined, ledger: UsageLedger, limiter: Limits): void {
  if (meter === undefined || meter === false) return;
  const { name, limit } = typeof meter === "string" ? { name: meter, limit: undefined } : meter;
  if (!ledger.meters.includes(name)) throw optionInvalid(path, name, `one of ${ledger.meters.join(", ")}`);
  if (limit === undefined) return;
  const limits = new Set(Object.values(limiter.tiers).flatMap(({ limits }) => limits.map(({ name }) => name)));
  if (!limits.has(limit)) throw optionInvalid(`${path}.limit`, limit, `one of ${[...limits].join(", ")}`);
}

/** What a call has used of a meter, in tokens. */
export interface Amounts {
  readonly units: number;
  readonly refunded: number;
}

export const NOTHING: Amounts = { units: 0, refunded: 0 };

/** What a call has used by its decision, and where that can't say it, since its tier lacks the limit, by what its route costs. */
export function amountsOf(decision: Decision, cost: Cost, limit: string | undefined): Amounts {
  const used = decision.usedMilli(limit);
  if (used !== undefined) return { units: used.net / 1000, refunded: Math.max(0, used.charged - used.net) / 1000 };
  const { units } = askedAmounts(cost, limit);
  return decision.usedMilli(undefined)?.net === 0 ? { units: 0, refunded: units } : { units, refunded: 0 };
}

/** What a call has used that went on at what its route costs, and has spent nothing. */
export function askedAmounts(cost: Cost, limit: string | undefined): Amounts {
  if (typeof cost === "number") return { units: cost, refunded: 0 };
  return { units: limit === undefined ? Math.max(0, ...Object.values(cost)) : (cost[limit] ?? 0), refunded: 0 };
}

/** A layer, as far as it counts. */
export interface CountingLayer {
  /** Where it counts; undefined where it does not. */
  readonly ledger: UsageLedger | undefined;
}

/** One call at one of its layers, as it is counted. */
export interface CountedCall {
  /** The same call at the layer before. */
  readonly previous: CountedCall | undefined;
  /** Where this layer counts. */
  readonly layer: CountingLayer;
  /** Whether this layer has denied it. */
  readonly wasDenied: boolean;
  /** Whether it runs no more. */
  isOver: boolean;
  /** Whether this layer's ledger has it. */
  isCounted: boolean;
  /** What is to be counted of it, if it is known; `isDenied` is whether some layer has denied it. */
  usage(isDenied: boolean): CallUsage | undefined;
}

/**
 * Counts a call once for each ledger that its layers have, by the first of them that has it: now that its answer was sent, or its
 * caller has gone; while it is still being decided, once it is told of again.
 *
 * @param last The call at its last layer.
 * @throws {TollkeeperError} as `record` of the ledger does, or whatever that throws.
 */
export function countUsage(last: CountedCall): void {
  if (last.previous === undefined) {
    countAt(last, last.wasDenied);
    return;
  }
  const calls: CountedCall[] = [];
  for (let call: CountedCall | undefined = last; call !== undefined; call = call.previous) calls.unshift(call);
  const isDenied = calls.some(({ wasDenied }) => wasDenied);
  for (const call of calls) {
    const { ledger } = call.layer;
    if (!calls.some((other) => other.isCounted && other.layer.ledger === ledger)) countAt(call, isDenied);
  }
}

/** Counts a call at one of its layers, if that has a ledger, which has not counted it. */
function countAt(call: CountedCall, isDenied: boolean): void {
  call.isOver = true;
  const { ledger } = call.layer;
  if (ledger === undefined || call.isCounted) return;
  const usage = call.usage(isDenied);
  if (usage === undefined) return;
  call.isCounted = true;
  ledger.record(usage);
}
