import type { Cost } from "../engine/cost.js";
import { optionInvalid, TollkeeperError } from "../errors.js";
import { copyOf, type Many } from "./calls.js";

/** The most subjects of one call. */
export const MAX_SUBJECTS = 8;

/** One of those of whom a call spends: an account, its organisation, an address, a route. */
export interface Subject {
  /** Whose tokens: 1 to 512 UTF-16 units. */
  readonly key: string;
  /** The tier whose limits are asked, from your own data. */
  readonly tier: string;
  /** Tokens, from 0, at most three decimals; or such a number for each limit, by its name. 1 by default. */
  readonly cost?: Cost | undefined;
}

/** A key under a tier, and what each of the subjects costs that are it. */
export interface SubjectCall {
  readonly key: string;
  readonly tier: string;
  readonly costs: readonly Cost[];
}

/** The subjects of one call. Those of one key and tier are one, whose costs add up. */
export class Subjects {
  /** As they were given. */
  readonly given: readonly Subject[];
  /** What is asked for them. */
  readonly calls: readonly SubjectCall[];
  /** Of each of {@link Subjects.given}, which of the calls is its own. */
  readonly #callOf: readonly number[];

  /** @throws {TollkeeperError} `ERR_OPTION_INVALID` */
  constructor(subjects: readonly Subject[]) {
    if (!Array.isArray(subjects)) throw optionInvalid("subjects", subjects, "an array of { key, tier, cost }");
    // Copies, since reading somebody else's objects may run somebody else's code.
    this.given = [...subjects];
    if (this.given.length === 0 || this.given.length > MAX_SUBJECTS) {
      throw optionInvalid("subjects", `${this.given.length} items long`, `1 to ${MAX_SUBJECTS} items long`);
    }
    const calls: { key: string; tier: string; costs: Cost[] }[] = [];
    this.#callOf = this.given.map((subject, index) => {
      if (typeof subject !== "object" || subject === null) {
        throw optionInvalid(`subjects[${index}]`, subject, "{ key, tier, cost }");
      }
      const { key, tier, cost = 1 } = subject;
      const same = calls.findIndex((call) => call.key === key && call.tier === tier);
      const call = calls[same];
      if (call === undefined) return calls.push({ key, tier, costs: [copyOf(cost)] }) - 1;
      call.costs.push(copyOf(cost));
      return same;
    });
    this.calls = calls;
  }

  /**
   * What is made of each call.
   *
   * @throws {TollkeeperError} what is wrong with one, and of which subjects it is.
   */
  map<T>(make: (call: SubjectCall) => T): T[] {
    return this.calls.map((call, index) => {
      try {
        return make(call);
      } catch (error) {
        throw error instanceof TollkeeperError ? this.blaming([index], error) : error;
      }
    });
  }

  /** An error of some of the calls, with the subjects that they are of. */
  blaming(calls: readonly number[], { code, message }: TollkeeperError): TollkeeperError {
    const places = this.given.flatMap((_, place) => (calls.includes(this.#callOf[place] as number) ? [place] : []));
    return new TollkeeperError(code, `subjects[${places.join(", ")}]: ${message}`);
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
   * Costs of the calls, of one for all subjects or of one for each.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  costsOf(name: string, costs: Many<Cost>): Cost[][] {
    const given: readonly Cost[] = Array.isArray(costs) ? [...costs] : this.given.map(() => costs as Cost);
    if (given.length !== this.given.length) {
      throw optionInvalid(name, `${given.length} items long`, `one item per subject, ${this.given.length}`);
    }
    return this.calls.map((_, call) => given.filter((_, index) => this.#callOf[index] === call));
  }
}
