import { isOfOneKey } from "../store/key-error.js";
import type { Command, Reply } from "../store/protocol.js";
import { Asker } from "./asker.js";
import { Debts, ONCE } from "./debts.js";
import { converted } from "./known.js";
import { Lease } from "./lease.js";
import type { LeaseOptions } from "./lease-options.js";
import type { LeaseTable } from "./lease-table.js";
import { type CLOSED, Outage } from "./outage.js";
import { Returns, type SWEEPS } from "./returns.js";
import type { Runtime } from "./runtime.js";
import type { Session, SessionState } from "./session.js";
import type { SharedCorrection, SharedTier } from "./shared-tier.js";
import { Takes } from "./takes.js";
import { allowedView, spentAt, type View, viewOf } from "./view.js";

/** Keys told at once when a store has come back. */
const BATCH = 256;

/** Decides calls from what is leased, what the store grants, and, while that is away, by the outage policy. */
export class Leases {
  readonly table: LeaseTable;
  readonly #options: LeaseOptions;
  readonly #asker: Asker;
  readonly #debts: Debts;
  readonly #outage: Outage;
  readonly #returns: Returns;
  readonly #runtime: Runtime;
  readonly #takes: Takes;

  constructor(table: LeaseTable, session: Session, runtime: Runtime, options: LeaseOptions) {
    this.table = table;
    this.#runtime = runtime;
    this.#options = options;
    this.#asker = new Asker(session, runtime, options.clock);
    this.#debts = new Debts(table, this.#asker, runtime, options.leaseMs);
    this.#returns = new Returns(this.#asker, this.#debts, runtime, options.leaseMs);
    this.#outage = new Outage(table, this.#asker, this.#debts, options.policies);
    this.#takes = new Takes(this.#asker, this.#debts, this.#returns, runtime, options);
  }

  /** The store's time, as near as can be told. */
  storeMs(): number {
    return this.#asker.storeMs();
  }

