/** Two clocks: a monotonic one, and the store's time by what the store has said last. All in whole ms; below 0 asks for the present. */
export class StoreClock {
  /** The store's time less the monotonic clock. */
  #aheadMs: number | undefined;

  /** An instant of the monotonic clock, as it is told. */
  mono(monoMs: number): number {
    return monoMs < 0 ? Math.floor(performance.now()) : monoMs;
  }

  /** An instant of the store's clock, as it is told; the system's if the store has said nothing. */
  store(storeMs: number, monoMs: number): number {
    if (storeMs >= 0) return storeMs;
    return this.#aheadMs === undefined ? Date.now() : monoMs + this.#aheadMs;
  }

  /** Takes in what the store's time was at an instant. */
  heard(storeMs: number, monoMs: number): void {
    this.#aheadMs = storeMs - monoMs;
  }
}
