import type { Engine } from "../engine/engine.js";

const SWEEP_INTERVAL_MS = 100;

/** What a limiter does unasked: it sweeps the table, and stores what was used. */
export class Upkeep {
  readonly #engine: Engine;
  readonly #clock: () => number;
  readonly #timers: NodeJS.Timeout[] = [];
  #flushing = false;

  constructor(engine: Engine, clock: () => number) {
    this.#engine = engine;
    this.#clock = clock;
    this.#every(SWEEP_INTERVAL_MS, (upkeep) => upkeep.#sweep());
  }

  /** Has at most `flushMs` of usage be unstored. */
  storeWithin(flushMs: number, onError: (error: unknown) => void): void {
    // Half the promised time, so that the writing itself has the other half.
    this.#every(flushMs / 2, (upkeep) => upkeep.#flushUnlessBusy(onError));
  }

  end(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #sweep(): void {
    let nowMs: number;
    try {
      nowMs = this.#clock();
    } catch {
      return; // The next call says what is wrong with the clock; here there is nobody to tell.
    }
    this.#engine.sweep(nowMs);
  }

  /** Slow writes are not piled up. */
  #flushUnlessBusy(onError: (error: unknown) => void): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#engine
      .flush()
      .catch(onError)
      .finally(() => {
        this.#flushing = false;
      });
  }

  /** A limiter that nobody holds any more is collected, its upkeep with it, and the timers end. */
  #every(intervalMs: number, task: (upkeep: Upkeep) => void): void {
    const self = new WeakRef(this);
    const timer = setInterval(() => {
      const upkeep = self.deref();
      if (upkeep === undefined) clearInterval(timer);
      else task(upkeep);
    }, intervalMs).unref();
    this.#timers.push(timer);
  }
}
