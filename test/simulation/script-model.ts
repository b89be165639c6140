import { MAX_AMOUNT } from "../../src/engine/amount.js";
import type { Bucket } from "../../src/engine/bucket.js";
import type { Quota } from "../../src/engine/quota.js";
import { kindOf } from "../../src/engine/tier.js";
import { LONGEST_OUT_MS, REMEMBERED_MS } from "../../src/store/lua/keys.js";
import type { Command, Reply } from "../../src/store/protocol.js";

interface Slot {
  rule: Bucket | Quota;
  spent: number;
  /** Of a quota: the largest amount that the epoch was told of. */
  healed: number;
  /** What was spent before it was brought to the present; undefined if it is new. */
  was: number | undefined;
}

/** The last correction of a replica. */
interface Correction {
  readonly sequence: number;
  readonly atMs: number;
}

interface Hash {
  atMs: number;
  epoch: string;
  ended: string | undefined;
  /** Until when tokens granted ahead may come back, and to whom they were granted; `*` if to several. */
  out: { readonly untilMs: number; readonly holder: string };
  readonly slots: Map<string, Slot>;
  readonly corrections: Map<string, Correction>;
}

/** Who asks, and when. */
export interface Caller {
  readonly server: string;
  readonly caller: string;
  readonly nowMs: number;
  /** Told what the script publishes. */
  readonly publish: (key: string, reset: boolean) => void;
  /** Told of the keys of which the others are to give back what lies idle. */
  readonly want?: (key: string) => void;
}

/** The keys of a server as the script of `src/store/lua/keys.ts` keeps them; a test holds the two together. */
export class ScriptModel {
  readonly #hashes = new Map<string, Hash>();
  readonly #rememberedMs: number;

  /** `rememberedMs` is how long a correction is known by its number. */
  constructor(rememberedMs = REMEMBERED_MS) {
    this.#rememberedMs = rememberedMs;
  }

  /** How many replicas' corrections of a key are known by their numbers. */
  sequences(key: string): number {
    return this.#hashes.get(key)?.corrections.size ?? 0;
  }

  /** What a key's limit has spent at `nowMs`, in its units, if the server holds it; of a quota, in the last period used. */
  spent(key: string, limit: string, nowMs: number): number | undefined {
    const hash = this.#hashes.get(key);
    const slot = hash?.slots.get(limit);
    if (hash === undefined || slot === undefined) return undefined;
    return slot.rule.type === "quota" ? slot.spent : slot.rule.refilled(slot.spent, Math.max(0, nowMs - hash.atMs));
  }

  /** What the server holds of a key, to put it back with {@link restore}. */
  snapshot(key: string): () => void {
    const hash = this.#hashes.get(key);
    const copy = hash && copyOf(hash);
    return () => {
      if (copy === undefined) this.#hashes.delete(key);
      else this.#hashes.set(key, copyOf(copy));
    };
  }

