import type { Engine } from "../engine/engine.js";
import type { Tier } from "../engine/tier.js";

/** A tier bound to the engine, the clock and the version that decide for it: what all its decisions have in common. */
export interface BoundTier {
  /** Whoever corrects its decisions. */
  readonly engine: Pick<Engine, "adjust">;
  readonly clock: () => number;
  /** Whether the limiter is closed; then nothing is corrected any more. */
  readonly isClosed: () => boolean;
  /** The version of the tiers that this is of. */
  readonly version: number;
  readonly tierId: number;
  readonly tier: Tier;
  /** Those of the tier's shadow limits, which decide each by itself. */
  readonly shadows: readonly BoundTier[];
}
