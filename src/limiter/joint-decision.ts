import type { Cost, CostMilli } from "../engine/cost.js";
import type { Many } from "./calls.js";
import type { Decision } from "./decision.js";
import type { Subject, Subjects } from "./subjects.js";

/**
 * The answer to one call of several subjects: all of them have spent, or none has.
 *
 * @example
 * ```ts
 * import { createLimiter } from "tollkeeper";
 *
 * const minute = (limit: number) => ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1 }) as const;
 * const limiter = createLimiter({ tiers: { team: { limits: [minute(3)] }, member: { limits: [minute(2)] } } });
 * const team = { key: "team:7", tier: "team" };
 *
 * const call = (user: string) => limiter.consumeAll([team, { key: user, tier: "member" }]);
 * console.log([call("ann"), call("ann"), call("ann")].map(({ denied }) => denied?.key)); // [ undefined, undefined, 'ann' ]
 * console.log([call("ben"), call("ben")].map(({ denied }) => denied?.key)); // [ undefined, 'team:7' ]
 * await limiter.close();
 * ```
 */
export class JointDecision {
  /** Whether the call may go on; if not, nothing stays spent of any subject. */
  readonly allowed: boolean;
  /** The subject that denied, as it was given; of several the one with the longest wait. null when allowed. */
  readonly denied: Subject | null;
  /**
   * What was decided on each subject, in their order; subjects of one key and tier share a decision. In a call that was
   * denied, that of a subject which would have been allowed says where it stands, and can't be refunded or settled.
   */
  readonly decisions: readonly Decision[];
  readonly #subjects: Subjects;
  /** One for each call. */
  readonly #decided: readonly Decision[];
  readonly #denier: Decision | undefined;

  /**
   * Made by a limiter, of a decision for each of the calls.
   *
   * @internal
   */
  constructor(subjects: Subjects, decided: readonly Decision[]) {
    let denier = -1;
    decided.forEach(({ allowed, retryAfterMs }, index) => {
      const longest = decided[denier]?.retryAfterMs ?? Number.NEGATIVE_INFINITY;
      if (!allowed && retryAfterMs > longest) denier = index;
    });
    this.#subjects = subjects;
    this.#decided = decided;
    this.#denier = decided[denier];
    this.allowed = this.#denier === undefined;
    this.denied = this.allowed ? null : subjects.firstOf(denier);
    this.decisions = subjects.ofEach(decided);
  }

  /** The limit that denied; null when allowed. */
  get deniedBy(): string | null {
    return this.#denier?.deniedBy ?? null;
  }

  /** Milliseconds, rounded up, until the same call would pass; 0 when allowed. */
  get retryAfterMs(): number {
    return this.#denier?.retryAfterMs ?? 0;
  }

  /** As {@link Decision.isProvisional} of the subject that denied. */
  get isProvisional(): boolean {
    return this.#denier?.isProvisional ?? false;
  }

  /** Whether any subject holds a place of a limit of concurrency, as {@link Decision.holdsPlace}. */
  get holdsPlace(): boolean {
    return this.#decided.some(({ holdsPlace }) => holdsPlace);
  }

  /**
   * Gives back the places that the call has taken, of all subjects, as {@link Decision.release} does.
   *
   * @returns Whether it freed any.
   * @throws {TollkeeperError} `ERR_CLOCK_INVALID`
   */
  release(): boolean {
    return this.#each((decision) => decision.release());
  }

  /**
   * Gives its cost back to each subject, as {@link Decision.refund} does.
   *
   * @param part `"quotas"` gives back to the quotas only.
   * @returns Whether it did, to any.
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_CLOCK_INVALID`
   */
  refund(part: "all" | "quotas" = "all"): boolean {
    return this.#each((decision) => decision.refund(part));
  }

  /**
   * Charges more of each subject, as {@link Decision.charge} does.
   *
   * @param more One cost for every subject, or one for each, in their order; of a subject that is there twice they add up.
   * @returns Whether it did, of any.
   * @throws {TollkeeperError} `ERR_COST_INVALID`, `ERR_OPTION_INVALID`, `ERR_CLOCK_INVALID`; then nothing was charged.
   */
  charge(more: Many<Cost>): boolean {
    const costs = this.#milliOf("more", more);
    return this.#each((decision, index) => decision.chargeMilli(costs[index] as CostMilli));
  }

  /**
   * Corrects an estimate, as {@link Decision.settle} does.
   *
   * @param actual What the call really cost: one cost for every subject, or one for each, in their order; of a subject that
   * is there twice they add up.
   * @returns Whether it did, of any.
   * @throws {TollkeeperError} `ERR_COST_INVALID`, `ERR_OPTION_INVALID`, `ERR_CLOCK_INVALID`; then nothing was corrected.
   */
  settle(actual: Many<Cost>): boolean {
    const costs = this.#milliOf("actual", actual);
    return this.#each((decision, index) => decision.settleMilli(costs[index] as CostMilli));
  }

  /** The same fields as read one by one, for logs. */
  toJSON(): Record<string, unknown> {
    const { allowed, denied, deniedBy, retryAfterMs, decisions } = this;
    return { allowed, denied, deniedBy, retryAfterMs, decisions };
  }

  /** What each call costs of what is given for the subjects. */
  #milliOf(name: string, costs: Many<Cost>): CostMilli[] {
    const ofCalls = this.#subjects.costsOf(name, costs);
    return this.#decided.map((decision, index) => decision.sumOf(ofCalls[index] as Cost[]));
  }

  /** Does something to the decision on each call; whether it was done to any. */
  #each(correct: (decision: Decision, index: number) => boolean): boolean {
    return this.#decided.map(correct).includes(true);
  }
}
