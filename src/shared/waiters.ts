import { TollkeeperError } from "../errors.js";
import type { Surroundings } from "./runtime.js";

/** Those who wait until decisions are shared. */
export class Waiters {
  readonly #around: Surroundings;
  readonly #waiting = new Set<(error?: TollkeeperError) => void>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /**
   * Resolves once {@link Waiters.release} is called, or rejects with the error that it is given.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` if that takes longer than `patienceMs`.
   */
  wait(patienceMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const settle = (error?: TollkeeperError) => {
        cancel();
        this.#waiting.delete(settle);
        if (error === undefined) resolve();
        else reject(error);
      };
      const late = new TollkeeperError("ERR_STORE_UNAVAILABLE", `Redis was not ready within ${patienceMs} ms`);
      const cancel = this.#around.after(patienceMs, () => settle(late));
      this.#waiting.add(settle);
    });
  }

  release(error?: TollkeeperError): void {
    for (const settle of this.#waiting) settle(error);
  }
}
