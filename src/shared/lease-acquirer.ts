import { TollkeeperError } from "../errors.js";
import type { Reply } from "../store/protocol.js";
import type { Lease, PendingCall } from "./lease.js";
import type { LeaseOptions } from "./lease-options.js";
import { type LeaseReleaser, SWEEPS } from "./lease-releaser.js";
import type { Outbox } from "./outbox.js";
import { allowedOutcome, spentAt } from "./outcome.js";
import type { Runtime } from "./runtime.js";
import type { SharedTier } from "./shared-tier.js";
import type { StoreClient } from "./store-client.js";

/** Takes in vain after which a call asks for itself alone. */
const MISSES = 3;

/** Takes tokens ahead, and decides those who wait for them. */
export class LeaseAcquirer {
  readonly #client: StoreClient;
  readonly #outbox: Outbox;
  readonly #releaser: LeaseReleaser;
  readonly #runtime: Runtime;
  readonly #leaseMs: number;
  readonly #outMs: number;
  readonly #underway = new Set<Promise<void>>();
  /** Leases that will run out soon. */
  readonly #low: Lease[] = [];
  #isEnding = false;

  constructor(
    client: StoreClient,
    outbox: Outbox,
    releaser: LeaseReleaser,
    runtime: Runtime,
    { leaseMs, timeoutMs }: Pick<LeaseOptions, "leaseMs" | "timeoutMs">,
  ) {
    this.#client = client;
    this.#outbox = outbox;
    this.#releaser = releaser;
    this.#runtime = runtime;
    this.#leaseMs = leaseMs;
    // Until the sweep after it has expired, and then until it has arrived.
    this.#outMs = Math.ceil(leaseMs + leaseMs / SWEEPS + timeoutMs);
  }

  /** Has a call wait for tokens of the next take. */
  wait(lease: Lease, call: PendingCall): void {
    lease.pending.push(call);
    if (!lease.taking) this.#takeSoon(lease);
  }

