import { MAX_AMOUNT } from "../../src/engine/amount.js";
import type { Bucket } from "../../src/engine/bucket.js";
import { type CostMilli, costAt, mostOf } from "../../src/engine/cost.js";
import type { Quota } from "../../src/engine/quota.js";
import type { Tier } from "../../src/engine/tier.js";
import { REMEMBERED_MS } from "../../src/store/lua/key-state.js";
import type { Command, Reply } from "../../src/store/protocol.js";
import { KeyState, keptOf, newSlot, refilled, type Slot } from "./key-state.js";

type Adjust = Command & { op: "adjust" };
type Grant = Command & { op: "grant" };
type Peek = Command & { op: "peek" };
type Take = Command & { op: "take" };
type Release = Command & { op: "release" };
type Hold = Command & { op: "hold" };

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

/** The keys of a server as the script of `src/store/lua/keys.ts` keeps them, by the same names; a test holds the two together. */
export class ScriptModel {
  readonly #keys = new Map<string, KeyState>();
  readonly #rememberedMs: number;

  /** `rememberedMs` is how long a correction is known by its sequence. */
  constructor(rememberedMs = REMEMBERED_MS) {
    this.#rememberedMs = rememberedMs;
  }

  /** How many lanes' corrections of a key are known by their sequences. */
  sequences(key: string): number {
    return this.#keys.get(key)?.corrections.size ?? 0;
  }

  /** What a key's limit has spent at `nowMs`, in its units, if the server holds it; of a quota, in the last period used. */
  spent(key: string, limit: string, nowMs: number): number | undefined {
    const state = this.#keys.get(key);
    const slot = state?.slots.get(limit);
    if (state === undefined || slot === undefined) return undefined;
    return refilled(slot, Math.max(0, nowMs - state.nowMs));
  }

  /** What was granted of a key's quota, as far as the server knows. */
  granted(key: string, limit: string): number {
    return this.#keys.get(key)?.slots.get(limit)?.granted ?? 0;
  }

  /** What the server holds of a key; calling the result puts it back. */
  snapshot(key: string): () => void {
    const copy = this.#keys.get(key)?.load();
    return () => {
      if (copy === undefined) this.#keys.delete(key);
      else this.#keys.set(key, copy.load());
    };
  }

  /** Throws what the script answers where a name stands for another kind of limit. */
  run(command: Command, asking: Caller): Reply {
    const { key, tier } = command;
    if (command.op === "reset") return this.#reset(key, asking);
    const lane = laneOf(command, asking);
    if (command.op === "leave") return this.#leave(key, lane);
    const state = this.#keys.get(key)?.load() ?? new KeyState();
    state.advance(asking.server, asking.nowMs);
    if (command.op === "release") return this.#release(state, command, lane);
    state.agree(tier);
    if (command.op === "hold") return this.#hold(state, command, lane);
    if (command.op === "adjust") return this.#adjust(state, command, lane);
    if (command.op === "grant") return this.#grant(state, command, lane);
    return command.op === "peek" ? this.#peek(state, command, lane) : this.#take(state, command, lane);
  }

