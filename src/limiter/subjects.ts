import { toMilli } from "../engine/amount.js";
import { optionInvalid } from "../errors.js";
import type { Many } from "./calls.js";
import { invalidCost } from "./misuse.js";

/** The most subjects of one call. */
export const MAX_SUBJECTS = 8;

/** One of those of whom a call spends: an account, its organisation, an address, a route. */
export interface Subject {
  /** Whose tokens: 1 to 512 UTF-16 units. */
  readonly key: string;
  /** The tier whose limits are asked, from your own data. */
  readonly tier: string;
  /** Tokens, from 0, at most three decimals; 1 by default. */
  readonly cost?: number | undefined;
}

/** A key under a tier, and what the subjects that are it cost together. */
export interface SubjectCall {
  readonly key: string;
  readonly tier: string;
  /** In thousandths of a token. */
  costMilli: number;
}

/** The subjects of one call. Those of one key and tier are one, whose costs add up. */
export class Subjects {
  /** As they were given. */
  readonly given: readonly Subject[];
  /** What is asked for them. */
  readonly calls: readonly SubjectCall[];
  /** Of each of {@link Subjects.given}, which of the calls is its own. */
  readonly #callOf: readonly number[];

  /** @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_COST_INVALID` */
  constructor(subjects: readonly Subject[]) {
    if (!Array.isArray(subjects)) throw optionInvalid("subjects", subjects, "an array of { key, tier, cost }");
    // Copies, since reading somebody else's objects may run somebody else's code.
    this.given = [...subjects];
    if (this.given.length === 0 || this.given.length > MAX_SUBJECTS) {
      throw optionInvalid("subjects", `${this.given.length} items long`, `1 to ${MAX_SUBJECTS} items long`);
    }
    const calls: SubjectCall[] = [];
    this.#callOf = this.given.map((subject, index) => {
      if (typeof subject !== "object" || subject === null) {
        throw optionInvalid(`subjects[${index}]`, subject, "{ key, tier, cost }");
      }
      const { key, tier, cost = 1 } = subject;
      const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
      if (Number.isNaN(costMilli)) throw invalidCost(cost);
      const same = calls.findIndex((call) => call.key === key && call.tier === tier);
      const call = calls[same];
      if (call === undefined) return calls.push({ key, tier, costMilli }) - 1;
      call.costMilli += costMilli;
      return same;
    });
    this.calls = calls;
  }

  /** What there is of each call, for each of the subjects. */
  ofEach<T>(values: readonly T[]): T[] {
    return this.#callOf.map((call) => values[call] as T);
  }

  /** The first subject that a call is of. */
  firstOf(call: number): Subject {
    return this.given[this.#callOf.indexOf(call)] as Subject;
  }

  /**
   * Costs of the calls, in tokens, of one for all subjects or of one for each.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_COST_INVALID`
   */
  costsOf(name: string, costs: Many<number>): number[] {
    const given: readonly number[] = Array.isArray(costs) ? [...costs] : this.given.map(() => costs as number);
    if (given.length !== this.given.length) {
      throw optionInvalid(name, `${given.length} items long`, `one item per subject, ${this.given.length}`);
    }
    const sums = this.calls.map(() => 0);
    given.forEach((cost, index) => {
      const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
      if (Number.isNaN(costMilli)) throw invalidCost(cost);
      const call = this.#callOf[index] as number;
      sums[call] = (sums[call] as number) + costMilli;
    });
    return sums.map((milli) => milli / 1000);
  }
}
