import { openSync, readSync } from "node:fs";

/** The longest that an event loop was held. */
export interface Held {
  /** From one turn of it to the next, in ms. */
  ms: number;
  /** The longest without what its thread waited for a processor meanwhile, in ms; not known but on Linux. */
  runningMs: number | undefined;
}

/** How long the event loop of this process is held at a time. */
export class Holds {
  readonly #processor = waitedForProcessor();
  #longest: Held = { ms: 0, runningMs: undefined };
  #lastMs = 0;
  #lastWaitedMs: number | undefined;
  #turn: NodeJS.Immediate | undefined;

  /** Begins to watch; the loop doesn't rest until it is asked. */
  watch(): void {
    this.#lastWaitedMs = this.#processor?.();
    this.#longest = { ms: 0, runningMs: this.#lastWaitedMs === undefined ? undefined : 0 };
    this.#lastMs = performance.now();
    this.#turn = setImmediate(() => this.#tick());
  }

  /** The longest since the watch began; ends the watch. */
  longest(): Held {
    clearImmediate(this.#turn);
    return this.#longest;
  }

  #tick(): void {
    const now = performance.now();
    const heldMs = now - this.#lastMs;
    const longest = this.#longest;
    longest.ms = Math.max(longest.ms, heldMs);
    const waitedMs = this.#processor?.();
    if (waitedMs !== undefined && this.#lastWaitedMs !== undefined) {
      longest.runningMs = Math.max(longest.runningMs ?? 0, heldMs - (waitedMs - this.#lastWaitedMs));
    }
    this.#lastWaitedMs = waitedMs;
    this.#lastMs = now;
    this.#turn = setImmediate(() => this.#tick());
  }
}

/**
 * How long this thread, the process's first, has been ready to run without a processor to run on, in ms: the second number
 * of its `schedstat`. See `proc(5)` and https://docs.kernel.org/scheduler/sched-stats.html
 */
function waitedForProcessor(): (() => number) | undefined {
  let file: number;
  try {
    file = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  } catch {
    return undefined;
  }
  const text = Buffer.alloc(64);
  return () => {
    readSync(file, text, 0, text.length, 0);
    // By hand, since this is read in every turn of the loop, and must leave no garbage.
    let ns = 0;
    for (let at = text.indexOf(" ") + 1, digit = text[at]; digit !== 0x20; digit = text[++at]) {
      ns = 10 * ns + ((digit ?? 0x30) - 0x30);
    }
    return ns / 1e6;
  };
}
