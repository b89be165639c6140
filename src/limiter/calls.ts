import { optionInvalid } from "../errors.js";

/** One value for all calls of a batch, or one for each. */
export type Many<T> = T | readonly T[];

/** The calls of a batch. */
export class Calls {
  readonly keys: readonly string[];
  readonly #tiers: Many<string>;
  readonly #costs: Many<number>;

  /** @throws {TollkeeperError} `ERR_OPTION_INVALID` where there is not one tier and one cost for each key. */
  constructor(keys: readonly string[], tiers: Many<string>, costs: Many<number>) {
    if (!Array.isArray(keys)) throw optionInvalid("keys", keys, "an array of keys");
    checkLength("tiers", tiers, keys.length);
    checkLength("costs", costs, keys.length);
    // Copies, since reading somebody else's arrays may run somebody else's code.
    this.keys = [...keys];
    this.#tiers = copyOf(tiers);
    this.#costs = copyOf(costs);
  }

  tierOf(index: number): string {
    return at(this.#tiers, index);
  }

  costOf(index: number): number {
    return at(this.#costs, index);
  }

  /** Whether a call is of the tier and the cost of the one before it. */
  isLikeLast(index: number): boolean {
    return this.tierOf(index) === this.tierOf(index - 1) && this.costOf(index) === this.costOf(index - 1);
  }
}

function at<T extends string | number>(values: Many<T>, index: number): T {
  return typeof values === "object" ? (values[index] as T) : values;
}

function copyOf<T extends string | number>(values: Many<T>): Many<T> {
  return typeof values === "object" ? [...values] : values;
}

function checkLength(name: string, values: unknown, length: number): void {
  if (typeof values === "object" && !Array.isArray(values)) throw optionInvalid(name, values, "one value, or an array");
  if (Array.isArray(values) && values.length !== length) {
    throw optionInvalid(name, `${values.length} items long`, `one item per key, ${length}`);
  }
}
