/**
 * What was used lately, by name: at least the last `kept / 2` different ones, and at most `kept`. Nothing is ever moved
 * but what was not used for a while, so a hit costs one look-up.
 */
export class Recent<K, V> {
  readonly #half: number;
  #young = new Map<K, V>();
  #old = new Map<K, V>();

  constructor(kept: number) {
    this.#half = kept / 2;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(name: K): V | undefined {
    const young = this.#young.get(name);
    if (young !== undefined) return young;
    const old = this.#old.get(name);
    if (old !== undefined) {
      this.#old.delete(name);
      this.set(name, old);
    }
    return old;
  }

  set(name: K, value: V): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, value);
  }

  delete(name: K): boolean {
    const wasYoung = this.#young.delete(name);
    return this.#old.delete(name) || wasYoung;
  }

  clear(): void {
    this.#young = new Map();
    this.#old = new Map();
  }

  /** Everything that is held, in no order that means anything. */
  *values(): IterableIterator<V> {
    yield* this.#old.values();
    yield* this.#young.values();
  }
}
