import { isRefusal } from "../store/key-error.js";
import { REMEMBERED_MS } from "../store/lua/key-state.js";
import type { Lease, Unreconciled } from "./lease.js";
import type { LeaseTable } from "./lease-table.js";
import type { Runtime } from "./runtime.js";
import type { SharedTier } from "./shared-tier.js";
import type { StoreClient } from "./store-client.js";

/** How long, in ms, after it was first sent a correction is sent again as one that may have counted. */
const RESENT_MS = REMEMBERED_MS / 2;

/** Keys of which the store is told at the end that it may forget the sequence; of the others it forgets it by itself. */
const SEQUENCED = 16_384;

/** Keys charged at once when a store has come back. */
const BATCH = 256;

/** A correction that nobody else needs to hear of, and that is not sent twice. */
export const ONCE = {
  quotasOnly: false,
  tell: false,
  sequence: undefined,
  isRetry: false,
  unused: false,
  duringOutage: false,
} as const;

/** What the store has not heard of yet: charges and returns, each of which it is to count once. */
export class Outbox {
  readonly #table: LeaseTable;
  readonly #client: StoreClient;
  readonly #runtime: Runtime;
  readonly #leaseMs: number;
  /** Leases with something that the store has not heard of, or that decided without it. */
  readonly #behind = new Set<Lease>();
  /** Those of them that are flushed in a while. */
  readonly #retried = new Set<Lease>();
  /** Keys whose last correction the store still knows by its sequence, and when that was: the latest last. */
  readonly #sequenced = new Map<string, { readonly boundTier: SharedTier; readonly atMs: number }>();
  #sequence = 0;

  constructor(table: LeaseTable, client: StoreClient, runtime: Runtime, leaseMs: number) {
    this.#table = table;
    this.#client = client;
    this.#runtime = runtime;
    this.#leaseMs = leaseMs;
  }

  /** Remembers that a lease decides without the store. */
  add(lease: Lease): void {
    this.#behind.add(lease);
    if (this.#isBroken(lease)) this.#retry(lease);
  }

  /** Thousandths admitted that the store has not heard of. */
  get unreconciled(): number {
    let sum = 0;
    for (const { unreconciled, fallback } of this.#behind) {
      for (const { deltas } of unreconciled) sum += Math.max(0, ...deltas);
      sum += fallback?.admitted ?? 0;
    }
    return sum;
  }

  /** Has the store charged or given back something, now or when it is back. */
  queue(lease: Lease, entry: Unreconciled): void {
    if (!this.#table.keeps(lease) && this.#client.state !== "ready") return;
    if (!lease.merge(entry)) lease.unreconciled.push(entry);
    this.#behind.add(lease);
    if (this.#client.state === "ready") void this.flush(lease);
  }

  /** Has the store hear of all that waits of a key, or of as much as it will hear of; never rejects. */
  flush(lease: Lease): Promise<void> {
    this.queueFallback(lease);
    lease.flushing ??= this.#send(lease).then(() => {
      lease.flushing = undefined;
      // One may have come after the last was sent and before this runs; one that failed is tried again later.
      const [next] = lease.unreconciled;
      const isNew = next !== undefined && next.sent === undefined;
      return isNew && this.#maySend(lease) ? this.flush(lease) : undefined;
    });
    return lease.flushing;
  }

  /** Flushes, and tells whether nothing is left. */
  async isFlushed(lease: Lease): Promise<boolean> {
    await this.flush(lease);
    return !lease.hasUnreconciled;
  }

  /** Flushes all, as long as the store is there. */
  async flushAll(): Promise<void> {
    const behind = [...this.#behind];
    for (let at = 0; at < behind.length && this.#client.state === "ready"; at += BATCH) {
      await Promise.all(behind.slice(at, at + BATCH).map((lease) => this.flush(lease)));
    }
  }

  /** Has the store forget the sequences of this replica, as long as it is there. */
  async leave(): Promise<void> {
    const sequenced = [...this.#sequenced];
    for (let at = 0; at < sequenced.length && this.#client.state === "ready"; at += BATCH) {
      const left = sequenced.slice(at, at + BATCH).map(([key, { boundTier }]) => {
        return this.#client.run({ op: "leave", ...this.#client.about(key, boundTier, undefined) });
      });
      await Promise.allSettled(left);
    }
  }

  /** Queues what was admitted without the store. */
  queueFallback(lease: Lease): void {
    const { fallback, boundTier } = lease;
    lease.fallback = undefined;
    const charges = fallback?.charges(this.#client.storeMs());
    if (charges === undefined) return;
    const entry = {
      boundTier,
      ...charges,
      quotasOnly: false,
      tell: false,
      unused: false,
      duringOutage: true,
      sent: undefined,
    };
    // One for all of it, or all who come later would wait for one per call. Before what is given back of it:
    // below nothing the store would not count that.
    if (!lease.merge(entry)) lease.unreconciled.splice(lease.unreconciled[0]?.sent === undefined ? 0 : 1, 0, entry);
    this.#behind.add(lease);
  }

  /** One at a time, each under its sequence until it is acknowledged, so that each counts once. */
  async #send(lease: Lease): Promise<void> {
    while (this.#maySend(lease)) {
      const [entry] = lease.unreconciled;
      if (entry === undefined) break;
      const isRetry = entry.sent !== undefined;
      const nowMs = this.#runtime.now();
      entry.sent ??= {
        sequence: ++this.#sequence,
        snapshot: lease.boundTier === entry.boundTier ? lease.snapshot : undefined,
        atMs: nowMs,
      };
      const { boundTier, sent, ...what } = entry;
      // Whether it has counted nobody can tell any more: rather charged twice than given back twice.
      if (nowMs - sent.atMs > RESENT_MS) entry.deltas = what.deltas = what.deltas.map((delta) => Math.max(0, delta));
      try {
        const about = this.#client.about(lease.key, boundTier, sent.snapshot);
        const reply = await this.#client.run({ op: "adjust", ...about, ...what, sequence: sent.sequence, isRetry });
        if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
        lease.unreconciled.shift();
        this.#remember(lease.key, boundTier);
      } catch (error) {
        // It has not counted, and comes as if for the first time.
        if (isRefusal(error)) entry.sent = undefined;
        lease.failed(error, this.#runtime.now());
        return this.#retry(lease);
      }
    }
    if (!lease.hasUnreconciled) this.#behind.delete(lease);
    else if (this.#isBroken(lease)) this.#retry(lease);
  }

  #remember(key: string, boundTier: SharedTier): void {
    const atMs = this.#runtime.now();
    this.#sequenced.delete(key);
    this.#sequenced.set(key, { boundTier, atMs });
    for (const [oldest, { atMs: beforeMs }] of this.#sequenced) {
      if (atMs - beforeMs <= REMEMBERED_MS && this.#sequenced.size <= SEQUENCED) break;
      this.#sequenced.delete(oldest);
    }
  }

  #maySend(lease: Lease): boolean {
    return this.#client.state === "ready" && !this.#isBroken(lease);
  }

  #isBroken(lease: Lease): boolean {
    return this.#runtime.now() < lease.brokenUntilMs;
  }

  /** Flushes in a while: once, however many calls have found meanwhile that it can't be done. */
  #retry(lease: Lease): void {
    if (this.#retried.has(lease)) return;
    this.#retried.add(lease);
    this.#runtime.after(Math.max(this.#leaseMs / 4, lease.brokenUntilMs - this.#runtime.now()), () => {
      this.#retried.delete(lease);
      void this.flush(lease);
    });
  }
}
