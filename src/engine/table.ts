import type { KeyState } from "./state.js";

/** Keys looked at by one sweep, and by one search for a key to forget. */
const SWEEP_KEYS = 256;
const SEARCH_KEYS = 32;

/** The states of at most so many keys. */
export class Table {
  readonly maxKeys: number;
  readonly #keys = new Map<string, KeyState>();
  /** Goes round and round over all keys. */
  #cursor = this.#keys.entries();
  #evictions = 0;

  constructor(maxKeys: number) {
    this.maxKeys = maxKeys;
  }

  get size(): number {
    return this.#keys.size;
  }

  get isFull(): boolean {
    return this.#keys.size >= this.maxKeys;
  }

  /** Keys forgotten so far other than by {@link delete}. */
  get evictions(): number {
    return this.#evictions;
  }

  get(key: string): KeyState | undefined {
    return this.#keys.get(key);
  }

  /** Takes a new key in, if there is room or an idle key can go; returns whether it did. */
  add(key: string, state: KeyState, nowMs: number): boolean {
    if (this.isFull) this.#forget(SEARCH_KEYS, (other) => other.isIdle(nowMs));
    if (this.isFull) return false;
    this.#keys.set(key, state);
    return true;
  }

  delete(key: string): void {
    this.#keys.delete(key);
  }

  /** Looks at the next few keys and forgets those that are as good as new, or, if room is scarce, idle. */
  sweep(nowMs: number): void {
    const scarce = this.#keys.size > this.maxKeys - Math.floor(this.maxKeys / 4);
    this.#forget(SWEEP_KEYS, (state) => (scarce ? state.isIdle(nowMs) : state.isAsNew(nowMs)));
  }

  #forget(keys: number, mayGo: (state: KeyState) => boolean): void {
    for (let looked = 0; looked < Math.min(keys, this.#keys.size); looked++) {
      let next = this.#cursor.next();
      if (next.done) {
        this.#cursor = this.#keys.entries();
        next = this.#cursor.next();
      }
      if (next.done || !mayGo(next.value[1])) continue;
      this.#keys.delete(next.value[0]);
      this.#evictions++;
    }
  }
}
