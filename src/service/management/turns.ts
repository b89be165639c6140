/** Has what concerns one thing be done one after another, and what concerns others at the same time. */
export class Turns {
  /** By name of the thing, the end of what comes last. */
  readonly #last = new Map<string, Promise<void>>();

  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(name) ?? Promise.resolve()).then(work);
    const end: Promise<void> = turn.then(
      () => this.#end(name, end),
      () => this.#end(name, end),
    );
    this.#last.set(name, end);
    return turn;
  }

  #end(name: string, end: Promise<void>): void {
    if (this.#last.get(name) === end) this.#last.delete(name);
  }
}
