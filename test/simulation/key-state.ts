import { MAX_AMOUNT } from "../../src/engine/amount.js";
import type { Bucket } from "../../src/engine/bucket.js";
import { Concurrency, MAX_TIMEOUT_MS } from "../../src/engine/concurrency.js";
import type { Quota } from "../../src/engine/quota.js";
import { type Rule as AnyRule, kindOf, type Tier, type TierLimit } from "../../src/engine/tier.js";
import { LONGEST_OUT_MS } from "../../src/store/lua/key-state.js";
import { SKEW_MS } from "../../src/store/lua/places.js";
import type { Command, Present, Reply } from "../../src/store/protocol.js";

type Rule = Bucket | Quota;
/** A limit of which something is spent. */
type Counted = Omit<TierLimit, "rule"> & { readonly rule: Rule };

/** What is counted of one limit. */
export interface Slot {
  rule: Rule;
  spent: number;
  /** Of a bucket that is blocked: what is spent when it is no more. */
  initial: number;
  /** Of a quota: the largest amount that was restored in the epoch. */
  restored: number;
  /** What was spent before it was brought to the present; undefined if it is new. */
  was: number | undefined;
  /** What was granted of a quota, and how much of that is kept: now, and before it was brought to the present. */
  granted: number;
  kept: number;
  grantedBefore: number;
  keptBefore: number;
  /** When the last of it was granted. */
  grantedMs: number;
}

/** A place that a call has taken of a limit of concurrency. */
interface Place {
  /** The lane that holds it, and its number there. */
  readonly owner: string;
  readonly number: number;
  /** When it was taken, or told of. */
  readonly sinceMs: number;
  readonly endMs: number;
}

/** The last correction of a replica. */
interface Correction {
  readonly sequence: number;
  readonly atMs: number;
}

/** One key, by the same steps and names as `src/store/lua/key-state.ts`. */
export class KeyState {
  /** The instant up to which it is refilled, and the one before that. */
  nowMs = -1;
  beforeMs = -1;
  /** What the clock said that asked. */
  askedMs = -1;
  epoch = "";
  ended: string | undefined;
  /** Until when tokens granted ahead may come back, and to whom they were granted; `*` if to several. */
  out = { untilMs: 0, holder: "" };
  slots = new Map<string, Slot>();
  corrections = new Map<string, Correction>();
  /** By the limit's name, those that are not over. */
  places = new Map<string, Place[]>();

  /** A copy, of which nothing is shared. */
  load(): KeyState {
    const slots = new Map([...this.slots].map(([name, slot]) => [name, { ...slot }]));
    const [corrections, places] = [new Map(this.corrections), new Map(this.places)];
    return Object.assign(new KeyState(), this, { slots, corrections, places });
  }

  /** The epoch at an instant on a server. */
  epochAt(server: string, nowMs: number): string {
    return this.epoch.startsWith(`${server}:`) ? this.epoch : `${server}:${nowMs}`;
  }

  /** Brings it to an instant, under the rules that it is under. */
  advance(server: string, askedMs: number): void {
    this.askedMs = askedMs;
    this.beforeMs = this.nowMs;
    this.nowMs = Math.max(askedMs, this.beforeMs);
    const epoch = this.epochAt(server, this.nowMs);
    const begins = epoch !== this.epoch;
    this.epoch = epoch;
    for (const [name, places] of this.places) {
      this.places.set(
        name,
        places.filter(({ endMs }) => endMs > this.nowMs && endMs - this.nowMs <= MAX_TIMEOUT_MS),
      );
    }
    for (const slot of this.slots.values()) {
      slot.was = slot.spent;
      if (slot.rule.type === "bucket") {
        slot.spent = refilled(slot, this.nowMs - this.beforeMs);
      } else {
        const rolls = this.beforeMs < slot.rule.periodOf(this.nowMs).startMs;
        slot.grantedBefore = slot.granted;
        slot.keptBefore = slot.kept;
        const used = slot.was + slot.granted;
        slot.restored = rolls ? 0 : begins ? used : slot.restored;
        if (rolls) carry(slot, slot.rule);
      }
    }
  }

