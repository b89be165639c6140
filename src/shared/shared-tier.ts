import type { DecisionRef, Engine } from "../engine/engine.js";
import { ADJUST, FRAME, type Frame, OUTCOME } from "../engine/frame.js";
import type { Tier } from "../engine/tier.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import { Decision } from "../limiter/decision.js";
import { ShadowedDecision } from "../limiter/shadow.js";
import type { Outcome } from "./outcome.js";
import { SharedDenial } from "./shared-denial.js";

/** The one row from which decisions are copied. */
const frame: Frame = new Float64Array(FRAME.ROW);

/** What is corrected of a decision made with a shared store. */
export interface SharedCorrection {
  readonly tier: Tier;
  readonly deltaMilli: number;
  /** When it was decided, by the store's time. */
  readonly atMs: number;
  readonly quotasOnly: boolean;
}

/** How a bound tier reaches whoever keeps the keys. */
export interface Corrector {
  readonly isClosed: () => boolean;
  readonly clock: () => number;
  correct(key: string, correction: SharedCorrection): void;
}

/** A tier that decides with a shared store: the place of an engine, as far as decisions need one. */
export class SharedTier implements BoundTier {
  readonly engine: Pick<Engine, "adjust">;
  readonly clock: () => number;
  readonly isClosed: () => boolean;
  readonly version: number;
  readonly tierId: number;
  readonly tier: Tier;
  readonly shadows: SharedTier[] = [];

  constructor(tier: Tier, tierId: number, version: number, corrector: Corrector) {
    this.tier = tier;
    this.tierId = tierId;
    this.version = version;
    this.clock = corrector.clock;
    this.isClosed = corrector.isClosed;
    this.engine = {
      adjust: (key: string, deltaMilli: number, { atMs }: DecisionRef, flags: number) => {
        corrector.correct(key, { tier, deltaMilli, atMs, quotasOnly: (flags & ADJUST.QUOTAS_ONLY) !== 0 });
        return true;
      },
    };
  }

  /** Makes a decision of where a key stands after the call. */
  decide(key: string, costMilli: number, outcome: Outcome, spends: boolean): Decision {
    const { denied, nowMs, lagMs, spent } = outcome;
    frame[FRAME.CODE] = lagMs > 0 ? denied | OUTCOME.BEHIND : denied;
    frame[FRAME.BEHIND] = lagMs;
    frame[FRAME.NOW] = nowMs;
    for (let index = 0; index < spent.length; index++) frame[FRAME.SPENT + index] = spent[index] as number;
    if (denied > 0) return new SharedDenial(this, key, frame, costMilli, outcome);
    const Made = this.shadows.length === 0 ? Decision : ShadowedDecision;
    return new Made(this, key, frame, 0, costMilli, spends);
  }
}
