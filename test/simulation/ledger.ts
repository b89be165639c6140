import { type CostMilli, costAt } from "../../src/engine/cost.js";
import type { Tier } from "../../src/engine/tier.js";
import type { Admission, Arrival } from "./oracle.js";

/** What was let in, charged later or given back, of every limit of a tier. */
interface Spending extends Omit<Admission, "costMilli"> {
  readonly costMilli: CostMilli;
}

/** Tokens granted of a quota, in thousandths. */
interface Granting {
  /** The quota's place in the tier. */
  readonly index: number;
  readonly atMs: number;
  readonly milli: number;
  /** What is known of it: as long as nobody has said anything, it may have counted. */
  isCounted: boolean | undefined;
}

/** What was asked of one key, and what came of it. Thousandths are by limit of the tier. */
export class Ledger {
  readonly tier: Tier;
  readonly arrivals: Arrival[] = [];
  /** Calls that an outage policy has let in or denied. */
  byPolicy = 0;
  readonly #admissions: Spending[] = [];
  readonly #corrections: Spending[] = [];
  readonly #grants: Granting[] = [];
  readonly #spentMilli: number[];

  constructor(tier: Tier) {
    this.tier = tier;
    this.#spentMilli = tier.limits.map(() => 0);
  }

  /** Calls that were let in. */
  get admissions(): readonly Spending[] {
    return this.#admissions;
  }

  /** Whether nothing was done to the key but calls, of which all that were let in were so by the store. */
  get isOfCalls(): boolean {
    return this.#corrections.length === 0 && this.#grants.length === 0;
  }

  admit(admission: Spending): void {
    this.#admissions.push(admission);
    this.#spend(admission.costMilli);
  }

  /** Notes that a call was charged more, or less, by so much of each limit. */
  correct(correction: Spending): void {
    this.#corrections.push(correction);
    this.#spend(correction.costMilli);
  }

  /** Notes that tokens are being granted; what is heard of it is told to the result. */
  grant(index: number, atMs: number, milli: number): (isCounted: boolean) => void {
    const granting: Granting = { index, atMs, milli, isCounted: undefined };
    this.#grants.push(granting);
    return (isCounted) => {
      granting.isCounted = isCounted;
    };
  }

  /** What a limit's calls have cost in all, less what was given back. */
  spentMilli(index: number): number {
    return this.#spentMilli[index] ?? 0;
  }

  /** What was granted of a quota up to an instant: at least, and at most. */
  grantedMilli(index: number, atMs = Number.POSITIVE_INFINITY): { readonly least: number; readonly most: number } {
    const sum = (isMeant: (granting: Granting) => boolean) =>
      this.#grants
        .filter((granting) => granting.index === index && granting.atMs <= atMs && isMeant(granting))
        .reduce((total, { milli }) => total + milli, 0);
    return { least: sum(({ isCounted }) => isCounted === true), most: sum(({ isCounted }) => isCounted !== false) };
  }

  /** What a limit has let in, and what was given back of it, in its order; charges, which need no room, are left out. */
  admitted(index: number): readonly Admission[] {
    return this.#ofLimit(index).filter(({ isCall, costMilli }) => isCall || costMilli < 0);
  }

  /** All that was spent of a limit, or given back, in its order. */
  spent(index: number): readonly Admission[] {
    return this.#ofLimit(index);
  }

  #ofLimit(index: number): readonly (Admission & { readonly isCall: boolean })[] {
    const ofLimit = (isCall: boolean) => (spending: Spending) => {
      return { ...spending, costMilli: costAt(spending.costMilli, index), isCall };
    };
    // What comes back makes room for what is let in at the same instant.
    const all = [...this.#corrections.map(ofLimit(false)), ...this.#admissions.map(ofLimit(true))];
    return all.sort((a, b) => a.atMs - b.atMs);
  }

  #spend(costMilli: CostMilli): void {
    this.tier.limits.forEach((_, index) => {
      this.#spentMilli[index] = this.spentMilli(index) + costAt(costMilli, index);
    });
  }
}