  #release(state: KeyState, { key, tier, place }: Release, { caller }: Caller): Reply {
    const granted = state.release(tier, caller, place);
    const stored = this.#keys.get(key);
    if (granted > 0 && stored !== undefined)
      this.#keys.set(key, Object.assign(stored.load(), { places: state.places }));
    return { ...state.answer(tier, 0, granted, 0), epoch: "", spent: [], isExact: false };
  }

  #hold(state: KeyState, { key, tier, place, atMs }: Hold, asking: Caller): Reply {
    state.hold(tier, asking.caller, place, atMs);
    this.#save(key, state, asking);
    return { ...state.answer(tier, 0, 0, 0), epoch: "", spent: [], isExact: false };
  }

  #leave(key: string, { caller, nowMs: askedMs }: Caller): Reply {
    const stored = this.#keys.get(key);
    stored?.corrections.delete(caller);
    const nowMs = Math.max(askedMs, stored?.nowMs ?? -1);
    return { denied: 0, granted: 0, nowMs, lagMs: nowMs - askedMs, epoch: "", backMs: 0, isExact: false, spent: [] };
  }

  #reset(key: string, { server, nowMs, publish }: Caller): Reply {
    const stored = this.#keys.get(key);
    let epoch = (stored ?? new KeyState()).epochAt(server, nowMs);
    this.#keys.delete(key);
    if (stored !== undefined) {
      if (epoch === stored.epoch) epoch += "+";
      this.#keys.set(key, Object.assign(new KeyState(), { epoch, ended: stored.epoch }));
    }
    publish(key, true);
    return { denied: 0, granted: 0, nowMs, lagMs: 0, epoch, backMs: 0, isExact: false, spent: [] };
  }

  #adjust(state: KeyState, command: Adjust, asking: Caller): Reply {
    const { key, tier, deltas, snapshot, sequence } = command;
    const last = state.corrections.get(asking.caller)?.sequence ?? 0;
    if (sequence !== undefined && sequence <= last) return state.answer(tier, 0, 0, 0);
    if (state.slots.size === 0) {
      if (!deltas.some((delta) => delta > 0) && snapshot === undefined) {
        return { ...state.answer(tier, 0, 0, 0), epoch: "", spent: [], isExact: false };
      }
      state.bringTo(tier);
    }
    const restores = state.mayRestore(command);
    tier.limits.forEach(({ name, rule }, index) => {
      const isOfOutage = command.duringOutage && (deltas[index] ?? 0) > 0;
      const isMeant = (restores && snapshot?.spent[index] !== undefined) || isOfOutage;
      if (rule.type === "concurrency") return;
      if (isMeant && !state.slots.has(name)) state.slots.set(name, newSlot(rule));
    });
    state.restore(command);
    const isLapsed = command.isRetry && snapshot?.epoch !== state.epoch;
    tier.limits.forEach(({ name, rule }, index) => {
      const slot = state.slots.get(name);
      const delta = deltas[index] ?? 0;
      if (slot === undefined || slot.spent > MAX_AMOUNT || (isLapsed && delta < 0)) return;
      if (rule.type === "concurrency") return;
      const change = changeOf(state, command, slot, rule, delta);
      slot.spent = Math.min(MAX_AMOUNT, Math.max(0 - slot.granted, slot.spent + change));
    });
    if (sequence !== undefined) state.corrections.set(asking.caller, { sequence, atMs: asking.nowMs });
    this.#save(key, state, asking);
    if (command.tell) asking.publish(key, false);
    return state.answer(tier, 0, 0, 0);
  }

  #grant(state: KeyState, command: Grant, asking: Caller): Reply {
    const { key, tier, milli } = command;
    if (state.corrections.has(asking.caller)) return state.answer(tier, 0, milli, 0);
    const limits = tier.limits.slice(command.limit, command.limit + 1);
    state.bringTo({ ...tier, limits });
    state.restore(command);
    const slot = state.slots.get(limits[0]?.name ?? "");
    if (slot === undefined || slot.granted + milli > MAX_AMOUNT) return state.answer(tier, 0, 0, 0);
    slot.granted += milli;
    slot.spent -= milli;
    slot.grantedMs = state.nowMs;
    if (command.keeps) slot.kept += milli;
    state.corrections.set(asking.caller, { sequence: 1, atMs: asking.nowMs });
    this.#save(key, state, asking);
    asking.publish(key, false);
    return state.answer(tier, 0, milli, 0);
  }

  #peek(state: KeyState, command: Peek, { caller }: Caller): Reply {
    const { tier, need } = command;
    state.dropAbsent(command.present);
    state.bringTo(tier);
    state.restore(command);
    const { denied, longest } = weigh(state, tier, need);
    return state.answer(tier, denied, 0, backOf(state, denied, longest, caller));
  }

  #take(state: KeyState, command: Take, asking: Caller): Reply {
    const { key, tier, need } = command;
    const { caller } = asking;
    state.dropAbsent(command.present);
    const changed = state.bringTo(tier);
    state.restore(command);
    const { denied, longest, left } = weigh(state, tier, need);
    const most = mostOf(need, tier.limits.length);
    const backMs = backOf(state, denied, longest, caller);
    let granted = 0;
    if (denied === 0) {
      const wanted = Math.min(command.want, Math.floor(left / command.divisor)) - most;
      // Beside a need of each limit nothing is granted.
      const ahead = typeof need === "number" ? Math.max(0, wanted - (wanted % 1000)) : 0;
      granted = most + ahead;
      if (ahead > 0) {
        const untilMs = asking.nowMs + command.outMs;
        const isShared = command.isShared || state.outstandingMs(caller) > 0;
        state.out = isShared
          ? { untilMs: Math.max(untilMs, state.out.untilMs), holder: "*" }
          : { untilMs, holder: caller };
      }
      spend(state, tier, typeof need === "number" ? granted : need);
      const placed = tier.limits.filter((_, index) => costAt(need, index) > 0);
      if (command.place !== undefined) state.hold({ ...tier, limits: placed }, caller, command.place, state.nowMs);
    } else if (backMs === 0) {
      block(state, tier, need);
    }
    this.#save(key, state, asking);
    if (changed) asking.publish(key, false);
    if (backMs > 0) asking.want?.(key);
    return state.answer(tier, denied, granted, backMs);
  }

  #save(key: string, state: KeyState, { caller, nowMs }: Caller): void {
    for (const [lane, { atMs }] of state.corrections) {
      if (lane !== caller && Math.abs(nowMs - atMs) > this.#rememberedMs) state.corrections.delete(lane);
    }
    this.#keys.set(key, state);
  }
}

