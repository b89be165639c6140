import type { Tier } from "../engine/tier.js";
import { FallbackLimits } from "./fallback-limits.js";
import type { Lease } from "./lease.js";
import type { LeaseTable } from "./lease-table.js";
import type { OutagePolicies } from "./outage-policy.js";
import type { Outbox } from "./outbox.js";
import type { Outcome } from "./outcome.js";
import { withUnreconciled } from "./snapshot.js";
import type { StoreClient } from "./store-client.js";

/** What could not be decided, since the store is away and the policy is `closed`. */
export const CLOSED = Symbol("closed");

/** Decides while the store can't be asked. */
export class Outage {
  readonly #table: LeaseTable;
  readonly #client: StoreClient;
  readonly #outbox: Outbox;
  readonly #policies: OutagePolicies;
  /** What the keys share, per tier, that found no room. */
  readonly #overflow = new Map<Tier, FallbackLimits>();

  constructor(table: LeaseTable, client: StoreClient, outbox: Outbox, policies: OutagePolicies) {
    this.#table = table;
    this.#client = client;
    this.#outbox = outbox;
    this.#policies = policies;
  }

  /** Decides by the outage policy. */
  decide(lease: Lease, costMilli: number, spends: boolean): Outcome | typeof CLOSED {
    const policies = this.#policies;
    const { tier } = lease.boundTier;
    if (tier.limits.some(({ rule }) => policies[rule.type] === "closed")) return CLOSED;
    const storeMs = this.#client.storeMs();
    const fresh = () => {
      const spent = withUnreconciled(tier, lease.snapshot, lease.unreconciled, storeMs);
      return new FallbackLimits(tier, spent, this.#client.replicas, policies, storeMs);
    };
    if (!spends) return (lease.fallback ?? fresh()).decide(costMilli, storeMs, false);
    if (!this.#table.keeps(lease)) {
      const shared = this.#overflow.get(tier) ?? fresh();
      this.#overflow.set(tier, shared);
      return shared.decide(costMilli, storeMs, true);
    }
    lease.fallback ??= fresh();
    this.#outbox.add(lease);
    return lease.fallback.decide(costMilli, storeMs, true);
  }

  /** Forgets what was shared for want of room. */
  over(): void {
    this.#overflow.clear();
  }
}
