import type { CountedRules } from "./counted-rules.js";
import type { TierLimit } from "./tier.js";

/** The most thousandths that one grant holds, and that are counted as used in one window of the rate. */
export const MAX_HELD = 2 ** 32 - 1;

/** How long, in ms, a key's rate is watched before it is told. */
const RATE_WINDOW_MS = 100;
/** Thousandths: a key that uses less than that in a while is asked for when its tokens are needed, and not ahead. */
const LOW_DEMAND = 2000;
/** How long, in ms, a denial is believed at most. */
const BELIEVED_MS = 5000;

/** Tokens taken together, in thousandths: they may be handed out until they expire. */
export interface Grant {
  milli: number;
  /** When they were taken, by the store's time. */
  takenMs: number;
  /** By the monotonic clock, as all instants of a lease that are not said to be the store's. */
  expiresMs: number;
}

/** What the store has said of a key. */
export interface LeaseSnapshot {
  server: number;
  epoch: number;
  /** The store's time. */
  atMs: number;
  /** By slot, in the units of the rules; undefined where it is not known. */
  spent: readonly (number | undefined)[];
}

/** What one replica holds and knows of one key. */
export class Lease {
  rules: CountedRules;
  snapshot: LeaseSnapshot;
  /** At most two, in the order in which they came. */
  grants: Grant[] = [];
  denyUntilMs = 0;
  /** Until when tokens that other replicas hold may come back. */
  backUntilMs = 0;
  /** Until when nothing is asked for ahead, since there was nothing to be had. */
  noPrefetchUntilMs = 0;
  /** Until when somebody is asking the store. */
  askedUntilMs = 0;
  usedMs: number;
  /** Thousandths used since {@link #sinceMs}. */
  #used = 0;
  #sinceMs: number;
  /** Thousandths used per ms of late, in single precision. */
  #rate = 0;

  constructor(rules: CountedRules, snapshot: LeaseSnapshot, monoMs: number) {
    this.rules = rules;
    this.snapshot = snapshot;
    this.usedMs = monoMs;
    this.#sinceMs = monoMs;
  }

  /** Thousandths held that don't expire before `untilMs`. */
  held(untilMs: number): number {
    let held = 0;
    for (const { milli, expiresMs } of this.grants) if (expiresMs > untilMs) held += milli;
    return held;
  }

  /** Whether tokens are held, be they expired. */
  get holds(): boolean {
    return this.grants.some(({ milli }) => milli > 0);
  }

  /** Uses tokens that are held, the oldest first; returns whether there were enough. */
  use(costMilli: number, monoMs: number): boolean {
    this.usedMs = Math.max(this.usedMs, monoMs);
    if (costMilli > MAX_HELD || this.held(monoMs) < costMilli) return false;
    let rest = costMilli;
    for (const grant of this.grants) {
      if (grant.expiresMs <= monoMs) continue;
      const part = Math.min(rest, grant.milli);
      grant.milli -= part;
      rest -= part;
    }
    this.#used = Math.min(MAX_HELD, this.#used + costMilli);
    return true;
  }

