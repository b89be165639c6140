import type { Frame } from "../engine/frame.js";
import type { LeaseEngine } from "../engine/lease-engine.js";
import { LEASE_FRAME } from "../engine/lease-frame.js";
import { PROCESS, type Runtime } from "./runtime.js";

const { NOW, MONO } = LEASE_FRAME;

/** The store's time and this process's: the engine's own, but in a simulation and where a clock is given. */
export class Clocks {
  /** The time to decide by, if not the store's own. */
  readonly given: (() => number) | undefined;
  readonly #engine: Pick<LeaseEngine, "storeMs">;
  readonly #runtime: Runtime;
  readonly #isReal: boolean;
  #hasHeard = false;

  constructor(engine: Pick<LeaseEngine, "storeMs">, runtime: Runtime, given: (() => number) | undefined) {
    this.#engine = engine;
    this.#runtime = runtime;
    this.given = given;
    this.#isReal = runtime === PROCESS && given === undefined;
  }

  /** A clock in ms that never runs backwards and counts from anywhere. */
  nowMs(): number {
    return this.#runtime.now();
  }

  /** The store's time, as near as can be told. */
  storeMs(): number {
    if (this.given !== undefined) return this.given();
    if (this.#isReal) return this.#engine.storeMs(-1);
    return Math.floor(this.#hasHeard ? this.#engine.storeMs(this.monoMs()) : this.#runtime.wall());
  }

  /** This process's clock as the engine takes it. */
  monoMs(): number {
    return this.#isReal ? -1 : Math.floor(this.#runtime.now());
  }

  /** Writes both into the first row of a frame. */
  stamp(frame: Frame): void {
    if (this.#isReal) {
      frame[NOW] = -1;
      frame[MONO] = -1;
    } else {
      frame[NOW] = this.storeMs();
      frame[MONO] = this.monoMs();
    }
  }

  /** The engine has heard from the store what time it is there. */
  hear(): void {
    this.#hasHeard = true;
  }
}
