/** How long the event loop of this process is held at a time, from one turn of it to the next. */
export class Holds {
  #longestMs = 0;
  #lastMs = 0;
  #turn: NodeJS.Immediate | undefined;

  /** Begins to watch; the loop doesn't rest until it is asked. */
  watch(): void {
    this.#longestMs = 0;
    this.#lastMs = performance.now();
    this.#turn = setImmediate(() => this.#tick());
  }

  /** The longest since the watch began, in ms; ends the watch. */
  longestMs(): number {
    clearImmediate(this.#turn);
    return this.#longestMs;
  }

  #tick(): void {
    const now = performance.now();
    this.#longestMs = Math.max(this.#longestMs, now - this.#lastMs);
    this.#lastMs = now;
    this.#turn = setImmediate(() => this.#tick());
  }
}
