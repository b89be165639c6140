import { TollkeeperError } from "../errors.js";
import type { Surroundings } from "../store/protocol.js";

/** Those who wait until decisions are shared. */
export class Waiters {
  readonly #around: Surroundings;
  readonly #waiting = new Set<() => void>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /**
   * Resolves once {@link Waiters.release} is called.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` if that takes longer than `patienceMs`.
   */
  wait(patienceMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const settle = (done: () => void) => () => {
        cancel();
        this.#waiting.delete(joined);
        done();
      };
      const late = new TollkeeperError("ERR_STORE_UNAVAILABLE", `Redis was not ready within ${patienceMs} ms`);
      const cancel = this.#around.after(
        patienceMs,
        settle(() => reject(late)),
      );
      const joined = settle(resolve);
      this.#waiting.add(joined);
    });
  }

  release(): void {
    for (const resolve of this.#waiting) resolve();
  }
}
