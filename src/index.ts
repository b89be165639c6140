/**
 * Rate limits, quotas and tiers, decided inside the process.
 *
 * @module tollkeeper
 */
export {
  createLimiter,
  type LimiterOptions,
  type SharedLimiterOptions,
  type StorageOptions,
} from "./create.js";
export type { Cost } from "./engine/cost.js";
export type { EngineStats, TierStats } from "./engine/engine.js";
export { maxKeysOf } from "./engine/max-keys.js";
export { type NativeEngineStatus, nativeEngine } from "./engine/native.js";
export type { PeriodName } from "./engine/period.js";
export type { RecordListener, RecordStore } from "./engine/record-store.js";
export {
  type BucketSpec,
  type ConcurrencySpec,
  capacityOf,
  type LimitSpec,
  type OverageSpec,
  type QuotaSpec,
  type TierSpec,
  type Tiers,
} from "./engine/spec.js";
export { checkTiers } from "./engine/tier.js";
export { ERROR_CODES, type ErrorCode, TollkeeperError } from "./errors.js";
export type { Many } from "./limiter/calls.js";
export type { Decision, LimitState } from "./limiter/decision.js";
export type { GrantOptions } from "./limiter/grant.js";
export type { JointDecision } from "./limiter/joint-decision.js";
export type { Limiter, LimiterStats } from "./limiter/limiter.js";
export type { Observe } from "./limiter/observers.js";
export { checkOverrides, type LimitOverride, type Overrides, overriddenTier, plainTier } from "./limiter/overrides.js";
export type { ShadowDenials } from "./limiter/shadow.js";
export type { Subject } from "./limiter/subjects.js";
export { openRecords, type SharedRecords } from "./shared/open-records.js";
export type { OutagePolicies, OutagePolicy } from "./shared/outage-policy.js";
export type { SessionState, SessionStats } from "./shared/session.js";
export type { SharedLimiter, SharedLimiterStats } from "./shared/shared-limiter.js";
export type { RedisStorage } from "./shared/storage-options.js";
export type { RedisClient } from "./store/given-client.js";
export type { Credentials } from "./store/login.js";
export { redactedUrl } from "./store/redis-url.js";
