/** Gives each name a number, once. */
export class Interner {
  readonly #ids = new Map<string, number>();

  get size(): number {
    return this.#ids.size;
  }

  get names(): string[] {
    return [...this.#ids.keys()];
  }

  /** The number of a name; undefined if it has none. */
  find(name: string): number | undefined {
    return this.#ids.get(name);
  }

  /** The number of a name, from 0 up in the order in which they came. */
  idOf(name: string): number {
    const id = this.#ids.get(name) ?? this.#ids.size;
    this.#ids.set(name, id);
    return id;
  }
}