  /** Thousandths that the key will use in `ms`, as it goes; closes the window of the rate when due. */
  demand(ms: number, monoMs: number): number {
    const elapsed = monoMs - this.#sinceMs;
    const latest = this.#used / Math.max(elapsed, RATE_WINDOW_MS);
    if (elapsed < RATE_WINDOW_MS) return Math.ceil(Math.max(this.#rate, latest) * ms);
    const isStale = this.#rate === 0 || elapsed > 10 * RATE_WINDOW_MS;
    this.#rate = Math.fround(isStale ? latest : (this.#rate + latest) / 2);
    this.#used = 0;
    this.#sinceMs = monoMs;
    return Math.ceil(this.#rate * ms);
  }

  /** Whether more is to be asked for, with `ms` to spare, and nobody does. */
  runsLow(ms: number, monoMs: number): boolean {
    if (monoMs < this.noPrefetchUntilMs || monoMs < this.askedUntilMs) return false;
    const demand = this.demand(ms, monoMs);
    return demand >= LOW_DEMAND && this.held(monoMs + ms) < demand;
  }

  /** Thousandths held that will be used before they expire, as it goes. */
  usable(monoMs: number): number {
    let usable = 0;
    for (const { milli, expiresMs } of this.grants) {
      if (expiresMs > monoMs) usable += Math.max(0, Math.min(milli, this.#rate * (expiresMs - monoMs) - usable));
    }
    return Math.floor(usable);
  }

  /** Takes another grant up; returns what is to be given back: what has expired, and what is more than two can hold. */
  add(grant: Grant, monoMs: number): Grant[] {
    const gone = this.removeExpired(monoMs);
    const [, younger] = this.grants;
    let excess = Math.max(0, grant.milli - MAX_HELD);
    if (younger === undefined) {
      this.grants.push({ ...grant, milli: grant.milli - excess });
    } else {
      excess = Math.max(0, younger.milli + grant.milli - MAX_HELD);
      younger.milli += grant.milli - excess;
      younger.takenMs = Math.min(younger.takenMs, grant.takenMs);
      younger.expiresMs = Math.min(younger.expiresMs, grant.expiresMs);
    }
    if (excess > 0) gone.push({ ...grant, milli: excess });
    return gone;
  }

  /** Takes out the tokens that may not be handed out any more. */
  removeExpired(monoMs: number): Grant[] {
    const gone = this.grants.filter(({ milli, expiresMs }) => milli > 0 && expiresMs <= monoMs);
    this.grants = this.grants.filter(({ milli, expiresMs }) => milli > 0 && expiresMs > monoMs);
    return gone;
  }

  /** Takes out all tokens. */
  removeAll(): Grant[] {
    const gone = this.grants.filter(({ milli }) => milli > 0);
    this.grants = [];
    return gone;
  }

  /** Takes in what the store has said, unless it is from before what is known; where answers race, nothing less of the same instant. */
  learn(snapshot: LeaseSnapshot, races: boolean): void {
    const { server, epoch, atMs, spent } = this.snapshot;
    const isOfSameEpoch = snapshot.server === server && snapshot.epoch === epoch;
    if (snapshot.server < 0 || (isOfSameEpoch && atMs > snapshot.atMs)) return;
    this.snapshot =
      races && isOfSameEpoch && atMs === snapshot.atMs
        ? { ...snapshot, spent: this.rules.bySlot.map((_, slot) => larger(spent[slot], snapshot.spent[slot])) }
        : snapshot;
  }

  /** Remembers a denial that stands for `waitMs`. */
  rememberDenial(waitMs: number, isProvisional: boolean, monoMs: number): void {
    this.denyUntilMs = monoMs + Math.min(waitMs, BELIEVED_MS);
    this.backUntilMs = isProvisional ? monoMs + waitMs : 0;
  }

  /** Believes no denial. */
  disbelieve(): void {
    this.denyUntilMs = 0;
  }

  /**
   * Brings what is known under other rules, as the store will have it: buckets keep their fraction, quotas what was used of
   * the same period. Of a limit that the old rules lacked nothing is known. What was held under them is to be gone.
   */
  bringUnder(rules: CountedRules, storeMs: number, monoMs: number): void {
    const { snapshot, rules: before } = this;
    // One millisecond back: by its rounding the guess of the store's time may be ahead of the next answer, which would count as
    // older than what is known.
    const nowMs = Math.max(snapshot.atMs, storeMs - 1);
    const spent: (number | undefined)[] = [];
    rules.bySlot.forEach((rule, slot) => {
      const from = before.bySlot[slot];
      const amount = snapshot.spent[slot];
      if (rule === undefined || from === undefined || amount === undefined) return;
      if (rule.type === "bucket" && from.type === "bucket") {
        spent[slot] = rule.converted(from.refilled(amount, nowMs - snapshot.atMs), from);
      } else if (rule.type === "quota" && from.type === "quota") {
        spent[slot] = rule.converted(from.rolled(amount, snapshot.atMs, nowMs), from, nowMs, nowMs);
      }
    });
    this.rules = rules;
    this.snapshot = { ...snapshot, atMs: nowMs, spent };
    this.usedMs = Math.max(this.usedMs, monoMs);
    this.denyUntilMs = 0;
    this.backUntilMs = 0;
  }

  /** What a limit has spent at `nowMs`, less what is held here. */
  standing({ slot, rule }: TierLimit, nowMs: number, heldMilli: number): number {
    const { atMs, spent } = this.snapshot;
    const amount = spent[slot];
    if (amount === undefined || rule.type === "concurrency") return rule.initial; // What runs is not known here.
    return rule.type === "quota"
      ? rule.deducted(rule.rolled(amount, atMs, nowMs), heldMilli)
      : Math.max(0, rule.refilled(amount, nowMs - atMs) - heldMilli * rule.perMilli);
  }

  /** Whether forgetting it loses nothing that is held or being asked for. */
  mayGo(monoMs: number): boolean {
    return !this.holds && this.askedUntilMs <= monoMs;
  }

  /** Whether besides nothing is believed, and what is known is what a new key begins with. */
  isAsNew(storeMs: number, monoMs: number): boolean {
    if (!this.mayGo(monoMs) || this.denyUntilMs > monoMs) return false;
    const { atMs, spent } = this.snapshot;
    const nowMs = Math.max(storeMs, atMs);
    return this.rules.bySlot.every((rule, slot) => {
      if (rule === undefined || rule.type === "concurrency") return true;
      if (rule.initial !== 0) return false;
      const amount = spent[slot] ?? 0;
      return (rule.type === "bucket" ? rule.refilled(amount, nowMs - atMs) : rule.rolled(amount, atMs, nowMs)) === 0;
    });
  }
}

/** The larger of two amounts, of which one that is not known says nothing. */
function larger(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.max(one, other);
}
