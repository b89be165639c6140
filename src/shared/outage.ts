import type { Tier } from "../engine/tier.js";
import type { Asker } from "./asker.js";
import type { Debts } from "./debts.js";
import { withOwed } from "./known.js";
import type { Lease } from "./lease.js";
import type { LeaseTable } from "./lease-table.js";
import { type OutagePolicies, Share } from "./share.js";
import type { View } from "./view.js";

/** What could not be decided, since the store is away and the policy is `closed`. */
export const CLOSED = Symbol("closed");

/** Decides while the store can't be asked. */
export class Outage {
  readonly #table: LeaseTable;
  readonly #asker: Asker;
  readonly #debts: Debts;
  readonly #policies: OutagePolicies;
  /** What the keys share, per tier, that found no room. */
  readonly #overflow = new Map<Tier, Share>();

  constructor(table: LeaseTable, asker: Asker, debts: Debts, policies: OutagePolicies) {
    this.#table = table;
    this.#asker = asker;
    this.#debts = debts;
    this.#policies = policies;
  }

  /** Decides by the outage policy. */
  decide(lease: Lease, costMilli: number, spends: boolean): View | typeof CLOSED {
    const policies = this.#policies;
    const { tier } = lease.boundTier;
    if (tier.limits.some(({ rule }) => policies[rule.type] === "closed")) return CLOSED;
    const storeMs = this.#asker.storeMs();
    const fresh = () => {
      const spent = withOwed(tier, lease.known, lease.owed, storeMs);
      return new Share(tier, spent, this.#asker.replicas, policies, storeMs);
    };
    if (!spends) return (lease.share ?? fresh()).decide(costMilli, storeMs, false);
    if (!this.#table.keeps(lease)) {
      const shared = this.#overflow.get(tier) ?? fresh();
      this.#overflow.set(tier, shared);
      return shared.decide(costMilli, storeMs, true);
    }
    lease.share ??= fresh();
    this.#debts.add(lease);
    return lease.share.decide(costMilli, storeMs, true);
  }

  /** Forgets what was shared for want of room. */
  over(): void {
    this.#overflow.clear();
  }
}