  /** Throws what the script answers where a name stands for another kind of limit. */
  // biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one step of the protocol, in the order of the script
  run(command: Command, asking: Caller): Reply {
    const { key, tier, op } = command;
    const stored = this.#hashes.get(key);
    const before = stored?.atMs ?? -1;
    const nowMs = op === "reset" ? asking.nowMs : Math.max(asking.nowMs, before);
    const lagMs = nowMs - asking.nowMs;
    const stays = stored?.epoch.startsWith(`${asking.server}:`) === true;
    const epoch = stays ? stored.epoch : `${asking.server}:${nowMs}`;
    if (op === "leave") {
      stored?.corrections.delete(asking.caller);
      return { denied: 0, granted: 0, nowMs, lagMs, epoch: "", backMs: 0, spent: [] };
    }
    if (op === "reset") {
      this.#hashes.delete(key);
      const renewed = stored?.epoch === epoch ? `${epoch}+` : epoch;
      if (stored !== undefined) {
        this.#hashes.set(key, { ...emptyHash(), epoch: renewed, ended: stored.epoch });
      }
      asking.publish(key, true);
      const now = stored === undefined ? epoch : renewed;
      return { denied: 0, granted: 0, nowMs, lagMs: 0, epoch: now, backMs: 0, spent: [] };
    }

    const hash: Hash = stored ? copyOf(stored) : emptyHash();
    hash.epoch = epoch;
    hash.atMs = nowMs;
    for (const slot of hash.slots.values()) {
      slot.was = slot.spent;
      if (slot.rule.type === "bucket") {
        slot.spent = slot.rule.refilled(slot.was, nowMs - before);
      } else {
        const rolls = before < slot.rule.periodOf(nowMs).startMs;
        slot.spent = rolls ? 0 : slot.was;
        slot.healed = rolls ? 0 : stays ? slot.healed : slot.was;
      }
    }
    for (const { name, rule } of tier.limits) {
      const slot = hash.slots.get(name);
      if (slot === undefined || kindOf(slot.rule) === kindOf(rule)) continue;
      if (slot.spent > 0) throw new Error(`KIND ${name},${kindOf(rule)},${kindOf(slot.rule)}`);
      hash.slots.set(name, { rule, spent: rule.initial, healed: 0, was: undefined });
    }
    const enter = () => this.#enter(hash, command, before);
    const answer = (denied: number, granted: number, backMs = 0): Reply => ({
      denied,
      granted,
      nowMs,
      lagMs,
      epoch,
      backMs,
      spent: tier.limits.map(({ name, rule }) => shown(hash.slots.get(name), rule, nowMs)),
    });

    if (op === "adjust") {
      const { sequence, deltas, atMs, quotasOnly, tell, snapshot, isRetry, unused, duringOutage } = command;
      const lapsed = isRetry && snapshot?.epoch !== epoch;
      if (sequence !== undefined && sequence <= (hash.corrections.get(asking.caller)?.sequence ?? 0))
        return answer(0, 0);
      if (hash.slots.size === 0) {
        if (!deltas.some((delta) => delta > 0) && snapshot === undefined) {
          return { denied: 0, granted: 0, nowMs, lagMs, epoch: "", backMs: 0, spent: [] };
        }
        enter();
      }
      const heals = mayHeal(hash, command);
      tier.limits.forEach(({ name, rule }, index) => {
        const isTold = (heals && snapshot?.spent[index] !== undefined) || (duringOutage && (deltas[index] ?? 0) > 0);
        if (isTold && !hash.slots.has(name)) {
          hash.slots.set(name, { rule, spent: rule.initial, healed: 0, was: undefined });
        }
      });
      heal(hash, command);
      tier.limits.forEach(({ name, rule: charged }, index) => {
        const slot = hash.slots.get(name);
        if (slot === undefined) return;
        const applies =
          slot.rule.type === "quota" && charged.type === "quota"
            ? slot.rule.periodOf(nowMs).startMs === charged.periodOf(atMs).startMs
            : !quotasOnly;
        const delta = deltas[index] ?? 0;
        if (!applies || (lapsed && delta < 0)) return;
        const change = changeOf(delta, charged, slot.rule, unused ? Math.max(0, nowMs - atMs) : 0);
        slot.spent = Math.min(MAX_AMOUNT, Math.max(0, slot.spent + change));
      });
      if (sequence !== undefined) hash.corrections.set(asking.caller, { sequence, atMs: asking.nowMs });
      this.#save(key, hash, asking);
      if (tell) asking.publish(key, false);
      return answer(0, 0);
    }

    const changed = enter();
    heal(hash, command);
    let denied = 0;
    let longest = 0;
    let left = Number.POSITIVE_INFINITY;
    tier.limits.forEach(({ name, rule }, index) => {
      const spent = hash.slots.get(name)?.spent ?? 0;
      const wait = command.need > 0 ? rule.waitMs(spent, command.need, nowMs) : 0;
      if (wait > longest) {
        longest = wait;
        denied = index + 1;
      }
      const has =
        rule.type === "bucket" ? Math.floor((rule.capacity - spent) / rule.perMilli) : rule.maxCostMilli - spent;
      left = Math.min(left, has);
    });
    const leftMs = hash.out.untilMs - asking.nowMs;
    const outMs = hash.out.holder === asking.caller || leftMs > LONGEST_OUT_MS ? 0 : Math.max(0, leftMs);
    const backMs = denied > 0 && outMs < longest + lagMs ? outMs : 0;
    if (op === "peek") return answer(denied, 0, backMs);
    let granted = 0;
    if (denied === 0) {
      const wanted = Math.min(command.want, Math.floor(left / command.divisor)) - command.need;
      const ahead = Math.max(0, wanted - (wanted % 1000));
      granted = command.need + ahead;
      if (ahead > 0) {
        const untilMs = asking.nowMs + command.outMs;
        hash.out =
          outMs > 0
            ? { untilMs: Math.max(untilMs, hash.out.untilMs), holder: "*" }
            : { untilMs, holder: asking.caller };
      }
      for (const { name, rule } of tier.limits) {
        const slot = hash.slots.get(name);
        if (slot)
          slot.spent = Math.min(MAX_AMOUNT, slot.spent + granted * (rule.type === "bucket" ? rule.perMilli : 1));
      }
    }
    this.#save(key, hash, asking);
    if (changed) asking.publish(key, false);
    if (backMs > 0) asking.want?.(key);
    return answer(denied, granted, backMs);
  }

