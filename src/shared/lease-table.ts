import { Lease } from "./lease.js";
import type { SharedTier } from "./shared-tier.js";

/** Leases looked at to find one that may go. */
const SEARCH = 32;

/** The leases of at most so many keys; one that was not used for long, and of which nothing is held or unreconciled, makes room. */
export class LeaseTable {
  readonly #maxKeys: number;
  readonly #leases = new Map<string, Lease>();
  #cursor = this.#leases.values();
  #evictions = 0;
  #overflow = 0;

  constructor(maxKeys: number) {
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#leases.size;
  }

  get evictions(): number {
    return this.#evictions;
  }

  /** Calls whose key found no room; what they leave is kept by nobody. */
  get overflow(): number {
    return this.#overflow;
  }

  get(key: string): Lease | undefined {
    return this.#leases.get(key);
  }

  /** The lease of a key; one of its own, that is not kept, if there is no room. */
  obtain(key: string, boundTier: SharedTier): Lease {
    const present = this.#leases.get(key);
    if (present !== undefined) return present;
    const lease = new Lease(key, boundTier);
    if (this.#leases.size >= this.#maxKeys) this.#makeRoom();
    if (this.#leases.size < this.#maxKeys) this.#leases.set(key, lease);
    else this.#overflow++;
    return lease;
  }

  /** Whether it is kept, and not one made for want of room. */
  keeps(lease: Lease): boolean {
    return this.#leases.get(lease.key) === lease;
  }

  values(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  #makeRoom(): void {
    for (let looked = 0; looked < SEARCH; looked++) {
      let next = this.#cursor.next();
      if (next.done) {
        this.#cursor = this.#leases.values();
        next = this.#cursor.next();
      }
      if (next.done || !next.value.mayGo) continue;
      this.#leases.delete(next.value.key);
      this.#evictions++;
      return;
    }
  }
}
