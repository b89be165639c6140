export type {
  BucketSpec,
  EngineStats,
  LimitSpec,
  QuotaSpec,
  RecordStore,
  TierSpec,
  TierStats,
  Tiers,
} from "./engine/types.js";
export { ERROR_CODES, type ErrorCode, TollkeeperError } from "./errors.js";
export {
  createLimiter,
  type LimiterOptions,
  type SharedLimiterOptions,
  type StorageOptions,
} from "./limiter/create.js";
export type { Decision, LimitState } from "./limiter/decision.js";
export type { Limiter, LimiterStats } from "./limiter/limiter.js";
export { type LimitOverride, type Overrides, overriddenTier } from "./limiter/overrides.js";
export type { RedisStorage } from "./limiter/redis-storage.js";
export type { ShadowDenials } from "./limiter/shadow.js";
export type { OutagePolicies, OutagePolicy } from "./limiter/share.js";
export type { SharedLimiter, SharedLimiterStats } from "./limiter/shared-limiter.js";
