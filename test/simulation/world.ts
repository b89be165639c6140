import type { Surroundings } from "../../src/store/protocol.js";

interface Event {
  readonly atMs: number;
  readonly order: number;
  task: (() => void) | undefined;
}

/** Simulated time: what is to happen happens in its order, at once, and the clock stands still in between. */
export class World {
  nowMs: number;
  /** A heap by time, then order. */
  readonly #events: Event[] = [];
  #order = 0;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  /** Runs a task after `ms`; returns what stops that. */
  after(ms: number, task: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, task };
    this.#push(event);
    return () => {
      event.task = undefined;
    };
  }

  /** Lets everything happen until then. */
  async runUntil(endMs: number): Promise<void> {
    for (let event = this.#events[0]; event !== undefined && event.atMs <= endMs; event = this.#events[0]) {
      this.#pop();
      if (event.task === undefined) continue;
      this.nowMs = Math.max(this.nowMs, event.atMs);
      event.task();
      // Called once no promise has anything left to do, so that time goes on only then.
      await new Promise<void>((resolve) => process.nextTick(resolve));
    }
    this.nowMs = endMs;
  }

  /** How a process sees it whose clock began at another time. */
  surroundings(offsetMs: number): Surroundings {
    return {
      now: () => this.nowMs + offsetMs,
      wall: () => this.nowMs,
      after: (ms, task) => this.after(ms, task),
      soon: (task) => void this.after(0, task),
    };
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
