import { Concurrency } from "./concurrency.js";
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
  /** Few keys have any; they go with the keys. */
  readonly #taken = new WeakMap<KeyState, Map<number, Place[]>>();
  #made = 0;

  /** Puts in place of what is `spent` of a tier's limits of concurrency how they stand at an instant. */
  stand(key: KeyState, { limits }: Tier, nowMs: number, spent: number[]): void {
    for (const { slot, rule } of limits) {
      if (rule.type === "concurrency") spent[slot] = amountOf(this.#taken.get(key)?.get(slot) ?? [], nowMs);
    }
  }

  /** Takes a place of each of a tier's limits of concurrency; the key's state says until when one is taken at the latest. */
  take(key: KeyState, { limits }: Tier, nowMs: number): number {
    const number = ++this.#made;
    const held = this.#taken.get(key) ?? new Map<number, Place[]>();
    this.#taken.set(key, held);
    for (const { slot, rule } of limits) {
      if (rule.type !== "concurrency") continue;
      const taken = (held.get(slot) ?? []).filter(({ endMs }) => endMs > nowMs);
      const endMs = nowMs + rule.timeoutMs;
      // As a rule it is the last to end.
      let at = taken.length;
      while (at > 0 && (taken[at - 1] as Place).endMs > endMs) at--;
      taken.splice(at, 0, { endMs, number });
      held.set(slot, taken);
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
      key.spent[slot] = lastEnd(taken);
      if (taken.length === 0) held?.delete(slot);
    }
    if (held?.size === 0) this.#taken.delete(key);
    return isFreed;
  }
}

function amountOf(taken: readonly Place[], nowMs: number): number {
  const first = taken.findIndex(({ endMs }) => endMs > nowMs);
  return first < 0 ? 0 : Concurrency.amount(taken.length - first, (taken[first] as Place).endMs - nowMs);
}

function lastEnd(taken: readonly Place[]): number {
  return taken.at(-1)?.endMs ?? 0;
}