/** Who asks, by the lane. */
function laneOf({ lane = 0 }: Command, asking: Caller): Caller {
  return lane === 0 ? asking : { ...asking, caller: `${asking.caller}.${lane}` };
}

/** By how much a slot changes, in its units: of thousandths under the rule of a limit. */
function changeOf(state: KeyState, command: Adjust, slot: Slot, from: Bucket | Quota, delta: number): number {
  const { rule } = slot;
  if (rule.type === "quota") {
    const charged = from as Quota; // Or the name would stand for two kinds.
    return rule.periodOf(state.nowMs).startMs === charged.periodOf(command.atMs).startMs ? delta : 0;
  }
  if (command.quotasOnly) return 0;
  const change = rule.unitsOf(delta, from as Bucket);
  if (!command.unused || change >= 0) return change;
  return Math.min(0, change + Math.max(0, state.nowMs - command.atMs) * rule.perMs);
}

/** Counts what was granted; a block that it does not touch stays as it is. */
function spend(state: KeyState, { limits }: Tier, granted: CostMilli): void {
  limits.forEach(({ name, rule }, index) => {
    const slot = state.slots.get(name);
    const units = costAt(granted, index) * (rule.type === "bucket" ? rule.perMilli : 1);
    if (slot && rule.type !== "concurrency" && units > 0) slot.spent = Math.min(MAX_AMOUNT, slot.spent + units);
  });
}

/** Begins the blocks that a denial begins. */
function block(state: KeyState, { limits }: Tier, need: CostMilli): void {
  limits.forEach(({ name, rule }, index) => {
    const slot = state.slots.get(name);
    if (slot && rule.type === "bucket") slot.spent = rule.afterDenial(slot.spent, costAt(need, index));
  });
}

/** The limit that denies with the longest wait, or 0; that wait; and how many thousandths are left of all limits. */
function weigh(state: KeyState, { limits }: Tier, need: CostMilli): { denied: number; longest: number; left: number } {
  let denied = 0;
  let longest = 0;
  let left = MAX_AMOUNT;
  limits.forEach(({ name, rule }, index) => {
    const slot = state.slots.get(name);
    const spent = rule.type === "concurrency" ? state.standing(name) : (slot?.spent ?? 0);
    const needed = costAt(need, index);
    const wait = needed > 0 ? rule.waitMs(spent, needed, state.nowMs) : 0;
    if (wait > longest) {
      longest = wait;
      denied = index + 1;
    }
    if (rule.type === "concurrency") return;
    const has =
      rule.type === "bucket"
        ? Math.floor((rule.capacity - spent) / rule.perMilli)
        : slot !== undefined && keptOf(slot, rule) > 0
          ? 0
          : rule.maxCostMilli - spent;
    left = Math.min(left, has);
  });
  return { denied, longest, left };
}

/** A wait that what others hold may end is not told as if they did not. */
function backOf(state: KeyState, denied: number, longest: number, caller: string): number {
  const outMs = denied > 0 ? state.outstandingMs(caller) : 0;
  return outMs < longest + state.nowMs - state.askedMs ? outMs : 0;
}
