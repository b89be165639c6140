import { isFree } from "../engine/cost.js";
import { Recent } from "../engine/recent.js";
import type { Decision } from "../limiter/decision.js";
import type { JointCall } from "../limiter/joint-excess.js";

/** Who decides on one call. */
export interface Deciders {
  /** Spends, or denies; throws or rejects where a decision can't be made. */
  consume(call: JointCall): Decision | Promise<Decision>;
  /** What the outage policy would say of a call that it decides, and undefined of others. */
  peekAway(call: JointCall): Decision | undefined;
  /** Where a key stands, by what is known here. */
  standing(call: JointCall): Decision;
  /** Counts a denial of a call that was not asked to spend. */
  countDenial(call: JointCall, decision: Decision): void;
  /** Has the shadow limits decide as well on a call that goes on. */
  askShadows(decision: Decision): Promise<Decision>;
}

/** Subjects of which it is remembered that they were denied. */
const DENIED = 16_384;

/**
 * Decides on calls of several subjects, all of which spend or none. Each spends by itself, all at the same time, and has it
 * back if another is denied: the store knows nothing of it.
 *
 * Who was denied the last time is asked before the others, so that these spend nothing beside one that has nothing left.
 */
export class JointCalls {
  readonly #deciders: Deciders;
  readonly #denied = new Recent<string, true>(DENIED);

  constructor(deciders: Deciders) {
    this.#deciders = deciders;
  }

  /** A decision for each of the calls; at once where each is decided at once. Throws or rejects if one can't be made. */
  decide(calls: readonly JointCall[]): Decision[] | Promise<Decision[]> {
    const spending = calls.filter((call) => !spendsNothing(call));
    // What a policy has let in comes back only when the store does.
    const away = new Map(spending.map((call) => [call, this.#deciders.peekAway(call)]));
    const denied = [...away].filter(([, decision]) => decision?.allowed === false);
    if (denied.length > 0) {
      for (const [call, decision] of denied) if (decision !== undefined) this.#deciders.countDenial(call, decision);
      return calls.map((call) => away.get(call) ?? this.#deciders.standing(call));
    }
    const suspects = spending.filter((call) => this.#denied.get(nameOf(call)) === true);
    const others = spending.filter((call) => !suspects.includes(call));
    return this.#decide([suspects, others, calls.filter(spendsNothing)], new Attempt(calls, this.#deciders));
  }

  /** Asks one group after the other, as long as all are allowed. */
  #decide([next, ...groups]: readonly JointCall[][], attempt: Attempt): Decision[] | Promise<Decision[]> {
    if (next === undefined || !attempt.isPassing) return this.#end(attempt);
    const underway = attempt.ask(next);
    return underway === undefined ? this.#decide(groups, attempt) : underway.then(() => this.#decide(groups, attempt));
  }

  #end(attempt: Attempt): Decision[] | Promise<Decision[]> {
    for (const [call, { allowed }] of attempt.decisions) {
      if (allowed) this.#denied.delete(nameOf(call));
      else this.#denied.set(nameOf(call), true);
    }
    return attempt.end();
  }
}

/** One call of several subjects, while they are asked. */
class Attempt {
  readonly decisions = new Map<JointCall, Decision>();
  readonly #calls: readonly JointCall[];
  readonly #deciders: Deciders;
  /** What the first call failed with that did. */
  #failure: { readonly error: unknown } | undefined;

  constructor(calls: readonly JointCall[], deciders: Deciders) {
    this.#calls = calls;
    this.#deciders = deciders;
  }

  /** Whether all that were asked are allowed. */
  get isPassing(): boolean {
    return this.#failure === undefined && [...this.decisions.values()].every(({ allowed }) => allowed);
  }

  /** Asks some of the calls at the same time; what is to be waited for, if anything is. Never rejects. */
  ask(calls: readonly JointCall[]): Promise<unknown> | undefined {
    const underway: Promise<void>[] = [];
    for (const call of calls) {
      try {
        const decision = this.#deciders.consume(call);
        if (decision instanceof Promise) {
          const decided = (later: Decision) => void this.decisions.set(call, later);
          underway.push(decision.then(decided, (error) => this.#fail(error)));
        } else this.decisions.set(call, decision);
      } catch (error) {
        this.#fail(error);
      }
    }
    return underway.length === 0 ? undefined : Promise.all(underway);
  }

  /** What all calls come to. What was spent is given back, unless all may go on; throws what has failed. */
  end(): Decision[] | Promise<Decision[]> {
    if (!this.isPassing) for (const decision of this.decisions.values()) decision.undo();
    if (this.#failure !== undefined) throw this.#failure.error;
    const all = this.#calls.map((call) => this.decisions.get(call) ?? this.#deciders.standing(call));
    const hasShadows = this.#calls.some(({ boundTier }) => boundTier.shadows.length > 0);
    if (!this.isPassing || !hasShadows) return all;
    return Promise.all(all.map((decision) => this.#deciders.askShadows(decision)));
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
  }
}

/** Whether a call spends nothing of any limit. */
function spendsNothing({ boundTier: { tier }, costMilli }: JointCall): boolean {
  return tier.limits.length === 0 || isFree(costMilli, tier.limits.length);
}

function nameOf({ key, boundTier }: JointCall): string {
  return `${boundTier.name}\0${key}`;
}
