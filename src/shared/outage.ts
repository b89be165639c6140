import type { Tier } from "../engine/tier.js";
import { TollkeeperError } from "../errors.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { Decision } from "../limiter/decision.js";
import type { Clocks } from "./clocks.js";
import { FallbackLimits } from "./fallback-limits.js";
import type { LeaseDecider } from "./lease-decider.js";
import type { OpenKeys } from "./open-key.js";
import type { OutagePolicies } from "./outage-policy.js";
import type { Outbox } from "./outbox.js";
import type { Session } from "./session.js";
import { withUnreconciled } from "./unreconciled.js";

/** Decides while the store can't be asked. */
export class Outage {
  readonly #decider: LeaseDecider;
  readonly #openKeys: OpenKeys;
  readonly #session: Pick<Session, "replicas" | "refusal" | "knowsReplicas">;
  readonly #outbox: Outbox;
  readonly #clocks: Clocks;
  readonly #policies: OutagePolicies;
  /** What the keys share, per tier, that found no room. */
  readonly #overflow = new Map<Tier, FallbackLimits>();

  constructor(
    decider: LeaseDecider,
    openKeys: OpenKeys,
    session: Pick<Session, "replicas" | "refusal" | "knowsReplicas">,
    outbox: Outbox,
    clocks: Clocks,
    policies: OutagePolicies,
  ) {
    this.#decider = decider;
    this.#openKeys = openKeys;
    this.#session = session;
    this.#outbox = outbox;
    this.#clocks = clocks;
    this.#policies = policies;
  }

  /**
   * Decides by the outage policy.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` under the policy `closed`, or where no part of the limit is known.
   */
  decide(key: string, boundTier: BoundTier, costMilli: number, spends: boolean): Decision {
    const { tier } = boundTier;
    this.#check(tier);
    const admits = spends && costMilli > 0;
    const fallback = this.#limits(key, boundTier, admits);
    const outcome = fallback.decide(costMilli, this.#clocks.storeMs(), admits);
    const open = this.#openKeys.get(key);
    if (admits && open !== undefined && open.fallback === fallback) this.#outbox.add(open);
    return this.#decider.conclude(boundTier, key, costMilli, outcome, spends);
  }

  /** Forgets what was shared for want of room. */
  over(): void {
    this.#overflow.clear();
  }

  /** The limits that decide on a key. */
  #limits(key: string, boundTier: BoundTier, admits: boolean): FallbackLimits {
    const { tier } = boundTier;
    const open = this.#openKeys.get(key);
    if (open?.fallback?.tier === tier) return open.fallback;
    if (!admits) return this.#fresh(key, boundTier);
    if (!this.#openKeys.hasRoomFor(key)) {
      const shared = this.#overflow.get(tier) ?? this.#fresh(key, boundTier);
      this.#overflow.set(tier, shared);
      return shared;
    }
    const kept = this.#openKeys.obtain(key);
    this.#outbox.queueFallback(kept);
    kept.bringTo(boundTier);
    kept.fallback = this.#fresh(key, boundTier);
    return kept.fallback;
  }

  #fresh(key: string, boundTier: BoundTier): FallbackLimits {
    const { tier } = boundTier;
    const nowMs = this.#clocks.storeMs();
    const snapshot = this.#decider.look(boundTier, key)?.snapshot;
    const spent = withUnreconciled(tier, snapshot, this.#openKeys.get(key)?.unreconciled ?? [], nowMs);
    // Each thread of a replica decides by itself.
    const parts = this.#session.replicas * this.#decider.engine.users;
    return new FallbackLimits(tier, spent, parts, this.#policies, nowMs);
  }

  /**
   * A store that refuses is seldom met by one replica alone. Before it is known how many there are, each would take the
   * whole limit for its part.
   */
  #check({ limits }: Tier): void {
    const has = (policy: string) => limits.some(({ rule }) => this.#policies[rule.type] === policy);
    const { refusal, knowsReplicas } = this.#session;
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