  #save(key: string, hash: Hash, { caller, nowMs }: Caller): void {
    for (const [replica, { atMs }] of hash.corrections) {
      if (replica !== caller && Math.abs(nowMs - atMs) > this.#rememberedMs) hash.corrections.delete(replica);
    }
    this.#hashes.set(key, hash);
  }

  #enter(hash: Hash, { tier }: Command, before: number): boolean {
    let changed = false;
    for (const { name, rule } of tier.limits) {
      const slot = hash.slots.get(name);
      if (slot === undefined) {
        hash.slots.set(name, { rule, spent: rule.initial, healed: 0, was: undefined });
        continue;
      }
      const { rule: from } = slot;
      if (isSame(from, rule)) continue;
      changed = true;
      if (rule.type === "bucket" && from.type === "bucket") {
        slot.spent = rule.converted(slot.spent, from);
      } else if (rule.type === "quota" && from.type === "quota" && !isSamePeriod(from, rule)) {
        const kept = slot.was !== undefined && from.periodOf(before).startMs === rule.periodOf(hash.atMs).startMs;
        slot.spent = kept ? (slot.was ?? 0) : 0;
        slot.healed = kept ? slot.healed : 0;
      }
      slot.rule = rule;
    }
    return changed;
  }
}

/** What a slot has spent, in the units of a rule. */
function shown(slot: Slot | undefined, rule: Bucket | Quota, nowMs: number): number {
  if (slot === undefined) return rule.initial;
  if (rule.type === "bucket") return slot.rule.type === "bucket" ? rule.converted(slot.spent, slot.rule) : slot.spent;
  return slot.rule.type === "quota" ? rule.converted(slot.spent, slot.rule, nowMs, nowMs) : slot.spent;
}

/** What a correction under one rule changes under another; of what is given back a bucket has refilled a part itself. */
function changeOf(delta: number, from: Bucket | Quota, to: Bucket | Quota, refillMs: number): number {
  if (to.type !== "bucket" || from.type !== "bucket") return delta;
  const change = to.unitsOf(delta, from);
  return delta < 0 ? Math.min(0, change + refillMs * to.perMs) : change;
}

function mayHeal(hash: Hash, { snapshot }: Command): boolean {
  return (
    snapshot !== undefined && snapshot.epoch !== "" && snapshot.epoch !== hash.epoch && snapshot.epoch !== hash.ended
  );
}

function heal(hash: Hash, command: Command): void {
  const { tier, snapshot } = command;
  if (snapshot === undefined || !mayHeal(hash, command)) return;
  tier.limits.forEach(({ name, rule }, index) => {
    const slot = hash.slots.get(name);
    const amount = snapshot.spent[index];
    if (slot === undefined || amount === undefined) return;
    if (rule.type === "bucket" && slot.rule.type === "bucket") {
      const left = rule.refilled(amount, Math.max(0, hash.atMs - snapshot.atMs));
      slot.spent = Math.max(slot.spent, slot.rule.converted(left, rule));
    } else if (
      rule.type === "quota" &&
      slot.rule.type === "quota" &&
      slot.rule.converted(amount, rule, Math.min(snapshot.atMs, hash.atMs), hash.atMs) > slot.healed
    ) {
      slot.spent = Math.min(MAX_AMOUNT, slot.spent + amount - slot.healed);
      slot.healed = amount;
    }
  });
}

function isSame(a: Bucket | Quota, b: Bucket | Quota): boolean {
  if (a.type === "bucket") {
    return b.type === "bucket" && a.capacity === b.capacity && a.perMs === b.perMs && a.perMilli === b.perMilli;
  }
  return b.type === "quota" && a.maxCostMilli === b.maxCostMilli && isSamePeriod(a, b);
}

function isSamePeriod(a: Quota, b: Quota): boolean {
  return a.period === b.period && a.anchorDay === b.anchorDay;
}

function emptyHash(): Hash {
  const out = { untilMs: 0, holder: "" };
  return { atMs: -1, epoch: "", ended: undefined, out, slots: new Map(), corrections: new Map() };
}

function copyOf({ slots, corrections, ...rest }: Hash): Hash {
  return {
    ...rest,
    slots: new Map([...slots].map(([name, slot]) => [name, { ...slot }])),
    corrections: new Map(corrections),
  };
}
