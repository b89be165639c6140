import { atTurnEnd } from "../store/turn.js";

/** Time and chance, which a simulation replaces. */
export interface Runtime {
  /** A clock in ms that never runs backwards and counts from anywhere. */
  now(): number;
  /** The time of day in ms since the epoch, for as long as no store has told its own. */
  wall(): number;
  /** Runs a task once after `ms`; returns what stops that. The process stays for it only if `isAwaited`. */
  after(ms: number, task: () => void, isAwaited?: boolean): () => void;
  /** Runs a task when the present turn of the event loop is over. */
  soon(task: () => void): void;
}

/** That of a real process. */
export const PROCESS: Runtime = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, task, isAwaited = false) {
    const timer = setTimeout(task, ms);
    if (!isAwaited) timer.unref();
    return () => clearTimeout(timer);
  },
  soon: atTurnEnd,
};
