import type { Tiers } from "../engine/spec.js";
import type { Decision } from "../limiter/decision.js";
import type { MaybePromise } from "./maybe-promise.js";

/** What HTTP asks of a limiter, be it that of one process or that of many replicas. */
export interface Limits {
  readonly tiers: Tiers;
  consume(key: string, tier: string, cost?: number): MaybePromise<Decision>;
  peek(key: string, tier: string, cost?: number): MaybePromise<Decision>;
  maxCost(tier: string): number;
  countShadow(tier: string, limit: string): void;
}
