import { isOfOneKey } from "../store/key-error.js";
import type { Command, Reply } from "../store/protocol.js";
import { Lease } from "./lease.js";
import { LeaseAcquirer } from "./lease-acquirer.js";
import type { LeaseOptions } from "./lease-options.js";
import { LeaseReleaser, type SWEEPS } from "./lease-releaser.js";
import type { LeaseTable } from "./lease-table.js";
import { type CLOSED, Outage } from "./outage.js";
import { ONCE, Outbox } from "./outbox.js";
import { allowedOutcome, type Outcome, outcomeOf, spentAt } from "./outcome.js";
import type { Runtime } from "./runtime.js";
import type { Session, SessionState } from "./session.js";
import type { SharedCorrection, SharedTier } from "./shared-tier.js";
import { converted } from "./snapshot.js";
import { StoreClient } from "./store-client.js";

/** Keys reported at once when a store has come back. */
const BATCH = 256;

/** Decides calls from what is leased, what the store grants, and, while that is away, by the outage policy. */
export class Leases {
  readonly table: LeaseTable;
  readonly #options: LeaseOptions;
  readonly #client: StoreClient;
  readonly #outbox: Outbox;
  readonly #outage: Outage;
  readonly #releaser: LeaseReleaser;
  readonly #runtime: Runtime;
  readonly #acquirer: LeaseAcquirer;

  constructor(table: LeaseTable, session: Session, runtime: Runtime, options: LeaseOptions) {
    this.table = table;
    this.#runtime = runtime;
    this.#options = options;
    this.#client = new StoreClient(session, runtime, options.clock);
    this.#outbox = new Outbox(table, this.#client, runtime, options.leaseMs);
    this.#releaser = new LeaseReleaser(this.#client, this.#outbox, runtime, options.leaseMs);
    this.#outage = new Outage(table, this.#client, this.#outbox, options.policies);
    this.#acquirer = new LeaseAcquirer(this.#client, this.#outbox, this.#releaser, runtime, options);
  }

  /** The store's time, as near as can be told. */
  storeMs(): number {
    return this.#client.storeMs();
  }

