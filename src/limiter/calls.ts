import type { Cost } from "../engine/cost.js";
import { optionInvalid } from "../errors.js";

/** One value for all calls of a batch, or one for each. */
export type Many<T> = T | readonly T[];

/** The calls of a batch. */
export class Calls {
  readonly keys: readonly string[];
  readonly #tiers: Many<string>;
  readonly #costs: Many<Cost>;

  /** @throws {TollkeeperError} `ERR_OPTION_INVALID` where there is not one tier and one cost for each key. */
  constructor(keys: readonly string[], tiers: Many<string>, costs: Many<Cost>) {
    if (!Array.isArray(keys)) throw optionInvalid("keys", keys, "an array of keys");
    if (typeof tiers === "object" && !Array.isArray(tiers))
      throw optionInvalid("tiers", tiers, "one value, or an array");
    checkLength("tiers", tiers, keys.length);
    checkLength("costs", costs, keys.length);
    // Copies, since reading somebody else's arrays may run somebody else's code.
    this.keys = [...keys];
    this.#tiers = isList(tiers) ? [...tiers] : tiers;
    this.#costs = isList(costs) ? costs.map(copyOf) : copyOf(costs);
  }

  tierOf(index: number): string {
    return at(this.#tiers, index);
  }

  costOf(index: number): Cost {
    return at(this.#costs, index);
  }

  /** Whether a call is of the tier and the cost of the one before it. */
  isLikeLast(index: number): boolean {
    return this.tierOf(index) === this.tierOf(index - 1) && this.costOf(index) === this.costOf(index - 1);
  }
}

function at<T>(values: Many<T>, index: number): T {
  return isList(values) ? (values[index] as T) : values;
}

function isList<T>(values: Many<T>): values is readonly T[] {
  return Array.isArray(values);
}

/** A copy of a cost: of what kind of object it is tells whether it is one at all. */
export function copyOf(cost: Cost): Cost {
  const isObject = typeof cost === "object" && cost !== null && !Array.isArray(cost);
  return isObject ? Object.assign(Object.create(Object.getPrototypeOf(cost)), cost) : cost;
}

function checkLength(name: string, values: unknown, length: number): void {
  if (Array.isArray(values) && values.length !== length) {
    throw optionInvalid(name, `${values.length} items long`, `one item per key, ${length}`);
  }
}
