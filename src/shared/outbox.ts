import type { Tier } from "../engine/tier.js";
import { isRefusal } from "../store/key-error.js";
import { REMEMBERED_MS } from "../store/lua/key-state.js";
import type { OpenKey } from "./open-key.js";
import type { Parts } from "./parts.js";
import { merge, ofText, textOf, type Unreconciled, unreconciled } from "./unreconciled.js";

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
  readonly #parts: Parts;
  /** Keys with something that the store has not heard of, or that decided without it. */
  readonly #behind = new Set<OpenKey>();
  /** Those of them that are flushed in a while. */
  readonly #retried = new Set<OpenKey>();
  /** Corrections that the store still knows by their sequences, by lane and key, and when that was: the latest last. */
  readonly #sequenced = new Map<string, { key: string; tier: Tier; lane: number; atMs: number }>();
  /** Whether others find what this thread owes, should it end. */
  #isMirrored: boolean;
  #sequence = 0;
  #kept = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#isMirrored = parts.options.isMortal ?? false;
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

  /** Remembers that a key decides without the store, and what it has admitted so. */
  add(open: OpenKey): void {
    this.#behind.add(open);
    if (this.#isMirrored && open.fallback !== undefined) {
      open.fallbackDebt ??= ++this.#kept;
      const charges = open.fallback.outstanding(this.#parts.clocks.storeMs());
      if (charges !== undefined) {
        const { tier } = open.fallback;
        const entry = unreconciled({ tier, boundTier: open.boundTier, ...charges, duringOutage: true });
        this.#keep(open.key, Object.assign(entry, { debt: open.fallbackDebt }));
      }
    }
    if (this.#isBroken(open)) this.#retry(open);
  }

  /**
   * Leaves what the store could not be told to the other threads of the table, or to whoever opens it next; whether there
   * is any, and they may.
   */
  bequeath(): boolean {
    if (!this.#parts.options.outlives) return false;
    this.#isMirrored = true;
    for (const open of this.#behind) {
      this.queueFallback(open);
      for (const entry of open.unreconciled) this.#keep(open.key, entry);
    }
    return [...this.#behind].some(({ hasUnreconciled }) => hasUnreconciled);
  }

  /** Has the store charged or given back something, now or when it is back. */
  queue(key: string, entry: Unreconciled): void {
    const { session, openKeys } = this.#parts;
    if (!session.isReady && !openKeys.hasRoomFor(key)) return;
    const open = openKeys.obtain(key);
    const last = open.unreconciled.at(-1);
    if (last !== undefined && merge(last, entry)) {
      this.#keep(key, last);
    } else {
      open.unreconciled.push(entry);
      this.#keep(key, entry);
    }
    this.#behind.add(open);
    if (session.isReady) void this.flush(open);
  }

  /** Takes over what threads that have ended have left. */
  inherit(): void {
    const { engine, openKeys, session, clocks, boundTiers } = this.#parts;
    for (const text of engine.inherit()) {
      const { key, entry } = ofText(text, clocks.nowMs(), (name) => boundTiers.ready(name));
      const open = openKeys.obtain(key);
      open.unreconciled.push(entry);
      this.#keep(key, entry);
      this.#behind.add(open);
      if (session.isReady) void this.flush(open);
    }
  }

  /** Has the store hear of all that waits of a key, or of as much as it will hear of; never rejects. */
  flush(open: OpenKey): Promise<void> {
    this.queueFallback(open);
    open.flushing ??= this.#send(open).then(() => {
      open.flushing = undefined;
      // One may have come after the last was sent and before this runs; one that failed is tried again later.
      const [next] = open.unreconciled;
      const isNew = next !== undefined && next.sent === undefined;
      return isNew && this.#maySend(open) ? this.flush(open) : undefined;
    });
    return open.flushing;
  }

  /** Flushes, and tells whether nothing is left. */
  async isFlushed(open: OpenKey): Promise<boolean> {
    await this.flush(open);
    return !open.hasUnreconciled;
  }

  /** Flushes all, as long as the store is there. */
  async flushAll(): Promise<void> {
    const behind = [...this.#behind];
    for (let at = 0; at < behind.length && this.#parts.session.isReady; at += BATCH) {
      await Promise.all(behind.slice(at, at + BATCH).map((open) => this.flush(open)));
    }
  }

  /** Has the store forget the sequences of this thread, as long as it is there; not of keys of which others will send one again. */
  async leave(): Promise<void> {
    const { session, openKeys } = this.#parts;
    const sequenced = [...this.#sequenced.values()].filter(({ key }) => !openKeys.get(key)?.hasUnreconciled);
    for (let at = 0; at < sequenced.length && session.isReady; at += BATCH) {
      const left = sequenced.slice(at, at + BATCH).map(({ key, tier, lane }) => {
        return session.run({ op: "leave", ...this.#parts.about(key, tier), lane });
      });
      await Promise.allSettled(left);
    }
  }

  /** Queues what was admitted without the store. */
  queueFallback(open: OpenKey): void {
    const { fallback, fallbackDebt } = open;
    open.fallback = undefined;
    open.fallbackDebt = undefined;
    const charges = fallback?.charges(this.#parts.clocks.storeMs());
    if (fallback !== undefined && charges !== undefined) {
      const entry = unreconciled({ tier: fallback.tier, boundTier: open.boundTier, ...charges, duringOutage: true });
      // One for all of it, or all who come later would wait for one per call. Before what is given back of it:
      // below nothing the store would not count that.
      const last = open.unreconciled.at(-1);
      const isMerged = last !== undefined && merge(last, entry);
      if (!isMerged) open.unreconciled.splice(open.unreconciled[0]?.sent === undefined ? 0 : 1, 0, entry);
      this.#keep(open.key, isMerged ? last : entry);
      this.#behind.add(open);
    }
    this.#drop(fallbackDebt);
  }

  /** One at a time, each under its sequence until it is acknowledged, so that each counts once. */
  async #send(open: OpenKey): Promise<void> {
    const { engine, session, decider, replies, clocks } = this.#parts;
    while (this.#maySend(open)) {
      const [entry] = open.unreconciled;
      if (entry === undefined) break;
      const isRetry = entry.sent !== undefined;
      const nowMs = clocks.nowMs();
      entry.sent ??= {
        lane: engine.lane,
        sequence: ++this.#sequence,
        snapshot: entry.boundTier && decider.look(entry.boundTier, open.key)?.snapshot,
        atMs: nowMs,
      };
      const { tier, boundTier, sent, quotasOnly, tell, unused, duringOutage, atMs } = entry;
      // Whether it has counted nobody can tell any more: rather charged twice than given back twice.
      if (nowMs - sent.atMs > RESENT_MS) entry.deltas = entry.deltas.map((delta) => Math.max(0, delta));
      this.#keep(open.key, entry);
      try {
        const reply = await session.run({
          op: "adjust",
          ...this.#parts.about(open.key, tier, sent.snapshot),
          ...{ deltas: entry.deltas, atMs, quotasOnly, tell, unused, duringOutage },
          ...{ lane: sent.lane, sequence: sent.sequence, isRetry },
        });
        const isNews = sent.snapshot === undefined && entry.deltas.some((delta) => delta > 0);
        replies.add({ key: open.key, boundTier, reply, teaches: true, isOwn: duringOutage || isNews });
        open.unreconciled.shift();
        this.#drop(entry.debt);
        this.#remember(open.key, tier, sent.lane);
      } catch (error) {
        // It has not counted, and comes as if for the first time.
        if (isRefusal(error)) entry.sent = undefined;
        this.#keep(open.key, entry);
        open.failed(error, clocks.nowMs());
        return this.#retry(open);
      }
    }
    if (!open.hasUnreconciled) this.#behind.delete(open);
    else if (this.#isBroken(open)) this.#retry(open);
  }

  #remember(key: string, tier: Tier, lane: number): void {
    const atMs = this.#parts.clocks.nowMs();
    const name = `${lane} ${key}`;
    this.#sequenced.delete(name);
    this.#sequenced.set(name, { key, tier, lane, atMs });
    for (const [oldest, { atMs: beforeMs }] of this.#sequenced) {
      if (atMs - beforeMs <= REMEMBERED_MS && this.#sequenced.size <= SEQUENCED) break;
      this.#sequenced.delete(oldest);
    }
  }

  /** Has others find it as it is now, should this thread end. */
  #keep(key: string, entry: Unreconciled): void {
    if (!this.#isMirrored) return;
    entry.debt ??= ++this.#kept;
    this.#parts.engine.keepDebt(entry.debt, textOf(key, entry, this.#parts.clocks.nowMs()));
  }

  #drop(debt: number | undefined): void {
    if (debt !== undefined) this.#parts.engine.keepDebt(debt, undefined);
  }

  #maySend(open: OpenKey): boolean {
    return this.#parts.session.isReady && !this.#isBroken(open);
  }

  #isBroken(open: OpenKey): boolean {
    return this.#parts.clocks.nowMs() < open.brokenUntilMs;
  }

  /** Flushes in a while: once, however many calls have found meanwhile that it can't be done. */
  #retry(open: OpenKey): void {
    if (this.#retried.has(open)) return;
    this.#retried.add(open);
    const { runtime, clocks } = this.#parts;
    runtime.after(Math.max(this.#parts.options.leaseMs / 4, open.brokenUntilMs - clocks.nowMs()), () => {
      this.#retried.delete(open);
      void this.flush(open);
    });
  }
}
