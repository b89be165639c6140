import { type Observe, Observers } from "./observers.js";

/** One decision in so many is timed. */
const SAMPLED = 256;

/** Picks the decisions that are timed: the first, and then one in 256, so that the others pay for one addition. */
export class Sampler {
  readonly #observers = new Observers("onDecision");
  #calls = 0;

  /** Whether the present call is to be timed. */
  get isDue(): boolean {
    if (this.#observers.isEmpty) return false;
    const isDue = this.#calls === 0;
    this.#calls = (this.#calls + 1) % SAMPLED;
    return isDue;
  }

  /** Has `observe` told of each call timed, as {@link Observers.add} does. */
  add(observe: Observe): () => void {
    return this.#observers.add(observe);
  }

  /** Times a call, up to its answer where that comes later. A call that fails tells nothing. */
  time<T>(call: () => T | Promise<T>): T | Promise<T> {
    const start = performance.now();
    const told = (answer: T): T => {
      this.#observers.tell((performance.now() - start) / 1000);
      return answer;
    };
    const answer = call();
    return answer instanceof Promise ? answer.then(told) : told(answer);
  }
}
