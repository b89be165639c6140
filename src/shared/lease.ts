import { isOfOneKey } from "../store/key-error.js";
import type { Reply, Snapshot } from "../store/protocol.js";
import type { FallbackLimits } from "./fallback-limits.js";
import { type Outcome, outcomeOf, spentAt } from "./outcome.js";
import type { SharedTier } from "./shared-tier.js";

/** How long, in ms, a key's rate is watched before it is told. */
const RATE_WINDOW_MS = 100;
/** How long, in ms, a denial is remembered at most, and a key left alone whose count in the store is not ours. */
const LOOK_AGAIN_MS = 5000;

/** How long, in ms, a take that had no answer in time may have been granted all the same, and not have come back. */
const LATE_MS = 1000;

/** Tokens taken together: they may be handed out until they expire. */
export interface Grant {
  milli: number;
  /** By this process's clock. */
  readonly expiresMs: number;
  /** When they were taken, by the store's time. */
  readonly takenMs: number;
}

/** A charge or a return that the store must hear of exactly once. */
export interface Unreconciled {
  readonly boundTier: SharedTier;
  deltas: readonly number[];
  readonly atMs: number;
  readonly quotasOnly: boolean;
  readonly tell: boolean;
  /** Whether what is given back was handed out to nobody. */
  readonly unused: boolean;
  /** Whether it was admitted while the store was away. */
  readonly duringOutage: boolean;
  /** Its sequence, what was known of the key and when it was, by this process's clock, when it was first sent. */
  sent: { readonly sequence: number; readonly snapshot: Snapshot | undefined; readonly atMs: number } | undefined;
}

/** A call that waits for a take. */
export interface PendingCall {
  readonly boundTier: SharedTier;
  readonly costMilli: number;
  readonly decided: (outcome: Outcome) => void;
  /** The store could not be asked. */
  readonly failed: () => void;
  /** No take of the lease serves it: the store is asked for this call alone. */
  readonly alone: () => void;
  /** How many takes were made for it that brought it neither its tokens nor a denial. */
  misses: number;
}

/** What one replica holds and knows of one key. */
export class Lease {
  readonly key: string;
  boundTier: SharedTier;
  snapshot: Snapshot | undefined;
  /** When that was learned, by this process's clock. */
  learnedMs = 0;
  grants: Grant[] = [];
  /** Until when a denial is remembered, by this process's clock. */
  denyUntilMs = 0;
  /** Until when tokens that other replicas hold may come back, by this process's clock. */
  backUntilMs = 0;
  /** Until when tokens of a take without an answer may come back, by this process's clock. */
  lateUntilMs = 0;
  /** Until when the store is not asked, since what it holds of the key is none of ours; by this process's clock. */
  brokenUntilMs = 0;
  /** Until when nothing is asked for ahead, since there was nothing to be had. */
  noPrefetchUntilMs = 0;
  /** Whether more is to be asked for soon. */
  isLow = false;
  taking = false;
  /** Calls of the present tier that wait for a take. */
  pending: PendingCall[] = [];
  /** Calls of an earlier tier that wait for the take that is under way. */
  stalePending: PendingCall[] = [];
  fallback: FallbackLimits | undefined;
  unreconciled: Unreconciled[] = [];
  /** Resolved when all that is unreconciled was sent, or as much of it as can be. */
  flushing: Promise<void> | undefined;
  usedMs = 0;
  /** Thousandths used per ms of late. */
  rate = 0;
  #used = 0;
  #usedSinceMs = 0;

  constructor(key: string, boundTier: SharedTier) {
    this.key = key;
    this.boundTier = boundTier;
  }

  /** Thousandths held that don't expire before `untilMs`. */
  held(untilMs: number): number {
    let held = 0;
    for (const { milli, expiresMs } of this.grants) if (expiresMs > untilMs) held += milli;
    return held;
  }

  /** Thousandths held that will be used before they expire, as it goes. */
  usable(nowMs: number): number {
    let usable = 0;
    for (const { milli, expiresMs } of this.grants) {
      if (expiresMs > nowMs) usable += Math.max(0, Math.min(milli, this.rate * (expiresMs - nowMs) - usable));
    }
    return Math.floor(usable);
  }

  /** Uses tokens that are held, the oldest first; returns whether there were enough. */
  use(costMilli: number, nowMs: number): boolean {
    this.usedMs = nowMs;
    if (this.held(nowMs) < costMilli) return false;
    let rest = costMilli;
    for (const grant of this.grants) {
      if (grant.expiresMs <= nowMs) continue;
      const part = Math.min(rest, grant.milli);
      grant.milli -= part;
      rest -= part;
      if (rest === 0) break;
    }
    this.#used += costMilli;
    return true;
  }

