import type { Engine } from "../engine/engine.js";

/** What a limiter has for whatever is counted beside its keys. */
export interface Host {
  /** What it decides by. */
  readonly engine: Engine;
  /** Milliseconds since the epoch, by the limiter's clock. */
  readonly clock: () => number;
}
