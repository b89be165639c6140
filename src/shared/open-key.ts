import type { BoundTier } from "../limiter/bound-tier.js";
import type { Decision } from "../limiter/decision.js";
import { isOfOneKey } from "../store/key-error.js";
import type { FallbackLimits } from "./fallback-limits.js";
import type { Unreconciled } from "./unreconciled.js";

/** How long, in ms, a key is left alone whose count in the store is not ours. */
const LOOK_AGAIN_MS = 5000;
/** How long, in ms, a take that had no answer in time may have been granted all the same, and not have come back. */
const LATE_MS = 1000;

/** A call that waits for a take. */
export interface PendingCall {
  readonly boundTier: BoundTier;
  readonly costMilli: number;
  readonly decided: (decision: Decision) => void;
  readonly rejected: (error: unknown) => void;
  /** The store could not be asked. */
  readonly failed: () => void;
  /** No take serves it: the store is asked for this call alone. */
  readonly alone: () => void;
  /** How many takes were made for it that brought it neither its tokens nor a denial. */
  misses: number;
}

/** A key of which something is open: calls that wait, or what the store has not heard of. Clocks are this process's. */
export class OpenKey {
  readonly key: string;
  /** The tier that takes are of; calls of another are stale. */
  boundTier: BoundTier | undefined;
  isTaking = false;
  /** Calls of the present tier that wait for a take. */
  pending: PendingCall[] = [];
  /** Calls of an earlier tier that wait for the take that is under way. */
  stalePending: PendingCall[] = [];
  fallback: FallbackLimits | undefined;
  /** Under which what that has admitted is kept for others, should this thread end. */
  fallbackDebt: number | undefined;
  unreconciled: Unreconciled[] = [];
  /** Resolved when all that is unreconciled was sent, or as much of it as can be. */
  flushing: Promise<void> | undefined;
  /** How often this thread has reset the key while it was open: what was taken before is worth nothing. */
  resets = 0;
  /** Until when tokens of a take without an answer may come back. */
  lateUntilMs = 0;
  /** Until when the store is not asked, since what it holds of the key is none of ours. */
  brokenUntilMs = 0;

  constructor(key: string) {
    this.key = key;
  }

  /** Whether the store has not heard of something. */
  get hasUnreconciled(): boolean {
    return this.unreconciled.length > 0 || this.fallback !== undefined;
  }

  /** Brings it under a tier. */
  bringTo(boundTier: BoundTier): void {
    if (this.boundTier !== boundTier) this.stalePending.push(...this.pending.splice(0));
    this.boundTier = boundTier;
  }

  /** Leaves the key alone for a while, if an error is of what the store holds of it. */
  failed(error: unknown, nowMs: number): void {
    if (isOfOneKey(error)) this.brokenUntilMs = nowMs + LOOK_AGAIN_MS;
    else this.lateUntilMs = nowMs + LATE_MS;
  }

  /** Whether nothing is open any more. */
  isOver(nowMs: number): boolean {
    const isIdle = !this.isTaking && this.pending.length === 0 && this.stalePending.length === 0;
    const isTold = !this.hasUnreconciled && this.flushing === undefined;
    return isIdle && isTold && this.brokenUntilMs <= nowMs && this.lateUntilMs <= nowMs;
  }
}

/** The keys of which something is open. */
export class OpenKeys {
  readonly #maxKeys: number;
  readonly #open = new Map<string, OpenKey>();

  constructor(maxKeys: number) {
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#open.size;
  }

  get(key: string): OpenKey | undefined {
    return this.#open.get(key);
  }

  obtain(key: string): OpenKey {
    const present = this.#open.get(key);
    if (present !== undefined) return present;
    const open = new OpenKey(key);
    this.#open.set(key, open);
    return open;
  }

  /** Whether a key is open, or may become it to wait for a store that is away: each of these takes room. */
  hasRoomFor(key: string): boolean {
    return this.#open.size < this.#maxKeys || this.#open.has(key);
  }

  /** Forgets those of which nothing is open any more. */
  sweep(nowMs: number): void {
    for (const open of this.#open.values()) if (open.isOver(nowMs)) this.#open.delete(open.key);
  }
}
