import { type CostMilli, isFree } from "../engine/cost.js";
import type { Tier } from "../engine/tier.js";
import { TollkeeperError } from "../errors.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { Decision } from "../limiter/decision.js";
import { FallbackLimits } from "./fallback-limits.js";
import type { Outbox } from "./outbox.js";
import type { Parts } from "./parts.js";
import { withUnreconciled } from "./unreconciled.js";

/** Decides while the store can't be asked. */
export class Outage {
  readonly #parts: Parts;
  readonly #outbox: Outbox;
  /** What the keys share, per tier, that found no room. */
  readonly #overflow = new Map<Tier, FallbackLimits>();

  constructor(parts: Parts, outbox: Outbox) {
    this.#parts = parts;
    this.#outbox = outbox;
  }

  /**
   * Decides by the outage policy.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` under the policy `closed`, or where no part of the limit is known.
   */
  decide(key: string, boundTier: BoundTier, costMilli: CostMilli, spends: boolean): Decision {
    const { tier } = boundTier;
    this.#check(tier);
    const admits = spends && !isFree(costMilli, tier.limits.length);
    const fallback = this.#limits(key, boundTier, admits);
    const nowMs = this.#parts.clocks.storeMs();
    const { places } = this.#parts;
    let place: number | undefined;
    const own = tier.hasPlaces && {
      amounts: () => places.amounts(key, tier, nowMs),
      take: () => {
        place = places.numberFor(tier, costMilli);
        if (place !== undefined) places.took(key, tier, costMilli, place, nowMs, false);
      },
    };
    const outcome = fallback.decide(costMilli, nowMs, admits, own || undefined);
    const open = this.#parts.openKeys.get(key);
    if (admits && open !== undefined && open.fallback === fallback) this.#outbox.add(open);
    return this.#parts.decider.conclude(boundTier, key, costMilli, outcome, spends, place);
  }

  /** Forgets what was shared for want of room. */
  over(): void {
    this.#overflow.clear();
  }

  /** The limits that decide on a key. */
  #limits(key: string, boundTier: BoundTier, admits: boolean): FallbackLimits {
    const { tier } = boundTier;
    const open = this.#parts.openKeys.get(key);
    if (open?.fallback?.tier === tier) return open.fallback;
    if (!admits) return this.#fresh(key, boundTier);
    if (!this.#parts.openKeys.hasRoomFor(key)) {
      const shared = this.#overflow.get(tier) ?? this.#fresh(key, boundTier);
      this.#overflow.set(tier, shared);
      return shared;
    }
    const kept = this.#parts.openKeys.obtain(key);
    this.#outbox.queueFallback(kept);
    kept.bringTo(boundTier);
    kept.fallback = this.#fresh(key, boundTier);
    return kept.fallback;
  }

  #fresh(key: string, boundTier: BoundTier): FallbackLimits {
    const { tier } = boundTier;
    const nowMs = this.#parts.clocks.storeMs();
    const snapshot = this.#parts.decider.look(boundTier, key)?.snapshot;
    const spent = withUnreconciled(tier, snapshot, this.#parts.openKeys.get(key)?.unreconciled ?? [], nowMs);
    // Each thread of a replica decides by itself.
    const parts = this.#parts.session.replicas * this.#parts.engine.users;
    return new FallbackLimits(tier, spent, parts, this.#parts.options.policies, nowMs);
  }

  /**
   * A store that refuses is seldom met by one replica alone. Before it is known how many there are, each would take the
   * whole limit for its part.
   */
  #check({ limits }: Tier): void {
    const has = (policy: string) => limits.some(({ rule }) => this.#parts.options.policies[rule.type] === policy);
    const { refusal, knowsReplicas } = this.#parts.session;
    if (refusal !== undefined && !knowsReplicas && has("share")) {
      throw new TollkeeperError("ERR_STORE_UNAVAILABLE", `no part of the limit is known: ${refusal.message}`, {
        cause: refusal,
      });
    }
    if (has("closed")) {
      throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis can't be asked, and the outage policy is closed");
    }
  }
}
