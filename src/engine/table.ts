/** Keys looked at by one sweep, and by one search for a key to forget. */
const SWEEP_KEYS = 256;
const SEARCH_KEYS = 32;

/** The states of at most so many keys. */
export class Table<S> {
  readonly maxKeys: number;
  readonly #keys = new Map<string, S>();
  /** Goes round and round over all keys. */
  #cursor = this.#keys.entries();
  /** What was read from the cursor, and is yet to be looked at. */
  #ahead: [string, S][] = [];
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

  get(key: string): S | undefined {
    return this.#keys.get(key);
  }

  entries(): IterableIterator<[key: string, state: S]> {
    return this.#keys.entries();
  }

  /** Takes a new key in, if there is room or another can go; returns whether it did. */
  add(key: string, state: S, mayGo: (other: S) => boolean): boolean {
    if (this.#isFull) this.#forget(SEARCH_KEYS, mayGo);
    if (this.#isFull) return false;
    this.#keys.set(key, state);
    return true;
  }

  /** Whether {@link add} would take a new key in. Forgets none for it. */
  hasRoom(mayGo: (other: S) => boolean): boolean {
    if (!this.#isFull) return true;
    this.#ahead = this.#next(SEARCH_KEYS);
    return this.#ahead.some(([, state]) => mayGo(state));
  }

  /** Forgets every key, which counts as no eviction. */
  clear(): void {
    this.#keys.clear();
    this.#ahead = [];
  }

  delete(key: string): void {
    this.#keys.delete(key);
  }

  /** Whether less than a quarter of the table is free. */
  get isScarce(): boolean {
    return this.#keys.size > this.maxKeys - Math.floor(this.maxKeys / 4);
  }

  /** Looks at the next few keys and forgets those that may go. */
  sweep(mayGo: (state: S) => boolean): void {
    this.#forget(SWEEP_KEYS, mayGo);
  }

  #forget(keys: number, mayGo: (state: S) => boolean): void {
    const next = this.#next(keys);
    this.#ahead = [];
    for (const [key, state] of next) {
      if (mayGo(state) && this.#keys.delete(key)) this.#evictions++;
    }
  }

  /** The next so many keys, or all. */
  #next(keys: number): [string, S][] {
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
