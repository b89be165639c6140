import { inspect } from "node:util";
import { TollkeeperError, unmistaken } from "../errors.js";

/** UTF-16 units of a name that are told. */
const MAX_SHOWN = 64;

/** What a clock gave, in whole ms, if it may be. */
export function checkedNow(now: number): number {
  // 2^43 ms, the year 2248, is the last instant that an engine can hold.
  if (!(typeof now === "number" && now >= 0 && now < 2 ** 43)) {
    throw new TollkeeperError(
      "ERR_CLOCK_INVALID",
      `the clock gave ${now}; it may give milliseconds since 1970, below 2^43`,
    );
  }
  return Math.floor(now);
}

/** A key, if it is one. */
export function checkedKey(key: unknown): string {
  if (typeof key !== "string" || key.length === 0 || key.length > 512) throw invalidKey(key);
  return key;
}

/** A key that is none. */
export function invalidKey(key: unknown): TollkeeperError {
  const shown = typeof key === "string" ? `a string of ${key.length} UTF-16 units` : `of type ${typeof key}`;
  return new TollkeeperError("ERR_KEY_INVALID", `key is ${shown}; it may be a string of 1 to 512 UTF-16 units`);
}

/** A tier that there is not. */
export function unknownTier(name: unknown, tiers: ReadonlyMap<string, unknown>): TollkeeperError {
  const shown = typeof name === "string" ? name : typeof name;
  return new TollkeeperError("ERR_TIER_UNKNOWN", `tier is ${shown}; it may be one of ${[...tiers.keys()].join(", ")}`);
}

/** A cost that is none. */
export function invalidCost(cost: unknown): TollkeeperError {
  return new TollkeeperError(
    "ERR_COST_INVALID",
    `cost is ${told(cost)}; it may be a number from 0 with at most three decimals, or such numbers by name of the limit`,
  );
}

/** A cost of one limit that is none. */
export function invalidCostOf(limit: string, cost: unknown): TollkeeperError {
  return new TollkeeperError(
    "ERR_COST_INVALID",
    `cost.${limit} is ${told(cost)}; it may be a number from 0 with at most three decimals`,
  );
}

/** A cost of a limit that the tier lacks; it may be of others. */
export function foreignCost(limit: string, tier: string, others: readonly string[]): TollkeeperError {
  const name = limit.length > MAX_SHOWN ? `${limit.slice(0, MAX_SHOWN)}…` : limit;
  const mayBe = others.length === 0 ? "a number" : `of ${others.join(", ")}`;
  return new TollkeeperError("ERR_COST_INVALID", `cost.${name} is of no limit of tier ${tier}; a cost may be ${mayBe}`);
}

function told(cost: unknown): string {
  if (typeof cost === "number") return String(cost);
  return cost === null ? "null" : Array.isArray(cost) ? "an array" : `of type ${typeof cost}`;
}

/** A cost above `maxCost`, in tokens, the most that the tier ever holds. */
export function excessiveCost(cost: unknown, tier: string, maxCost: number): TollkeeperError {
  return new TollkeeperError(
    "ERR_COST_EXCEEDS_CAPACITY",
    `cost is ${told(cost)}, which can never pass: tier ${tier} holds at most ${maxCost}`,
  );
}

/** The same of the cost of one limit. */
export function excessiveCostOf(limit: string, cost: number, tier: string, maxCost: number): TollkeeperError {
  return new TollkeeperError(
    "ERR_COST_EXCEEDS_CAPACITY",
    `cost.${limit} is ${cost}, which can never pass: the limit holds at most ${maxCost} under tier ${tier}`,
  );
}

/** Costs of one key under several tiers, of which no more than `most`, in tokens or places, can ever be had of one limit. */
export function excessiveTogether(limit: string, tier: string, most: number): TollkeeperError {
  return new TollkeeperError(
    "ERR_COST_EXCEEDS_CAPACITY",
    `together they can never pass: ${limit} is one count of their key, which holds at most ${most} under tier ${tier}`,
  );
}

/** A call after `close`. */
export function limiterClosed(): TollkeeperError {
  return new TollkeeperError("ERR_LIMITER_CLOSED", "the limiter is closed");
}

/** A value for people, whatever it is: not everything can be made a string. */
export function shown(was: unknown): string {
  return typeof was === "object" ? inspect(was, { depth: 0, breakLength: Number.POSITIVE_INFINITY }) : unmistaken(was);
}
