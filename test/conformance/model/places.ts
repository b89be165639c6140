import type { Answer, Ask, Slot, Standing } from "./slot.js";

/** Calls at the same time, as a vector's tiers have it. */
export interface PlacesRule {
  name: string;
  type: "concurrency";
  limit: number;
  timeoutSeconds: number;
}

/** A place that a call has taken. */
export interface Place {
  /** When it is free again by itself, in ms since the epoch. */
  end: number;
}

/** Places of calls that run. */
export class Places implements Slot {
  readonly rule: PlacesRule;
  #taken: readonly Place[];
  /** The place that was taken last. */
  #last: Place | undefined;

  constructor(rule: PlacesRule, taken: readonly Place[] = []) {
    this.rule = rule;
    this.#taken = taken;
  }

  /** The same places under another limit. */
  convertedTo(rule: PlacesRule): Places {
    return new Places(rule, this.#taken);
  }

  get last(): Place | undefined {
    return this.#last;
  }

  answer({ now, cost }: Ask): Answer {
    const running = this.#running(now);
    const isAllowed = cost.isZero || running.length < this.rule.limit;
    const waitMs = isAllowed ? 0 : this.#firstEnd(running) - now;
    // More run than a smaller tier has places: what is said is when the first may be free.
    return { waitMs, hangsOnRounding: running.length > this.rule.limit };
  }

  spend({ now, cost }: Ask): void {
    this.#last = undefined;
    if (cost.isZero) return;
    this.#last = { end: now + this.rule.timeoutSeconds * 1000 };
    this.#taken = [...this.#running(now), this.#last];
  }

  deny(): void {
    // Places keep nothing of a denial.
  }

  /** Frees a place; says whether it was still taken. */
  release(place: Place, now: number): boolean {
    const running = this.#running(now);
    this.#taken = running.filter((other) => other !== place);
    return this.#taken.length < running.length;
  }

  standing(now: number): Standing {
    const running = this.#running(now);
    const remaining = Math.max(0, this.rule.limit - running.length);
    return { remaining, resetMs: running.length === 0 ? 0 : this.#firstEnd(running) - now };
  }

  #running(now: number): Place[] {
    return this.#taken.filter(({ end }) => end > now);
  }

  #firstEnd(running: readonly Place[]): number {
    return Math.min(...running.map(({ end }) => end));
  }
}