  /** Has the names of a tier's limits stand for what they do there; throws while something is spent of another kind. */
  agree({ limits }: Tier): void {
    for (const { name, rule } of limits) {
      const slot = this.slots.get(name);
      if (rule.type !== "concurrency" && (this.places.get(name) ?? []).length > 0) {
        throw new Error(`KIND ${name},${kindOf(rule)},concurrency`);
      }
      if (slot === undefined || kindOf(slot.rule) === kindOf(rule)) continue;
      if (slot.spent !== 0 || slot.granted > 0) throw new Error(`KIND ${name},${kindOf(rule)},${kindOf(slot.rule)}`);
      if (rule.type !== "concurrency") this.slots.set(name, newSlot(rule));
    }
  }

  /** Brings it under the rules of a tier; returns whether one has changed. */
  bringTo({ limits }: Tier): boolean {
    let changed = false;
    for (const { name, rule } of limits.filter(({ rule }) => rule.type !== "concurrency") as Counted[]) {
      const slot = this.slots.get(name);
      if (slot === undefined) {
        this.slots.set(name, newSlot(rule));
        continue;
      }
      const { rule: from } = slot;
      if (rule.type === "bucket" && from.type === "bucket") {
        slot.spent = rule.converted(slot.spent, from);
        slot.initial = rule.initial;
      }
      if (isSame(from, rule)) {
        slot.rule = rule;
        continue;
      }
      changed = true;
      if (rule.type === "quota" && from.type === "quota" && !isSamePeriod(from, rule)) {
        const goesOn =
          slot.was !== undefined && from.periodOf(this.beforeMs).startMs === rule.periodOf(this.nowMs).startMs;
        slot.spent = slot.was ?? 0;
        slot.granted = slot.grantedBefore;
        slot.kept = slot.keptBefore;
        if (!goesOn) carry(slot, from);
        slot.restored = goesOn ? slot.restored : 0;
      }
      slot.rule = rule;
    }
    return changed;
  }

  /** Whether the caller knows of an epoch that is over. */
  mayRestore({ snapshot }: Command): boolean {
    const epoch = snapshot?.epoch ?? "";
    return epoch !== "" && epoch !== this.epoch && epoch !== this.ended;
  }

  /** Restores what the caller knows. */
  restore(command: Command): void {
    const { tier, snapshot } = command;
    if (snapshot === undefined || !this.mayRestore(command)) return;
    tier.limits.forEach(({ name, rule }, index) => {
      const slot = this.slots.get(name);
      const amount = snapshot.spent[index];
      if (slot === undefined || amount === undefined) return;
      if (rule.type === "bucket" && slot.rule.type === "bucket") {
        restoreBucket(slot, slot.rule, rule, rule.refilled(amount, Math.max(0, this.nowMs - snapshot.atMs)));
      } else if (
        rule.type === "quota" &&
        slot.rule.type === "quota" &&
        slot.rule.goesOn(rule, Math.min(snapshot.atMs, this.nowMs), this.nowMs)
      ) {
        const used = Math.min(MAX_AMOUNT, amount + (snapshot.atMs >= slot.grantedMs ? slot.granted : 0));
        if (used <= slot.restored) return;
        slot.spent = Math.min(MAX_AMOUNT, slot.spent + used - slot.restored);
        slot.restored = used;
      }
    });
  }

  /** How a limit of concurrency stands. */
  standing(name: string): number {
    const ends = (this.places.get(name) ?? []).map(({ endMs }) => endMs);
    return ends.length === 0 ? 0 : Concurrency.amount(ends.length, Math.min(...ends) - this.nowMs);
  }

  /** Frees the places of replicas that are gone, as far as the caller knows. */
  dropAbsent(told: Present | undefined): void {
    if (told === undefined) return;
    for (const [name, places] of this.places) {
      const isThere = ({ owner }: Place) => told.replicas.includes(owner.replace(/\..*$/, ""));
      this.places.set(
        name,
        places.filter((place) => isThere(place) || place.sinceMs > told.atMs - SKEW_MS),
      );
    }
  }

  /** Takes the place of a number for each of a tier's limits of concurrency, as of an instant. */
  hold({ limits }: Tier, owner: string, number: number, atMs: number): void {
    for (const { name, rule } of limits) {
      if (rule.type !== "concurrency") continue;
      const places = this.places.get(name) ?? [];
      const isHeld = places.some((place) => place.owner === owner && place.number === number);
      const endMs = atMs + rule.timeoutMs;
      const place = { owner, number, sinceMs: this.askedMs, endMs };
      this.places.set(name, isHeld || endMs <= this.nowMs ? places : [...places, place]);
    }
  }

