import { isThousandths } from "../engine/amount.js";
import type { Cost } from "../engine/cost.js";
import { Subjects } from "../limiter/subjects.js";
import type { Limits } from "./limits.js";

/** The limits that a cost may name; asked for only where there is one by name. */
type Names = () => readonly string[];

/** Whether it costs nothing of any limit. */
export function isNothing(cost: Cost): boolean {
  return typeof cost === "number" ? cost === 0 : Object.values(cost).every((tokens) => tokens === 0);
}

/** What a cost may be. */
export const COST = "a number from 0 with at most three decimals, or such numbers by name of the limit";

/** Whether something is a cost, of one number or by name of the limit. */
export function isAnyCost(cost: unknown): cost is Cost {
  if (typeof cost !== "object" || cost === null) return isThousandths(cost);
  const prototype: unknown = Object.getPrototypeOf(cost);
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null;
  return isPlain && !Array.isArray(cost) && Object.values(cost).every(isThousandths);
}

/**
 * What a route's cost is under a caller's tier. A limit that the tier lacks costs nothing, if another tier has it; one that
 * none has stays, for the limiter to refuse.
 */
export function costUnder(tier: string, cost: Cost, limiter: Limits): Cost {
  if (typeof cost === "number") return cost;
  const names = limiter.costNames(tier);
  const others = Object.keys(cost).filter((name) => !names.includes(name));
  if (others.length === 0) return cost;
  const all = Object.values(limiter.tiers).flatMap(({ limits }) => limits.map(({ name }) => name));
  const foreign = others.filter((name) => all.includes(name));
  return Object.fromEntries(Object.entries(cost).filter(([name]) => !foreign.includes(name)));
}

/** Whether a cost is at least another, of each limit that a cost may name. */
export function isAtLeast(cost: Cost, least: Cost, names: Names): boolean {
  if (typeof cost === "number" && typeof least === "number") return cost >= least;
  return namesOf(cost, least, names).every((name) => tokensOf(cost, name) >= tokensOf(least, name));
}

/** What a cost is more than another. */
export function difference(cost: Cost, less: Cost, names: Names): Cost {
  return combined(cost, less, names, (one, other) => one - other);
}

/**
 * The most that a call may cost under a tier, where a cost is more than that: of the limits of which it is. Else undefined, also
 * for what is no cost.
 */
export function exceededOf(tier: string, cost: Cost, limiter: Limits): Cost | undefined {
  if (typeof cost === "number") {
    const most = limiter.maxCost(tier);
    return cost > most ? most : undefined;
  }
  const names = limiter.costNames(tier);
  if (Object.keys(cost).some((name) => !names.includes(name))) return undefined;
  const most = Object.entries(cost).map(([name, tokens]) => ({ name, tokens, most: limiter.maxCost(tier, name) }));
  const exceeded = most.filter(({ tokens, most }) => most > 0 && tokens > most); // What a limit of 0 stops is denied.
  return exceeded.length === 0 ? undefined : Object.fromEntries(exceeded.map(({ name, most }) => [name, most]));
}

/** What a key pays for a call under a tier. */
export interface Charged {
  readonly key: string;
  readonly tier: string;
  readonly cost: Cost;
}

/** What each key pays under each of its tiers, of all its parts together. */
export function summed(charged: readonly Charged[], limiter: Limits): Charged[] {
  return new Subjects(charged).calls.map(({ key, tier, costs }) => {
    const names = () => limiter.costNames(tier);
    return { key, tier, cost: costs.reduce((sum, cost) => combined(sum, cost, names, (one, other) => one + other)) };
  });
}

/** The first that is more than its tier can ever hold, and the most that it may be. */
export function exceedingOf(charged: readonly Charged[], limiter: Limits): (Charged & { most: Cost }) | undefined {
  for (const one of charged) {
    const most = exceededOf(one.tier, one.cost, limiter);
    if (most !== undefined) return { ...one, most };
  }
  return undefined;
}

/** A cost as text: `2`, or `requests=1, tokens=1850`. */
export function textOf(cost: Cost): string {
  if (typeof cost === "number") return String(cost);
  return Object.entries(cost)
    .map(([name, tokens]) => `${name}=${tokens}`)
    .join(", ");
}

/** Two costs made one, limit by limit, to a thousandth. */
function combined(cost: Cost, other: Cost, names: Names, combine: (one: number, other: number) => number): Cost {
  const rounded = (one: number, other: number) => Math.round(combine(one, other) * 1000) / 1000;
  if (typeof cost === "number" && typeof other === "number") return rounded(cost, other);
  const each = namesOf(cost, other, names);
  return Object.fromEntries(each.map((name) => [name, rounded(tokensOf(cost, name), tokensOf(other, name))]));
}

function tokensOf(cost: Cost, name: string): number {
  return typeof cost === "number" ? cost : (cost[name] ?? 0);
}

function namesOf(cost: Cost, other: Cost, names: Names): string[] {
  const own = [cost, other].flatMap((one) => (typeof one === "number" ? [] : Object.keys(one)));
  return [...new Set([...own, ...names()])];
}
