import { isRefusal } from "../store/key-error.js";
import { REMEMBERED_MS } from "../store/lua/keys.js";
import type { Asker } from "./asker.js";
import type { Lease, Owed } from "./lease.js";
import type { LeaseTable } from "./lease-table.js";
import type { Runtime } from "./runtime.js";
import type { SharedTier } from "./shared-tier.js";

/** How long, in ms, after it was first sent a correction is sent again as one that may have counted. */
const RESENT_MS = REMEMBERED_MS / 2;

/** Keys of which the store is told at the end that it may forget the number; of the others it forgets it by itself. */
const NUMBERED = 16_384;

/** Keys charged at once when a store has come back. */
const BATCH = 256;

/** A correction that nobody else needs to hear of, and that is not sent twice. */
export const ONCE = {
  quotasOnly: false,
  tell: false,
  number: undefined,
  again: false,
  unused: false,
  away: false,
} as const;

/** What the store has not heard of yet: charges and returns, each of which it is to count once. */
export class Debts {
  readonly #table: LeaseTable;
  readonly #asker: Asker;
  readonly #runtime: Runtime;
  readonly #leaseMs: number;
  /** Leases that owe the store something, or decided without it. */
  readonly #behind = new Set<Lease>();
  /** Those of them with which it is settled in a while. */
  readonly #retried = new Set<Lease>();
  /** Keys whose last correction the store still knows by its number, and when that was: the latest last. */
  readonly #numbered = new Map<string, { readonly boundTier: SharedTier; readonly atMs: number }>();
  #number = 0;

  constructor(table: LeaseTable, asker: Asker, runtime: Runtime, leaseMs: number) {
    this.#table = table;
    this.#asker = asker;
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
    for (const { owed, share } of this.#behind) {
      for (const { deltas } of owed) sum += Math.max(0, ...deltas);
      sum += share?.admitted ?? 0;
    }
    return sum;
  }

  /** Has the store charged or given back something, now or when it is back. */
  owe(lease: Lease, owed: Owed): void {
    if (!this.#table.keeps(lease) && this.#asker.state !== "ready") return;
    if (!lease.merge(owed)) lease.owed.push(owed);
    this.#behind.add(lease);
    if (this.#asker.state === "ready") void this.settle(lease);
  }

  /** Has the store hear of every debt of a key, or as many as it will hear of; never rejects. */
  settle(lease: Lease): Promise<void> {
    this.turn(lease);
    lease.paying ??= this.#pay(lease).then(() => {
      lease.paying = undefined;
      // One may have come after the last was paid and before this runs; one that failed is tried again later.
      const [next] = lease.owed;
      const isNew = next !== undefined && next.sent === undefined;
      return isNew && this.#mayPay(lease) ? this.settle(lease) : undefined;
    });
    return lease.paying;
  }

  /** Settles, and tells whether nothing is owed any more. */
  async isSettled(lease: Lease): Promise<boolean> {
    await this.settle(lease);
    return !lease.owes;
  }

  /** Settles with all, as long as the store is there. */
  async settleAll(): Promise<void> {
    const behind = [...this.#behind];
    for (let at = 0; at < behind.length && this.#asker.state === "ready"; at += BATCH) {
      await Promise.all(behind.slice(at, at + BATCH).map((lease) => this.settle(lease)));
    }
  }

  /** Has the store forget the numbers of this replica, as long as it is there. */
  async leave(): Promise<void> {
    const numbered = [...this.#numbered];
    for (let at = 0; at < numbered.length && this.#asker.state === "ready"; at += BATCH) {
      const left = numbered.slice(at, at + BATCH).map(([key, { boundTier }]) => {
        return this.#asker.run({ op: "leave", ...this.#asker.about(key, boundTier, undefined) });
      });
      await Promise.allSettled(left);
    }
  }

  /** Turns what was decided without the store into a debt. */
  turn(lease: Lease): void {
    const { share, boundTier } = lease;
    lease.share = undefined;
    const debts = share?.debts(this.#asker.storeMs());
    if (debts === undefined) return;
    const owed = { boundTier, ...debts, quotasOnly: false, tell: false, unused: false, away: true, sent: undefined };
    // Or a key whose node is away would owe once per call, and all who come later wait for each. Before what is given back of it:
    // below nothing the store would not count that.
    if (!lease.merge(owed)) lease.owed.splice(lease.owed[0]?.sent === undefined ? 0 : 1, 0, owed);
    this.#behind.add(lease);
  }

  /** One debt at a time, each under its number until it is acknowledged, so that each counts once. */
  async #pay(lease: Lease): Promise<void> {
    while (this.#mayPay(lease)) {
      const [owed] = lease.owed;
      if (owed === undefined) break;
      const again = owed.sent !== undefined;
      const nowMs = this.#runtime.now();
      owed.sent ??= {
        number: ++this.#number,
        known: lease.boundTier === owed.boundTier ? lease.known : undefined,
        atMs: nowMs,
      };
      const { boundTier, sent, ...what } = owed;
      // Whether it has counted nobody can tell any more: rather charged twice than given back twice.
      if (nowMs - sent.atMs > RESENT_MS) owed.deltas = what.deltas = what.deltas.map((delta) => Math.max(0, delta));
      try {
        const about = this.#asker.about(lease.key, boundTier, sent.known);
        const reply = await this.#asker.run({ op: "adjust", ...about, ...what, number: sent.number, again });
        if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
        lease.owed.shift();
        this.#remember(lease.key, boundTier);
      } catch (error) {
        // It has not counted, and comes as if for the first time.
        if (isRefusal(error)) owed.sent = undefined;
        lease.failed(error, this.#runtime.now());
        return this.#retry(lease);
      }
    }
    if (!lease.owes) this.#behind.delete(lease);
    else if (this.#isBroken(lease)) this.#retry(lease);
  }

  #remember(key: string, boundTier: SharedTier): void {
    const atMs = this.#runtime.now();
    this.#numbered.delete(key);
    this.#numbered.set(key, { boundTier, atMs });
    for (const [oldest, { atMs: beforeMs }] of this.#numbered) {
      if (atMs - beforeMs <= REMEMBERED_MS && this.#numbered.size <= NUMBERED) break;
      this.#numbered.delete(oldest);
    }
  }

  #mayPay(lease: Lease): boolean {
    return this.#asker.state === "ready" && !this.#isBroken(lease);
  }

  #isBroken(lease: Lease): boolean {
    return this.#runtime.now() < lease.brokenUntilMs;
  }

  /** Settles in a while: once, however many calls have found meanwhile that it can't be done. */
  #retry(lease: Lease): void {
    if (this.#retried.has(lease)) return;
    this.#retried.add(lease);
    this.#runtime.after(Math.max(this.#leaseMs / 4, lease.brokenUntilMs - this.#runtime.now()), () => {
      this.#retried.delete(lease);
      void this.settle(lease);
    });
  }
}
