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
  /** What was read from the cursor, and is yet to be looked at. */
  #ahead: [string, KeyState][] = [];
  #evictions = 0;

  constructor(maxKeys: number) {
    this.maxKeys = maxKeys;
  }

  get size(): number {
    return this.#keys.size;
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
    if (this.#isFull) this.#forget(SEARCH_KEYS, (other) => other.isIdle(nowMs));
    if (this.#isFull) return false;
    this.#keys.set(key, state);
    return true;
  }

  /** Whether {@link add} would take a new key in. Forgets none for it. */
  hasRoom(nowMs: number): boolean {
    if (!this.#isFull) return true;
    this.#ahead = this.#next(SEARCH_KEYS);
    return this.#ahead.some(([, state]) => state.isIdle(nowMs));
  }

  /** Forgets every key, which counts as no eviction. */
  clear(): void {
    this.#keys.clear();
    this.#ahead = [];
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
    const next = this.#next(keys);
    this.#ahead = [];
    for (const [key, state] of next) {
      if (mayGo(state) && this.#keys.delete(key)) this.#evictions++;
    }
  }

  /** The next so many keys, or all. */
  #next(keys: number): [string, KeyState][] {
    const next = this.#ahead.filter(([key, state]) => this.#keys.get(key) === state);
    while (next.length < Math.min(keys, this.#keys.size)) {
      const read = this.#cursor.next();
      if (read.done) this.#cursor = this.#keys.entries();
      else next.push(read.value);
    }
    return next;
  }

  get #isFull(): boolean {
    return this.#keys.size >= this.maxKeys;
  }
}