  /** Gives it back; returns of how many limits there was one. */
  release({ limits }: Tier, owner: string, number: number): number {
    let freed = 0;
    for (const { name, rule } of limits) {
      const places = this.places.get(name) ?? [];
      const kept = places.filter((place) => place.owner !== owner || place.number !== number);
      if (rule.type !== "concurrency" || kept.length === places.length) continue;
      this.places.set(name, kept);
      freed++;
    }
    return freed;
  }

  /** For how long, in ms, tokens that others than the caller hold may still come back. */
  outstandingMs(caller: string): number {
    const leftMs = this.out.untilMs - this.askedMs;
    return this.out.holder === caller || leftMs > LONGEST_OUT_MS ? 0 : Math.max(0, leftMs);
  }

  answer({ limits }: Tier, denied: number, granted: number, backMs: number): Reply {
    const { nowMs, epoch } = this;
    const spent = limits.map(({ name, rule }) => {
      return rule.type === "concurrency" ? this.standing(name) : shown(this.slots.get(name), rule, nowMs);
    });
    const isExact = limits.some(({ name }) => {
      const slot = this.slots.get(name);
      return slot?.rule.type === "quota" && keptOf(slot, slot.rule) > 0;
    });
    return { denied, granted, nowMs, lagMs: nowMs - this.askedMs, epoch, backMs, isExact, spent };
  }
}

/** What a limit counts that nothing is known of. */
export function newSlot(rule: Rule): Slot {
  const none = { granted: 0, kept: 0, grantedBefore: 0, keptBefore: 0, grantedMs: 0 };
  return { rule, spent: rule.initial, initial: rule.initial, restored: 0, was: undefined, ...none };
}

/** Restores what a caller's bucket knows to be spent, or how long it is blocked. */
function restoreBucket(slot: Slot, here: Bucket, from: Bucket, left: number): void {
  // Of what never had anything nothing is known.
  if (from.maxCostMilli === 0) return;
  const leftMs = here.capacity > 0 ? from.blockLeftMs(left) : 0;
  const spent = leftMs > 0 ? here.blockedFor(leftMs) : here.converted(left, from);
  if (spent <= slot.spent) return;
  slot.spent = spent;
  if (leftMs > 0) slot.initial = here.converted(from.initial, from);
}

/** What of a quota's grants is kept and not used. */
export function keptOf({ kept, spent }: Slot, rule: Quota): number {
  return Math.min(kept, Math.max(0, rule.maxCostMilli - spent));
}

/** Begins a period after one that ended as it stands. */
function carry(slot: Slot, rule: Quota): void {
  slot.kept = keptOf(slot, rule);
  slot.granted = slot.kept;
  slot.spent = 0 - slot.kept;
}

/** What is still spent of a bucket's slot after some ms; of one that is blocked, under whichever tier. */
export function refilled({ rule, spent, initial }: Slot, elapsedMs: number): number {
  if (rule.type === "quota") return spent;
  if (spent <= MAX_AMOUNT) return rule.refilled(spent, elapsedMs);
  const leftMs = rule.blockLeftMs(spent) - elapsedMs;
  return leftMs > 0 ? rule.blockedFor(leftMs) : Math.max(0, initial + leftMs * rule.perMs);
}

/** What a slot has spent, in the units of a rule. */
function shown(slot: Slot | undefined, rule: Rule, nowMs: number): number {
  if (slot === undefined) return rule.initial;
  if (rule.type === "bucket") return slot.rule.type === "bucket" ? rule.converted(slot.spent, slot.rule) : slot.spent;
  if (slot.rule.type === "bucket" || rule.goesOn(slot.rule, nowMs, nowMs)) return slot.spent;
  return 0 - keptOf(slot, slot.rule);
}

function isSame(a: Rule, b: AnyRule): boolean {
  if (a.type === "bucket") {
    return b.type === "bucket" && a.capacity === b.capacity && a.perMs === b.perMs && a.perMilli === b.perMilli;
  }
  return b.type === "quota" && a.maxCostMilli === b.maxCostMilli && isSamePeriod(a, b);
}

function isSamePeriod(a: Quota, b: Quota): boolean {
  return a.period === b.period && a.anchor === b.anchor;
}