  /** Thousandths that the key will use in `ms`, as it goes. */
  demand(ms: number, nowMs: number): number {
    const elapsed = nowMs - this.#usedSinceMs;
    const latest = this.#used / Math.max(elapsed, RATE_WINDOW_MS);
    if (elapsed < RATE_WINDOW_MS) return Math.ceil(Math.max(this.rate, latest) * ms);
    this.rate = this.rate === 0 || elapsed > 10 * RATE_WINDOW_MS ? latest : (this.rate + latest) / 2;
    this.#used = 0;
    this.#usedSinceMs = nowMs;
    return Math.ceil(this.rate * ms);
  }

  /** Takes out the tokens that may not be handed out any more: the expired, or all if they lie idle. */
  expired(nowMs: number, idleMs: number): Grant[] {
    const isIdle = nowMs - this.usedMs >= idleMs;
    const gone = this.grants.filter((grant) => grant.milli > 0 && (isIdle || grant.expiresMs <= nowMs));
    if (gone.length > 0 || this.grants.some(({ milli }) => milli === 0)) {
      this.grants = isIdle ? [] : this.grants.filter(({ milli, expiresMs }) => milli > 0 && expiresMs > nowMs);
    }
    return gone;
  }

  learn({ epoch, nowMs: atMs, spent }: Reply, nowMs: number): void {
    if (epoch === "" || (this.snapshot?.epoch === epoch && this.snapshot.atMs > atMs)) return;
    this.snapshot = { epoch, atMs, spent };
    this.learnedMs = nowMs;
  }

  /** Remembers a denial. */
  rememberDenial({ waitMs, isProvisional }: Outcome, nowMs: number): void {
    this.denyUntilMs = nowMs + Math.min(waitMs, LOOK_AGAIN_MS);
    this.backUntilMs = isProvisional ? nowMs + waitMs : 0;
  }

  /** Leaves the key alone for a while, if an error is of what the store holds of it. */
  failed(error: unknown, nowMs: number): void {
    if (isOfOneKey(error)) this.brokenUntilMs = nowMs + LOOK_AGAIN_MS;
    else this.lateUntilMs = nowMs + LATE_MS;
  }

  /** What the store's denial of `needMilli` means, by what may still come back. */
  denial({ tier }: SharedTier, { spent, ...reply }: Reply, needMilli: number, nowMs: number): Outcome {
    const backMs = Math.max(reply.backMs, Math.ceil(this.lateUntilMs - nowMs));
    return outcomeOf(tier, spent, needMilli, { ...reply, backMs });
  }

  /** Lets the store be asked again, since somebody has changed the key there. */
  lookAgain(): void {
    this.denyUntilMs = 0;
    this.brokenUntilMs = 0;
  }

  /** Where the key stands for a call of this cost, less what is held here. */
  outcome(costMilli: number, nowMs: number, storeMs: number): Outcome {
    const { tier } = this.boundTier;
    const atMs = Math.max(storeMs, this.snapshot?.atMs ?? 0);
    const spent = spentAt(tier, this.snapshot, atMs, this.held(nowMs));
    const backMs = Math.max(0, Math.ceil(this.backUntilMs - nowMs));
    return outcomeOf(tier, spent, costMilli, { nowMs: atMs, lagMs: atMs - storeMs, backMs });
  }

  /** Whether the store has not heard of something. */
  get hasUnreconciled(): boolean {
    return this.unreconciled.length > 0 || this.fallback !== undefined;
  }

  /** Adds to the last that is unreconciled, if that was not sent yet and is of the same kind; returns whether it did. */
  merge({ boundTier, deltas, atMs, quotasOnly, tell, unused, duringOutage }: Unreconciled): boolean {
    const last = this.unreconciled.at(-1);
    if (
      last === undefined ||
      last.sent !== undefined ||
      last.boundTier !== boundTier ||
      last.quotasOnly !== quotasOnly
    ) {
      return false;
    }
    const isSamePeriod = boundTier.tier.limits.every(
      ({ rule }) => rule.type === "bucket" || rule.periodOf(atMs).startMs === rule.periodOf(last.atMs).startMs,
    );
    const isSameSign = deltas.every((delta, index) => Math.sign(delta) === Math.sign(last.deltas[index] ?? 0));
    if (
      !isSamePeriod ||
      !isSameSign ||
      last.tell !== tell ||
      last.unused !== unused ||
      last.duringOutage !== duringOutage
    )
      return false;
    last.deltas = last.deltas.map((delta, index) => delta + (deltas[index] ?? 0));
    return true;
  }

  /** Whether forgetting it now loses nothing that is unreconciled or held. */
  get mayGo(): boolean {
    return (
      !this.taking &&
      this.grants.length === 0 &&
      this.pending.length === 0 &&
      this.unreconciled.length === 0 &&
      this.fallback === undefined
    );
  }
}
