/**
 * What decides while the store is away.
 *
 * - `"share"`: this replica's part of the limit. All replicas together admit what one limiter would have, and tell the store
 *   of it when it is back.
 * - `"open"`: nothing; calls pass, and are charged afterwards.
 * - `"closed"`: nobody gets in; `consume` throws `ERR_STORE_UNAVAILABLE`, which adapters answer with 503.
 *
 * @example A quota that costs money stays closed, a rate is shared out.
 * ```ts
 * import type { RedisStorage } from "tollkeeper";
 *
 * const storage: RedisStorage = {
 *   type: "redis",
 *   url: "redis://127.0.0.1:6379",
 *   onOutage: { bucket: "share", quota: "closed" },
 * };
 * console.log(storage.onOutage); // { bucket: 'share', quota: 'closed' }
 * ```
 */
export type OutagePolicy = "share" | "open" | "closed";

/** The policy for each type of limit. */
export interface OutagePolicies {
  /** For rates. */
  readonly bucket: OutagePolicy;
  /** For quotas. */
  readonly quota: OutagePolicy;
  /** For calls that run at the same time. */
  readonly concurrency: OutagePolicy;
}
