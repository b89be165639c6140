export {
  createLimiter,
  type LimiterOptions,
  type SharedLimiterOptions,
  type StorageOptions,
} from "./create.js";
export type { EngineStats, TierStats } from "./engine/engine.js";
export type { RecordStore } from "./engine/record-store.js";
export type { BucketSpec, LimitSpec, QuotaSpec, TierSpec, Tiers } from "./engine/spec.js";
export { ERROR_CODES, type ErrorCode, TollkeeperError } from "./errors.js";
export type { Decision, LimitState } from "./limiter/decision.js";
export type { Limiter, LimiterStats } from "./limiter/limiter.js";
export { type LimitOverride, type Overrides, overriddenTier } from "./limiter/overrides.js";
export type { ShadowDenials } from "./limiter/shadow.js";
export type { OutagePolicies, OutagePolicy } from "./shared/share.js";
export type { SharedLimiter, SharedLimiterStats } from "./shared/shared-limiter.js";
export type { RedisStorage } from "./shared/storage-options.js";