  /** Spends a cost above 0 of a tier that has limits. */
  consume(key: string, boundTier: SharedTier, costMilli: number): View | typeof CLOSED | Promise<View | typeof CLOSED> {
    const lease = this.#enter(key, boundTier);
    const nowMs = this.#runtime.now();
    if (lease.use(costMilli, nowMs)) {
      this.#takes.prefetch(lease, nowMs);
      return lease.view(0, nowMs, this.#asker.storeMs(nowMs));
    }
    if (!this.#mayAsk(lease, nowMs)) return this.#outage.decide(lease, costMilli, true);
    if (this.#options.mode === "exact") return this.#exactly(lease, boundTier, costMilli);
    if (nowMs < lease.believeUntilMs) {
      const view = lease.view(costMilli, nowMs, this.#asker.storeMs(nowMs));
      if (view.denied > 0) return view;
    }
    return new Promise((resolve) => {
      this.#takes.wait(lease, {
        boundTier,
        costMilli,
        decided: resolve,
        failed: () => resolve(this.#decideAway(key, boundTier, costMilli)),
        alone: () => resolve(this.#exactly(lease, boundTier, costMilli)),
        misses: 0,
      });
    });
  }

  /** What `consume` would say. */
  peek(key: string, boundTier: SharedTier, costMilli: number): View | typeof CLOSED | Promise<View | typeof CLOSED> {
    const nowMs = this.#runtime.now();
    const storeMs = this.#asker.storeMs(nowMs);
    const present = this.table.get(key);
    const lease = present?.boundTier === boundTier ? present : undefined;
    if (!this.#mayAsk(present, nowMs)) return this.#outage.decide(lease ?? new Lease(key, boundTier), costMilli, false);
    const isFresh = lease?.known !== undefined && nowMs - lease.learnedMs < this.#options.leaseMs;
    if (lease !== undefined && isFresh && lease.parcels.length > 0 && !lease.owes) {
      return lease.view(costMilli, nowMs, storeMs);
    }
    const paid = present?.owes ? this.#debts.settle(present) : Promise.resolve();
    // Another tier may have come in meanwhile.
    const own = () => (lease?.boundTier === boundTier ? lease : undefined);
    const asked = paid.then(() =>
      this.#asker.run({ op: "peek", ...this.#asker.about(key, boundTier, own()?.known), need: costMilli }),
    );
    return asked.then(
      (reply) => {
        const known = { epoch: "", atMs: reply.nowMs, spent: reply.spent };
        const held = own()?.held(this.#runtime.now()) ?? 0;
        return viewOf(boundTier.tier, spentAt(boundTier.tier, known, reply.nowMs, held), costMilli, reply);
      },
      () => this.#outage.decide(own() ?? new Lease(key, boundTier), costMilli, false),
    );
  }

  /** Forgets a key everywhere. */
  async reset(key: string, boundTier: SharedTier): Promise<void> {
    const lease = this.table.get(key);
    if (lease !== undefined) this.#forget(lease);
    await this.#asker.run({ op: "reset", ...this.#asker.about(key, boundTier, undefined) });
  }

  /** Corrects a decision, now or when the store is back. */
  correct(key: string, boundTier: SharedTier, { deltaMilli, atMs, quotasOnly }: SharedCorrection): void {
    const lease = this.table.enter(key, boundTier);
    const deltas = boundTier.tier.limits.map(() => deltaMilli);
    this.#debts.owe(lease, {
      boundTier,
      deltas,
      atMs,
      quotasOnly,
      tell: deltaMilli < 0,
      unused: false,
      away: false,
      sent: undefined,
    });
  }

  /** Somebody else has changed the key. */
  changed(key: string, isReset: boolean): void {
    const lease = this.table.get(key);
    if (lease === undefined) return;
    if (isReset) {
      this.#forget(lease);
    } else {
      this.#returns.giveBack(lease);
      lease.lookAgain();
    }
  }

  /** Another replica has nothing left of the key: here it would only lie idle. */
  wanted(key: string): void {
    const lease = this.table.get(key);
    if (lease === undefined || lease.parcels.length === 0) return;
    this.#returns.giveBack(lease);
    lease.noPrefetchUntilMs = this.#runtime.now() + this.#options.leaseMs / 4;
  }

  entered(state: SessionState): void {
    if (state !== "ready") return;
    this.#outage.over();
    void this.#debts.settleAll();
  }

  knows(): boolean {
    return this.table.size > 0;
  }

  /** Tells a server that may have lost it what is known of every key. */
  async tell(): Promise<void> {
    const known = [...this.table.values()].filter((lease) => lease.known !== undefined);
    for (let at = 0; at < known.length; at += BATCH) {
      await Promise.all(known.slice(at, at + BATCH).map((lease) => this.#tellOf(lease)));
    }
  }

  /** A command that was given up has been carried out after all. */
  late(command: Command, reply: Reply): void {
    this.#returns.late(command, reply);
  }

  /** Gives back what has expired or lies idle. Called {@link SWEEPS} times in `leaseMs`. */
  sweep(): void {
    this.#returns.sweep();
  }

  /** Gives back everything, also what is still being taken, and waits until it has arrived. */
  async drain(): Promise<void> {
    await this.#takes.end();
    const given = this.#returns.drain();
    if (this.#asker.state === "ready") given.push(this.#debts.settleAll());
    await Promise.allSettled(given);
    await this.#debts.leave();
  }

  /** Tokens held ahead, and tokens admitted that the store has not heard of, in thousandths. */
  outstanding(): { leased: number; unreconciled: number } {
    return { leased: this.#returns.leased, unreconciled: this.#debts.unreconciled };
  }

  #mayAsk(lease: Lease | undefined, nowMs: number): boolean {
    return this.#asker.state === "ready" && !(lease !== undefined && nowMs < lease.brokenUntilMs);
  }

  #enter(key: string, boundTier: SharedTier): Lease {
    const lease = this.table.enter(key, boundTier);
    if (lease.boundTier !== boundTier) {
      this.#returns.giveBack(lease);
      this.#debts.turn(lease);
      lease.known = converted(lease.known, lease.boundTier.tier, boundTier.tier, this.#asker.storeMs());
      lease.boundTier = boundTier;
      lease.believeUntilMs = 0;
      lease.former.push(...lease.waiters.splice(0));
    }
    return lease;
  }

  #forget(lease: Lease): void {
    this.#returns.drop(lease);
    lease.known = undefined;
    lease.share = undefined;
    lease.lookAgain();
  }

  async #exactly(lease: Lease, boundTier: SharedTier, costMilli: number): Promise<View | typeof CLOSED> {
    // Whoever has not answered once in time is not waited for again.
    if (lease.owes && !(await this.#debts.isSettled(lease))) return this.#decideAway(lease.key, boundTier, costMilli);
    try {
      const about = this.#asker.about(lease.key, boundTier, lease.boundTier === boundTier ? lease.known : undefined);
      const reply = await this.#asker.run({ op: "take", ...about, need: costMilli, want: 0, divisor: 1, outMs: 0 });
      if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
      if (reply.denied === 0) return allowedView(reply, reply.spent);
      return lease.denial(boundTier, reply, costMilli, this.#runtime.now());
    } catch (error) {
      lease.failed(error, this.#runtime.now());
      return this.#decideAway(lease.key, boundTier, costMilli);
    }
  }

  /** Decides a call that could not be asked about: under its own tier, should another have come in while it waited. */
  #decideAway(key: string, boundTier: SharedTier, costMilli: number): View | typeof CLOSED {
    return this.#outage.decide(this.#enter(key, boundTier), costMilli, true);
  }

  async #tellOf(lease: Lease): Promise<void> {
    const { boundTier, key, known } = lease;
    const deltas = boundTier.tier.limits.map(() => 0);
    const about = this.#asker.about(key, boundTier, known);
    const atMs = known?.atMs ?? 0;
    try {
      const reply = await this.#asker.run({ op: "adjust", ...about, deltas, atMs, ...ONCE });
      if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
    } catch (error) {
      // Of the other keys it is to hear all the same.
      if (!isOfOneKey(error)) throw error;
      lease.failed(error, this.#runtime.now());
    }
  }
}
