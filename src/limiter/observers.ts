import { optionInvalid } from "../errors.js";
import { guarded } from "./callback.js";

/** Told how many seconds something took. */
export type Observe = (seconds: number) => void;

/** Those who are told how many seconds each of something took. */
export class Observers {
  readonly #name: string;
  readonly #observers = new Set<Observe>();

  /** `name` is the method by which they are added. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.#observers.size === 0;
  }

  /**
   * Has `observe` told; returns what ends that.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  add(observe: Observe): () => void {
    if (typeof observe !== "function") throw optionInvalid(`observe of ${this.#name}`, observe, "a function");
    const told = guarded(this.#name, observe);
    this.#observers.add(told);
    return () => void this.#observers.delete(told);
  }

  /** Tells all of them. */
  tell(seconds: number): void {
    for (const observe of this.#observers) observe(seconds);
  }
}
