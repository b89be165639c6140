import type { CostMilli } from "../engine/cost.js";
import { FRAME, type Frame } from "../engine/frame.js";
import type { BoundTier } from "./bound-tier.js";
import { Decision } from "./decision.js";

/** A decision of a tier with limits of concurrency: if it was allowed, it holds places until they are given back. */
export class PlacedDecision extends Decision {
  /** The number of its place; 0 if it has none, or none any more. */
  declare private place: number;

  constructor(boundTier: BoundTier, key: string, frame: Frame, at: number, costMilli: CostMilli, spends: boolean) {
    super(boundTier, key, frame, at, costMilli, spends);
    const mayHold = spends && this.allowed && boundTier.tier.hasPlaces;
    this.place = mayHold ? Math.max(0, frame[at + FRAME.PLACE] as number) : 0;
  }

  override get holdsPlace(): boolean {
    return this.place > 0;
  }

  override undo(): boolean {
    this.release();
    return super.undo();
  }

  override release(): boolean {
    const { boundTier, place } = this;
    if (place === 0 || boundTier.isClosed()) return false;
    const nowMs = boundTier.clock();
    if (this.place === 0) return false; // The clock is somebody else's code, which may have given it back.
    this.place = 0;
    return boundTier.release(boundTier, this.key, place, this.atMs, this.overflowed, nowMs);
  }
}

/** When each place of a decision made at `atMs` is over at the latest. */
export function endsOf({ tier }: BoundTier, atMs: number): number[] {
  return tier.limits.flatMap(({ rule }) => (rule.type === "concurrency" ? [atMs + rule.timeoutMs] : []));
}
