/** One decision in so many is timed. */
const SAMPLED = 256;

/** Told how many seconds something took. */
export type Observe = (seconds: number) => void;

/** Picks the decisions that are timed: the first, and then one in 256, so that the others pay for one addition. */
export class Sampler {
  readonly #observers = new Set<Observe>();
  #calls = 0;

  /** Whether the present call is to be timed. */
  get isDue(): boolean {
    if (this.#observers.size === 0) return false;
    const isDue = this.#calls === 0;
    this.#calls = (this.#calls + 1) % SAMPLED;
    return isDue;
  }

  /** Has `observe` told of each call timed; returns what ends that. */
  add(observe: Observe): () => void {
    this.#observers.add(observe);
    return () => void this.#observers.delete(observe);
  }

  /** Times a call, up to its answer where that comes later. A call that fails tells nothing. */
  time<T>(call: () => T | Promise<T>): T | Promise<T> {
    const start = performance.now();
    const told = (answer: T): T => {
      const seconds = (performance.now() - start) / 1000;
      for (const observe of this.#observers) observe(seconds);
      return answer;
    };
    const answer = call();
    return answer instanceof Promise ? answer.then(told) : told(answer);
  }
}
