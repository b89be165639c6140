import type { CostMilli } from "../engine/cost.js";
import type { Frame } from "../engine/frame.js";
import { LEASE_FRAME, LEASE_OUTCOME } from "../engine/lease-frame.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import { Decision } from "../limiter/decision.js";

/** A denial over a shared store: how long it stands may hang on what other replicas hold, and on a part of a limit. */
export class SharedDenial extends Decision {
  declare private readonly waitMs: number;
  declare private readonly provisional: boolean;

  constructor(boundTier: BoundTier, key: string, frame: Frame, costMilli: CostMilli) {
    super(boundTier, key, frame, 0, costMilli, false);
    this.waitMs = frame[LEASE_FRAME.WAIT] as number;
    this.provisional = ((frame[LEASE_FRAME.CODE] as number) & LEASE_OUTCOME.PROVISIONAL) !== 0;
  }

  override get retryAfterMs(): number {
    return this.waitMs;
  }

  override get isProvisional(): boolean {
    return this.provisional;
  }
}
