import type { CostMilli } from "../engine/cost.js";
import type { Tier } from "../engine/tier.js";

/** Corrects what a tier has decided, as `adjust` of an engine does. Whether the tier was known. */
export type Correct = (
  boundTier: BoundTier,
  key: string,
  deltaMilli: CostMilli,
  atMs: number,
  flags: number,
  nowMs: number,
) => boolean;

/** Gives a place back that a tier's decision has taken at `atMs`. Whether it was not over, nor given back before. */
export type Release = (
  boundTier: BoundTier,
  key: string,
  place: number,
  atMs: number,
  overflowed: boolean,
  nowMs: number,
) => boolean;

/** A tier bound to the engine, the clock and the version that decide for it: what all its decisions have in common. */
export interface BoundTier {
  readonly correct: Correct;
  readonly release: Release;
  readonly clock: () => number;
  /** Whether the limiter is closed; then nothing is corrected any more. */
  readonly isClosed: () => boolean;
  /** The version of the tiers that this is of. */
  readonly version: number;
  readonly tierId: number;
  /** As which it is asked for: the tier's own name, or that of a tier with overrides or of a shadow limit. */
  readonly name: string;
  readonly tier: Tier;
  /**
   * Limits that a cost may name, in the order of its thousandths: those of the tier, its shadow limits, and such as don't
   * limit it: of a tier with overrides those that were taken away, of one without limits those of all tiers.
   */
  readonly costNames: readonly string[];
  /** Those of the tier's shadow limits, which decide each by itself. */
  readonly shadows: readonly BoundTier[];
  /** Whether its decisions are nothing but a `Decision`: it has no shadow limits, and none of concurrency. */
  readonly isPlain: boolean;
  /** Whether a call is decided from leases, and by nothing else: it has limits, none in shadow, and is not exact. */
  readonly isLeased: boolean;
}
