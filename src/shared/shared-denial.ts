import type { Frame } from "../engine/frame.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import { Decision } from "../limiter/decision.js";
import type { Outcome } from "./outcome.js";

/** A denial over a shared store: how long it stands may hang on what other replicas hold, and on a part of a limit. */
export class SharedDenial extends Decision {
  declare private readonly waitMs: number;
  declare private readonly provisional: boolean;

  constructor(boundTier: BoundTier, key: string, frame: Frame, costMilli: number, { waitMs, isProvisional }: Outcome) {
    super(boundTier, key, frame, 0, costMilli, false);
    this.waitMs = waitMs;
    this.provisional = isProvisional;
  }

  override get retryAfterMs(): number {
    return this.waitMs;
  }

  override get isProvisional(): boolean {
    return this.provisional;
  }
}