  /** Spends a cost above 0 of a tier that has limits. */
  consume(
    key: string,
    boundTier: SharedTier,
    costMilli: number,
  ): Outcome | typeof CLOSED | Promise<Outcome | typeof CLOSED> {
    const lease = this.#bringTo(key, boundTier);
    const nowMs = this.#runtime.now();
    if (lease.use(costMilli, nowMs)) {
      this.#acquirer.prefetch(lease, nowMs);
      return lease.outcome(0, nowMs, this.#client.storeMs(nowMs));
    }
    if (!this.#mayAsk(lease, nowMs)) return this.#outage.decide(lease, costMilli, true);
    if (this.#options.mode === "exact") return this.#exactly(lease, boundTier, costMilli);
    if (nowMs < lease.denyUntilMs) {
      const outcome = lease.outcome(costMilli, nowMs, this.#client.storeMs(nowMs));
      if (outcome.denied > 0) return outcome;
    }
    return new Promise((resolve) => {
      this.#acquirer.wait(lease, {
        boundTier,
        costMilli,
        decided: resolve,
        failed: () => resolve(this.#decideWithoutStore(key, boundTier, costMilli)),
        alone: () => resolve(this.#exactly(lease, boundTier, costMilli)),
        misses: 0,
      });
    });
  }

  /** What `consume` would say. */
  peek(
    key: string,
    boundTier: SharedTier,
    costMilli: number,
  ): Outcome | typeof CLOSED | Promise<Outcome | typeof CLOSED> {
    const nowMs = this.#runtime.now();
    const storeMs = this.#client.storeMs(nowMs);
    const present = this.table.get(key);
    const lease = present?.boundTier === boundTier ? present : undefined;
    if (!this.#mayAsk(present, nowMs)) return this.#outage.decide(lease ?? new Lease(key, boundTier), costMilli, false);
    const isFresh = lease?.snapshot !== undefined && nowMs - lease.learnedMs < this.#options.leaseMs;
    if (lease !== undefined && isFresh && lease.grants.length > 0 && !lease.hasUnreconciled) {
      return lease.outcome(costMilli, nowMs, storeMs);
    }
    const flushed = present?.hasUnreconciled ? this.#outbox.flush(present) : Promise.resolve();
    // Another tier may have come in meanwhile.
    const own = () => (lease?.boundTier === boundTier ? lease : undefined);
    const asked = flushed.then(() =>
      this.#client.run({ op: "peek", ...this.#client.about(key, boundTier, own()?.snapshot), need: costMilli }),
    );
    return asked.then(
      (reply) => {
        const snapshot = { epoch: "", atMs: reply.nowMs, spent: reply.spent };
        const held = own()?.held(this.#runtime.now()) ?? 0;
        return outcomeOf(boundTier.tier, spentAt(boundTier.tier, snapshot, reply.nowMs, held), costMilli, reply);
      },
      () => this.#outage.decide(own() ?? new Lease(key, boundTier), costMilli, false),
    );
  }

  /** Forgets a key everywhere. */
  async reset(key: string, boundTier: SharedTier): Promise<void> {
    const lease = this.table.get(key);
    if (lease !== undefined) this.#forget(lease);
    await this.#client.run({ op: "reset", ...this.#client.about(key, boundTier, undefined) });
  }

  /** Corrects a decision, now or when the store is back. */
  correct(key: string, boundTier: SharedTier, { deltaMilli, atMs, quotasOnly }: SharedCorrection): void {
    const lease = this.table.obtain(key, boundTier);
    const deltas = boundTier.tier.limits.map(() => deltaMilli);
    this.#outbox.queue(lease, {
      boundTier,
      deltas,
      atMs,
      quotasOnly,
      tell: deltaMilli < 0,
      unused: false,
      duringOutage: false,
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
      this.#releaser.giveBack(lease);
      lease.lookAgain();
    }
  }

  /** Another replica has nothing left of the key: here it would only lie idle. */
  wanted(key: string): void {
    const lease = this.table.get(key);
    if (lease === undefined || lease.grants.length === 0) return;
    this.#releaser.giveBack(lease);
    lease.noPrefetchUntilMs = this.#runtime.now() + this.#options.leaseMs / 4;
  }

  stateChanged(state: SessionState): void {
    if (state !== "ready") return;
    this.#outage.over();
    void this.#outbox.flushAll();
  }

  hasState(): boolean {
    return this.table.size > 0;
  }

  /** Reports to a server that may have lost it what is known of every key. */
  async report(): Promise<void> {
    const leases = [...this.table.values()].filter((lease) => lease.snapshot !== undefined);
    for (let at = 0; at < leases.length; at += BATCH) {
      await Promise.all(leases.slice(at, at + BATCH).map((lease) => this.#reportOf(lease)));
    }
  }

  /** A command that was given up has been carried out after all. */
  late(command: Command, reply: Reply): void {
    this.#releaser.late(command, reply);
  }

  /** Gives back what has expired or lies idle. Called {@link SWEEPS} times in `leaseMs`. */
  sweep(): void {
    this.#releaser.sweep();
  }

  /** Gives back everything, also what is still being taken, and waits until it has arrived. */
  async drain(): Promise<void> {
    await this.#acquirer.end();
    const given = this.#releaser.drain();
    if (this.#client.state === "ready") given.push(this.#outbox.flushAll());
    await Promise.allSettled(given);
    await this.#outbox.leave();
  }

  /** Tokens held ahead, and tokens admitted that the store has not heard of, in thousandths. */
  outstanding(): { leased: number; unreconciled: number } {
    return { leased: this.#releaser.leased, unreconciled: this.#outbox.unreconciled };
  }

  #mayAsk(lease: Lease | undefined, nowMs: number): boolean {
    return this.#client.state === "ready" && !(lease !== undefined && nowMs < lease.brokenUntilMs);
  }

  #bringTo(key: string, boundTier: SharedTier): Lease {
    const lease = this.table.obtain(key, boundTier);
    if (lease.boundTier !== boundTier) {
      this.#releaser.giveBack(lease);
      this.#outbox.queueFallback(lease);
      lease.snapshot = converted(lease.snapshot, lease.boundTier.tier, boundTier.tier, this.#client.storeMs());
      lease.boundTier = boundTier;
      lease.denyUntilMs = 0;
      lease.stalePending.push(...lease.pending.splice(0));
    }
    return lease;
  }

  #forget(lease: Lease): void {
    this.#releaser.drop(lease);
    lease.snapshot = undefined;
    lease.fallback = undefined;
    lease.lookAgain();
  }

  async #exactly(lease: Lease, boundTier: SharedTier, costMilli: number): Promise<Outcome | typeof CLOSED> {
    // Whoever has not answered once in time is not waited for again.
    if (lease.hasUnreconciled && !(await this.#outbox.isFlushed(lease)))
      return this.#decideWithoutStore(lease.key, boundTier, costMilli);
    try {
      const about = this.#client.about(
        lease.key,
        boundTier,
        lease.boundTier === boundTier ? lease.snapshot : undefined,
      );
      const reply = await this.#client.run({ op: "take", ...about, need: costMilli, want: 0, divisor: 1, outMs: 0 });
      if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
      if (reply.denied === 0) return allowedOutcome(reply, reply.spent);
      return lease.denial(boundTier, reply, costMilli, this.#runtime.now());
    } catch (error) {
      lease.failed(error, this.#runtime.now());
      return this.#decideWithoutStore(lease.key, boundTier, costMilli);
    }
  }

  /** Decides a call that could not be asked about: under its own tier, should another have come in while it waited. */
  #decideWithoutStore(key: string, boundTier: SharedTier, costMilli: number): Outcome | typeof CLOSED {
    return this.#outage.decide(this.#bringTo(key, boundTier), costMilli, true);
  }

  async #reportOf(lease: Lease): Promise<void> {
    const { boundTier, key, snapshot } = lease;
    const deltas = boundTier.tier.limits.map(() => 0);
    const about = this.#client.about(key, boundTier, snapshot);
    const atMs = snapshot?.atMs ?? 0;
    try {
      const reply = await this.#client.run({ op: "adjust", ...about, deltas, atMs, ...ONCE });
      if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
    } catch (error) {
      // Of the other keys it is to hear all the same.
      if (!isOfOneKey(error)) throw error;
      lease.failed(error, this.#runtime.now());
    }
  }
}
