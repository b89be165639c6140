import { TollkeeperError } from "../errors.js";
import type { Runtime } from "./runtime.js";

/** Those who wait until decisions are shared. */
export class ReadyGate {
  readonly #runtime: Runtime;
  readonly #waiting = new Set<(error?: TollkeeperError) => void>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /**
   * Resolves once {@link ReadyGate.release} is called, or rejects with the error that it is given.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` if that takes longer than `patienceMs`.
   */
  wait(patienceMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const leave = (error?: TollkeeperError) => {
        cancel();
        this.#waiting.delete(leave);
        if (error === undefined) resolve();
        else reject(error);
      };
      const late = new TollkeeperError("ERR_STORE_UNAVAILABLE", `Redis was not ready within ${patienceMs} ms`);
      const cancel = this.#runtime.after(patienceMs, () => leave(late), true);
      this.#waiting.add(leave);
    });
  }

  release(error?: TollkeeperError): void {
    for (const leave of this.#waiting) leave(error);
  }
}
