interface Event {
  readonly atMs: number;
  readonly order: number;
  task: (() => void) | undefined;
}

/** Simulated time: it stands still while something happens, and then goes on to whatever is next. */
export class SimulatedTime {
  nowMs: number;
  /** A heap by time, then order. */
  readonly #events: Event[] = [];
  #order = 0;

  constructor(nowMs = 0) {
    this.nowMs = nowMs;
  }

  /** How a process sees it whose clock began at another time. */
  runtime(offsetMs = 0) {
    return {
      now: () => this.nowMs + offsetMs,
      wall: () => this.nowMs,
      after: (ms: number, task: () => void) => this.after(ms, task),
      soon: (task: () => void) => void this.after(0, task),
    };
  }

  /** Runs a task after `ms`; returns what stops that. */
  after(ms: number, task: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, task };
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
    return () => {
      event.task = undefined;
    };
  }

  /** Lets everything happen until then. */
  async runUntil(endMs: number): Promise<void> {
    for (let event = this.#events[0]; event !== undefined && event.atMs <= endMs; event = this.#events[0]) {
      this.#pop();
      if (event.task === undefined) continue;
      this.nowMs = event.atMs;
      event.task();
      // Called once no promise has anything left to do, so that time goes on only then.
      await new Promise<void>((resolve) => process.nextTick(resolve));
    }
    this.nowMs = endMs;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
