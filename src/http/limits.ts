import type { Cost } from "../engine/cost.js";
import type { Tiers } from "../engine/spec.js";
import type { Decision } from "../limiter/decision.js";
import type { JointDecision } from "../limiter/joint-decision.js";
import type { Subject } from "../limiter/subjects.js";
import type { MaybePromise } from "./maybe-promise.js";

/** What HTTP asks of a limiter, be it that of one process or that of many replicas. */
export interface Limits {
  /** The tiers in force. */
  readonly tiers: Tiers;
  /** Spends, or denies. */
  consume(key: string, tier: string, cost?: Cost): MaybePromise<Decision>;
  /** Spends of all subjects, or of none. */
  consumeAll(subjects: readonly Subject[]): MaybePromise<JointDecision>;
  /** Says what `consume` would. */
  peek(key: string, tier: string, cost?: Cost): MaybePromise<Decision>;
  /** Tokens that a single call may cost at most, of every limit or of the one named. */
  maxCost(tier: string, limit?: string): number;
  /** Limits that a cost may name. */
  costNames(tier: string): readonly string[];
  /** Counts a denial that is not enforced. */
  countShadow(tier: string, limit: string): void;
}
