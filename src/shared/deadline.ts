import type { Runtime } from "./runtime.js";

/** One deadline for all that is asked in one turn of the event loop: a timer for each would cost more than the asking. */
export class Deadline {
  readonly #runtime: Runtime;
  readonly #ms: number;
  /** What is asked in this turn. */
  #turn: Turn | undefined;

  constructor(runtime: Runtime, ms: number) {
    this.#runtime = runtime;
    this.#ms = ms;
  }

  /** Calls `late` when the time is up; returns what stops that. */
  start(late: () => void): () => void {
    const turn = this.#turn ?? this.#begin();
    turn.asked.add(late);
    return () => {
      turn.asked.delete(late);
      if (turn.asked.size === 0 && turn !== this.#turn) turn.cancel();
    };
  }

  #begin(): Turn {
    const asked = new Set<() => void>();
    // After a pause of our own, an answer may be here that the event loop has not come to yet.
    const cancel = this.#runtime.after(this.#ms, () =>
      this.#runtime.soon(() => {
        for (const late of asked) late();
      }),
    );
    const turn = { asked, cancel };
    this.#turn = turn;
    this.#runtime.soon(() => {
      this.#turn = undefined;
      if (asked.size === 0) cancel();
    });
    return turn;
  }
}

interface Turn {
  readonly asked: Set<() => void>;
  readonly cancel: () => void;
}
