import type { Grant, Lease } from "./lease.js";
import { Returns } from "./returns.js";
import { Table } from "./table.js";

/** Keys that hold something which one sweep looks at. */
const SWEEP_LIVE = 4096;

/** The leases of at most so many keys, and what of them is to be given back. */
export class LeaseTable {
  readonly returns = new Returns();
  readonly #idleMs: number;
  readonly #leases: Table<Lease>;
  /** Those that hold something, by key. */
  readonly #live = new Map<string, Lease>();
  #cursor = this.#live.entries();

  constructor(maxKeys: number, leaseMs: number) {
    this.#leases = new Table(maxKeys);
    this.#idleMs = Math.floor(leaseMs / 2);
  }

  get size(): number {
    return this.#leases.size;
  }

  get evictions(): number {
    return this.#leases.evictions;
  }

  /** Thousandths held, be they expired. */
  get heldMilli(): number {
    let held = 0;
    for (const { grants } of this.#live.values()) for (const { milli } of grants) held += milli;
    return held;
  }

  get(key: string): Lease | undefined {
    return this.#leases.get(key);
  }

  entries(): IterableIterator<[key: string, lease: Lease]> {
    return this.#leases.entries();
  }

  /** Takes a new lease in, for which one that may go may be forgotten; returns whether there was room. */
  add(key: string, lease: Lease, monoMs: number): boolean {
    let hasGone = false;
    return this.#leases.add(key, lease, (other) => {
      if (hasGone || !other.mayGo(monoMs)) return false;
      hasGone = true;
      return true;
    });
  }

  delete(key: string): void {
    this.#leases.delete(key);
    this.#live.delete(key);
  }

  /** Has a lease hold another grant. */
  hold(key: string, lease: Lease, grant: Grant, monoMs: number): void {
    this.returns.add(key, lease.rules, lease.add(grant, monoMs));
    this.#live.set(key, lease);
  }

  /** Has all that a lease holds be given back; whether that is anything. */
  giveBack(key: string, lease: Lease): boolean {
    const gone = lease.removeAll();
    this.returns.add(key, lease.rules, gone);
    this.#live.delete(key);
    return gone.length > 0;
  }

  /** The same of all. */
  drain(): void {
    for (const [key, lease] of this.#live) this.giveBack(key, lease);
  }

  /**
   * Has what has expired, or lies idle, be given back, of the next so many keys that hold something; and forgets some that
   * are as good as new. Whether there are more to look at in this round.
   */
  sweep(storeMs: number, monoMs: number): boolean {
    const hasMore = this.#sweepLive(monoMs);
    this.#leases.sweep((lease) => lease.isAsNew(storeMs, monoMs));
    return hasMore;
  }

  #sweepLive(monoMs: number): boolean {
    for (let looked = 0; looked < SWEEP_LIVE; looked++) {
      const next = this.#cursor.next();
      if (next.done) {
        this.#cursor = this.#live.entries();
        return false;
      }
      const [key, lease] = next.value;
      if (monoMs - lease.usedMs >= this.#idleMs) {
        this.giveBack(key, lease);
      } else {
        this.returns.add(key, lease.rules, lease.removeExpired(monoMs));
        if (lease.grants.length === 0) this.#live.delete(key);
      }
    }
    return true;
  }

  clear(): void {
    this.#leases.clear();
    this.#live.clear();
    this.returns.clear();
  }
}
