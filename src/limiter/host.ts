import type { Engine } from "../engine/engine.js";
import type { UsageRetention, UsageStore } from "../engine/usage-store.js";

/** Opens the store of a limiter's usage, beside its keys. */
export type OpenUsage = (retention: UsageRetention) => UsageStore;

/** What a limiter has for whatever is counted beside its keys: an engine, or a store that it shares with others. */
export type Host = {
  /** Milliseconds since the epoch, by the limiter's clock. */
  readonly clock: () => number;
} & (
  | {
      /** What it decides by. */
      readonly engine: Engine;
      readonly openUsage?: undefined;
    }
  | {
      /** The same for as long as the limiter is open. */
      readonly openUsage: OpenUsage;
    }
);
