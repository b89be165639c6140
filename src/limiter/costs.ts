import { toMilli } from "../engine/amount.js";
import { type Cost, type CostMilli, costAt, EACH, sum } from "../engine/cost.js";
import { FRAME, type Frame } from "../engine/frame.js";
import type { TollkeeperError } from "../errors.js";
import type { BoundTier } from "./bound-tier.js";
import { excessiveCost, excessiveCostOf, foreignCost, invalidCost, invalidCostOf } from "./misuse.js";
import { plainTier } from "./overrides.js";

const { COST, COSTS, VERSION } = FRAME;

/**
 * What a cost is under a tier, in thousandths.
 *
 * @throws {TollkeeperError} `ERR_COST_INVALID`
 */
export function milliOf(cost: Cost, boundTier: BoundTier): CostMilli {
  if (typeof cost !== "number") return eachMilliOf(cost, boundTier);
  const milli = toMilli(cost);
  if (Number.isNaN(milli)) throw invalidCost(cost);
  return milli;
}

/**
 * The same of a cost by name of the limit, in the order of {@link BoundTier.costNames}. Each field is read once.
 *
 * @throws {TollkeeperError} `ERR_COST_INVALID` for whatever else was given, too.
 */
export function eachMilliOf(cost: unknown, boundTier: BoundTier): readonly number[] {
  if (typeof cost !== "object" || cost === null || Array.isArray(cost)) throw invalidCost(cost);
  const byName = cost as Record<string, unknown>;
  const { costNames } = boundTier;
  const costs = new Array<number>(costNames.length);
  let named = 0;
  for (let index = 0; index < costNames.length; index++) {
    const name = costNames[index] as string;
    const tokens = byName[name];
    let milli = 0;
    if (tokens !== undefined) {
      named++;
      milli = typeof tokens === "number" ? toMilli(tokens) : Number.NaN;
      if (Number.isNaN(milli)) throw invalidCostOf(name, tokens);
    }
    costs[index] = milli;
  }
  let fields = 0;
  for (const _ in byName) fields++;
  if (named === 0 || named !== fields) checkNames(byName, boundTier);
  return costs;
}

/** Whatever else it is than names of limits, a cost of nothing by mistake would let everybody in. */
function checkNames(cost: Record<string, unknown>, { costNames, name: tier }: BoundTier): void {
  const prototype: unknown = Object.getPrototypeOf(cost);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) throw invalidCost(cost);
  const foreign = Object.keys(cost).find((name) => !costNames.includes(name));
  if (foreign !== undefined) throw foreignCost(foreign, plainTier(tier), costNames);
  const missing = Object.keys(cost).find((name) => cost[name] === undefined);
  if (missing !== undefined) throw invalidCostOf(missing, undefined);
}

/**
 * What some costs are together under a tier, in thousandths.
 *
 * @throws {TollkeeperError} `ERR_COST_INVALID`
 */
export function sumOf(costs: readonly Cost[], boundTier: BoundTier): CostMilli {
  return costs.map((cost) => milliOf(cost, boundTier)).reduce(sum);
}

/** Writes what the call of a row of a frame costs. */
export function writeCost(frame: Frame, row: number, { tier, version }: BoundTier, cost: CostMilli): void {
  if (typeof cost === "number") {
    frame[row + COST] = cost;
    return;
  }
  frame[row + COST] = EACH;
  frame[row + VERSION] = version;
  for (let index = 0; index < tier.limits.length; index++) frame[row + COSTS + index] = cost[index] as number;
}

/** Why a cost can never pass under a tier, `ERR_COST_EXCEEDS_CAPACITY`; undefined if it may. */
export function excessOf(cost: CostMilli, { name: tierName, tier }: BoundTier): TollkeeperError | undefined {
  const { limits, maxCostMilli } = tier;
  if (typeof cost === "number") {
    return cost > maxCostMilli ? excessiveCost(cost / 1000, plainTier(tierName), maxCostMilli / 1000) : undefined;
  }
  const index = limits.findIndex(({ rule: { maxCostMilli: most } }, index) => most > 0 && costAt(cost, index) > most);
  const limit = limits[index];
  if (limit === undefined) return undefined;
  const { name, rule } = limit;
  return excessiveCostOf(name, costAt(cost, index) / 1000, plainTier(tierName), rule.maxCostMilli / 1000);
}

/** A cost in tokens, as it may be given; by name it has each limit of the tier. */
export function tokensOf(cost: CostMilli, { tier, costNames }: BoundTier): Cost {
  if (typeof cost === "number") return cost / 1000;
  const named = costNames.map((name, index): [string, number] => [name, costAt(cost, index) / 1000]);
  return Object.fromEntries(named.filter(([, tokens], index) => index < tier.limits.length || tokens > 0));
}

/** Tokens that a call may cost at most under a tier: of every limit, or of the one named; infinite where nothing limits it. */
export function maxCostOf({ tier }: BoundTier, limit: string | undefined): number {
  if (limit === undefined) return tier.maxCostMilli / 1000;
  const { rule } = tier.limits.find(({ name }) => name === limit) ?? {};
  return rule === undefined ? Number.POSITIVE_INFINITY : rule.maxCostMilli / 1000;
}
