import { Concurrency } from "./concurrency.js";
import { type CostMilli, costAt } from "./cost.js";
import type { KeyState } from "./state.js";
import type { Tier } from "./tier.js";

/** A place that a decision has taken, as whoever gives it back tells it. */
export interface TakenPlace {
  /** What stands in `FRAME.PLACE` after the decision. */
  readonly number: number;
  /** When it is over at the latest, in ms since the epoch: one instant for each of the tier's limits of concurrency. */
  readonly endsMs: readonly number[];
  /** The tier's name, if the decision was made on the overflow bucket of it. */
  readonly overflow: string | undefined;
}

interface Place {
  readonly endMs: number;
  readonly number: number;
}

/** The places that running calls have taken of limits of concurrency: by key and slot, in the order in which they end. */
export class Places {
  readonly #taken = new Map<KeyState, Map<number, Place[]>>();
  #held = 0;
  #made = 0;

  /** How many are taken in all; those that are over are among them until the next sweep. */
  get held(): number {
    return this.#held;
  }

  /** Puts in place of what is `spent` of a tier's limits of concurrency how they stand at an instant. */
  stand(key: KeyState, { limits }: Tier, nowMs: number, spent: number[]): void {
    for (const { slot, rule } of limits) {
      if (rule.type === "concurrency") spent[slot] = amountOf(this.#taken.get(key)?.get(slot) ?? [], nowMs);
    }
  }

  /**
   * Takes a place of each of a tier's limits of concurrency of which a call costs something; the key's state says until when
   * one is taken at the latest. Returns the place's number; 0 if there was none to take.
   */
  take(key: KeyState, { limits }: Tier, cost: CostMilli, nowMs: number): number {
    if (!limits.some(({ rule }, index) => rule.type === "concurrency" && costAt(cost, index) > 0)) return 0;
    const number = ++this.#made;
    const held = this.#taken.get(key) ?? new Map<number, Place[]>();
    this.#taken.set(key, held);
    for (const [index, { slot, rule }] of limits.entries()) {
      if (rule.type !== "concurrency" || costAt(cost, index) === 0) continue;
      const before = held.get(slot) ?? [];
      const taken = before.filter(({ endMs }) => endMs > nowMs);
      const endMs = nowMs + rule.timeoutMs;
      // As a rule it is the last to end.
      let at = taken.length;
      while (at > 0 && (taken[at - 1] as Place).endMs > endMs) at--;
      taken.splice(at, 0, { endMs, number });
      held.set(slot, taken);
      this.#held += taken.length - before.length;
      key.spent[slot] = lastEnd(taken);
    }
    return number;
  }

  /** Gives a place back; whether it was not over, nor given back before. */
  release(key: KeyState, { number, endsMs }: TakenPlace, nowMs: number): boolean {
    const held = this.#taken.get(key);
    let isFreed = false;
    for (const [slot, taken] of held ?? []) {
      const at = taken.findIndex((place) => place.number === number && endsMs.includes(place.endMs));
      if (at < 0) continue;
      if (taken.splice(at, 1).some(({ endMs }) => endMs > nowMs)) isFreed = true;
      this.#held--;
      key.spent[slot] = lastEnd(taken);
      if (taken.length === 0) held?.delete(slot);
    }
    if (held?.size === 0) this.#taken.delete(key);
    return isFreed;
  }

  /** Takes a place away as if it had never been taken. */
  withdraw(key: KeyState, number: number): void {
    const endsMs = [...(this.#taken.get(key)?.values() ?? [])].flatMap((taken) => taken.map(({ endMs }) => endMs));
    this.release(key, { number, endsMs, overflow: undefined }, 0);
  }

  /** Forgets all that a key has taken. */
  forget(key: KeyState): void {
    for (const taken of this.#taken.get(key)?.values() ?? []) this.#held -= taken.length;
    this.#taken.delete(key);
  }

  /** Forgets the places that are over. */
  sweep(nowMs: number): void {
    for (const [key, held] of this.#taken) {
      for (const [slot, taken] of held) {
        const kept = taken.filter(({ endMs }) => endMs > nowMs);
        this.#held -= taken.length - kept.length;
        if (kept.length === 0) held.delete(slot);
        else held.set(slot, kept);
      }
      if (held.size === 0) this.#taken.delete(key);
    }
  }
}

function amountOf(taken: readonly Place[], nowMs: number): number {
  const first = taken.findIndex(({ endMs }) => endMs > nowMs);
  return first < 0 ? 0 : Concurrency.amount(taken.length - first, (taken[first] as Place).endMs - nowMs);
}

function lastEnd(taken: readonly Place[]): number {
  return taken.at(-1)?.endMs ?? 0;
}