  /** Asks for more before it is needed: not at once, but with other keys that run low within a part of the time left. */
  prefetch(lease: Lease, nowMs: number): void {
    const leaseMs = this.#leaseMs;
    if (lease.isLow || lease.taking || this.#isEnding) return;
    if (nowMs < lease.noPrefetchUntilMs || nowMs < lease.brokenUntilMs) return;
    const low = lease.demand(leaseMs / 4, nowMs);
    if (low < 2000 || lease.held(nowMs + leaseMs / 4) >= low) return;
    lease.isLow = true;
    if (this.#low.push(lease) === 1) this.#runtime.after(leaseMs / 16, () => this.#prefetchAll());
  }

  /** Takes nothing ahead any more; resolves when no take is under way. */
  async end(): Promise<void> {
    this.#isEnding = true;
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway);
  }

  /** Asks for more when this turn of the event loop is over, so that all who come in it are counted. */
  #takeSoon(lease: Lease): void {
    lease.taking = true;
    this.#runtime.soon(() => {
      // What is taken now is of the present tier.
      for (const call of lease.stalePending.splice(0)) call.alone();
      const [first] = lease.pending;
      if (first === undefined) {
        lease.taking = false;
        return;
      }
      // What is held counts, or the last tokens would lie here and there in parts that nobody can use.
      const held = lease.held(this.#runtime.now());
      this.#begin(this.#take(lease, Math.max(0, first.costMilli - held)));
    });
  }

  #prefetchAll(): void {
    for (const lease of this.#low.splice(0)) {
      lease.isLow = false;
      if (lease.taking || this.#isEnding || this.#client.state !== "ready") continue;
      lease.taking = true;
      this.#begin(this.#take(lease, 0));
    }
  }

  #begin(take: Promise<void>): void {
    this.#underway.add(take);
    void take.finally(() => this.#underway.delete(take));
  }

  async #take(lease: Lease, need: number): Promise<void> {
    const { boundTier } = lease;
    const leaseMs = this.#leaseMs;
    const sentMs = this.#runtime.now();
    const waiting = lease.pending.reduce((sum, { costMilli }) => sum + costMilli, 0);
    const ahead = lease.demand(leaseMs, sentMs) - lease.usable(sentMs);
    const want = Math.max(need, waiting - lease.held(sentMs), ahead);
    const isFlushed = !lease.hasUnreconciled || (await this.#outbox.isFlushed(lease));
    try {
      if (!isFlushed)
        throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis has not heard of what was admitted before");
      const snapshot = lease.boundTier === boundTier ? lease.snapshot : undefined;
      const divisor = 2 * this.#client.replicas;
      const reply = await this.#client.run({
        op: "take",
        ...this.#client.about(lease.key, boundTier, snapshot),
        need,
        want,
        divisor,
        outMs: this.#outMs,
      });
      this.#took(lease, boundTier, need, sentMs, reply);
    } catch (error) {
      lease.failed(error, this.#runtime.now());
      lease.taking = false;
      for (const call of [...lease.stalePending.splice(0), ...lease.pending.splice(0)]) call.failed();
      return;
    }
    lease.taking = false;
    this.#serve(lease);
  }

  #took(lease: Lease, boundTier: SharedTier, need: number, sentMs: number, reply: Reply): void {
    const nowMs = this.#runtime.now();
    const left = this.#serveStale(lease, boundTier, reply);
    if (left > 0) {
      const lastsMs = Math.min(this.#leaseMs, ...periodEnds(boundTier, reply.nowMs));
      const grant = { milli: left, expiresMs: sentMs + lastsMs, takenMs: reply.nowMs };
      if (lease.boundTier === boundTier) {
        lease.grants.push(grant);
        this.#releaser.add(lease);
      } else {
        void this.#releaser.give(lease, boundTier, grant);
      }
    } else if (reply.granted === 0) {
      lease.noPrefetchUntilMs = nowMs + this.#leaseMs / 4;
    }
    if (lease.boundTier !== boundTier) return;
    lease.learn(reply, nowMs);
    if (reply.denied > 0) {
      const denial = lease.denial(boundTier, reply, need, nowMs);
      lease.rememberDenial(denial, nowMs);
      // The answer is for the first, whatever is held by now.
      const first = lease.pending.shift();
      if (first === undefined) return;
      const outcome = lease.outcome(first.costMilli, nowMs, reply.nowMs - reply.lagMs);
      first.decided(outcome.denied > 0 ? outcome : { ...denial, spent: outcome.spent });
    }
  }

  /** Decides those who waited when another tier came in, by what was taken for them; returns what is left of it. */
  #serveStale(lease: Lease, boundTier: SharedTier, reply: Reply): number {
    const { granted, nowMs, spent } = reply;
    let left = granted;
    const alone: PendingCall[] = [];
    for (const call of lease.stalePending.splice(0)) {
      if (call.boundTier !== boundTier || call.costMilli > left) {
        alone.push(call);
        continue;
      }
      left -= call.costMilli;
      const snapshot = { epoch: "", atMs: nowMs, spent };
      call.decided(allowedOutcome(reply, spentAt(boundTier.tier, snapshot, nowMs, left)));
    }
    // Asked for when what is left is on its way back.
    if (alone.length > 0) this.#runtime.soon(() => alone.forEach((call) => void call.alone()));
    return left;
  }

  /** Decides those who wait, in their order, as far as what is held and known goes; the rest wait on. */
  #serve(lease: Lease): void {
    const nowMs = this.#runtime.now();
    const storeMs = this.#client.storeMs(nowMs);
    const waiting: PendingCall[] = [];
    for (const call of lease.pending.splice(0)) {
      if (lease.use(call.costMilli, nowMs)) {
        call.decided(lease.outcome(0, nowMs, storeMs));
        continue;
      }
      const outcome = lease.outcome(call.costMilli, nowMs, storeMs);
      if (nowMs < lease.denyUntilMs && outcome.denied > 0) call.decided(outcome);
      else waiting.push(call);
    }
    // Whatever has become of the take: nobody asks for ever.
    const [first] = waiting;
    if (first !== undefined && ++first.misses === MISSES) waiting.shift()?.alone();
    lease.pending.push(...waiting);
    if (lease.pending.length > 0) this.#takeSoon(lease);
  }
}

/** How long the periods of a tier's quotas still last. */
function periodEnds({ tier }: SharedTier, nowMs: number): number[] {
  return tier.limits.flatMap(({ rule }) => (rule.type === "quota" ? [rule.resetMs(nowMs)] : []));
}
