import { TollkeeperError } from "../errors.js";
import { type CostMilli, costAt, EACH, isFree, mostOf, negated } from "./cost.js";
import { grantTooLarge } from "./credit.js";
import type { DecisionRef, Engine, EngineCounts, EngineOptions } from "./engine.js";
import { ADJUST, FRAME, type Frame, OUTCOME } from "./frame.js";
import { maxKeysOf } from "./max-keys.js";
import { Places, type TakenPlace } from "./places.js";
import { MemoryRecords } from "./records.js";
import type { TierSpec, Tiers } from "./spec.js";
import { KeyState, type RuleSet, ruleSetOf } from "./state.js";
import { Table } from "./table.js";
import type { Tier, TierLimit } from "./tier.js";
import { countDecision, type TierEntry, TierVersions } from "./tier-versions.js";

/** How far a call may be ahead of the last sweep, of which there are many a second. */
const LEAD_MS = 60_000;
/** So many overflow buckets are kept, as a rule more than there are tiers. */
const SPARE_OVERFLOW = 256;

/** What a row asks for. */
interface RowCall {
  readonly at: number;
  readonly key: string;
  readonly entry: TierEntry<RuleSet>;
  readonly cost: CostMilli;
}

/** Engines by name; on the global object, since the ESM and the CommonJS build may be loaded side by side. */
const openEngines = registry();

function registry(): Map<string, JsEngine> {
  const shared = globalThis as { [key: symbol]: Map<string, JsEngine> | undefined };
  const key = Symbol.for("tollkeeper.engines");
  const engines = shared[key] ?? new Map<string, JsEngine>();
  shared[key] = engines;
  return engines;
}

/** The engine in TypeScript: the same decisions as the native one, one table per thread, nothing durable. */
export class JsEngine implements Engine {
  readonly kind = "js";
  readonly frame: Frame = new Float64Array(FRAME.ROWS * FRAME.ROW);
  readonly records = new MemoryRecords();
  readonly isDurable = false;
  readonly #name: string;
  #users = 1;
  readonly #tiers: TierVersions<RuleSet>;
  /** Shared by the keys of a tier that found no room, by the tier's name. */
  readonly #overflow = new Map<string, KeyState>();
  #spareOverflow = SPARE_OVERFLOW;
  readonly #table: Table<KeyState>;
  readonly #places = new Places();
  /** The reading of the last sweep. */
  #sweptMs = 0;

  /**
   * Opens an engine, or joins the one of that name in this thread.
   *
   * @throws {TollkeeperError} `ERR_TIERS_INVALID`, `ERR_NAME_CONFLICT`, `ERR_OPTION_INVALID`
   */
  static open(options: EngineOptions): JsEngine {
    const { name } = options;
    const open = name === "" ? undefined : openEngines.get(name);
    if (open !== undefined) return open.join(options);
    const engine = new JsEngine(options);
    if (name !== "") openEngines.set(name, engine);
    return engine;
  }

  /** A method, since the engine may be of the other build, whose private fields are not this one's. */
  private join({ name, maxKeys, tiers }: EngineOptions): this {
    // A limiter that is opened after a reload may be opened as the first was.
    const known = [this.tiersOf(0), this.tiersOf(this.version)].map((tiers) => JSON.stringify(tiers));
    if (this.#table.maxKeys !== maxKeys || !known.includes(JSON.stringify(tiers))) {
      throw new TollkeeperError("ERR_NAME_CONFLICT", `a limiter named ${name} is open with other tiers or maxKeys`);
    }
    this.#users++;
    return this;
  }

  private constructor(options: EngineOptions) {
    if (options.maxKeys > maxKeysOf("js")) {
      throw new TollkeeperError(
        "ERR_OPTION_INVALID",
        `maxKeys is ${options.maxKeys}; with the JavaScript engine it may be at most ${maxKeysOf("js")}`,
      );
    }
    this.#name = options.name;
    this.#table = new Table(options.maxKeys);
    this.#tiers = new TierVersions(options.tiers, ruleSetOf);
  }

  get version(): number {
    return this.#tiers.version;
  }

  tiersOf(version: number): Tiers {
    return this.#tiers.tiersOf(version);
  }

  tierId(name: string): number {
    return this.#tiers.tierId(name);
  }

  overrideTier(version: number, tier: number, name: string, spec: TierSpec): number {
    return this.#tiers.overrideTier(version, tier, name, spec);
  }

  consume(key: string): void {
    this.#decide(key, 0, true);
  }

  peek(key: string): void {
    this.#decide(key, 0, false);
  }

  consumeMany(keys: string, count: number): void {
    let start = 0;
    for (let at = 0; at < count * FRAME.ROW; at += FRAME.ROW) {
      const end = start + this.#read(at, FRAME.KEY_LENGTH);
      this.#decide(keys.slice(start, end), at, true);
      start = end;
    }
  }

  consumeAll(keys: string, count: number): void {
    const calls: RowCall[] = [];
    let start = 0;
    for (let at = 0; at < count * FRAME.ROW; at += FRAME.ROW) {
      const end = start + this.#read(at, FRAME.KEY_LENGTH);
      const key = keys.slice(start, end);
      start = end;
      const cost = this.#cost(at);
      const entry = this.#entry(key, at, cost);
      if (typeof entry === "number") {
        this.frame[at + FRAME.CODE] = entry;
        return;
      }
      calls.push({ at, key, entry, cost });
    }
    this.#decideTogether(calls, instant(this.#read(0, FRAME.NOW)));
  }

  /** Decides on calls that pass together or not at all, and writes of each what holds after those before it. */
  #decideTogether(calls: readonly RowCall[], nowMs: number): void {
    const spends = ({ entry: { tier }, cost }: RowCall) => tier.limits.length > 0 && !isFree(cost, tier.limits.length);
    const spending = calls.filter(spends);
    for (const call of calls) if (!spends(call)) this.#decide(call.key, call.at, false);
    // All have their states before the first spends, and none is forgotten to make room for another.
    const held = new Set(spending.flatMap(({ key }) => this.#table.get(key) ?? []));
    const placed = spending.map((call) => {
      const state = this.#place(call, nowMs, held);
      held.add(state);
      return { ...call, state };
    });
    const decided = placed.map((call) => {
      const { at, key, entry, cost, state } = call;
      state.bringTo(entry.tier, entry.rules, nowMs);
      const unspent = [...this.#standing(state, state, entry.tier)];
      const denied = denyingLimit(unspent, entry.tier, cost, state.atMs);
      this.#spend(at, entry.tier, state, cost, denied);
      const overflow = this.#table.get(key) === state ? 0 : OUTCOME.OVERFLOW;
      this.frame[at + FRAME.CODE] =
        denied | overflow | this.#report(at, entry.tier, state, this.#standing(state, state, entry.tier), nowMs);
      return { ...call, unspent, denied, overflow };
    });
    const isAllowed = decided.every(({ denied }) => denied === 0);
    for (const { at, entry, cost, state, unspent, denied, overflow } of decided) {
      if (isAllowed || denied > 0) {
        countDecision(entry, denied);
        if (overflow > 0) entry.counts.overflow++;
      } else {
        // A refund, and not the state as it was: a later call may have brought the same key under another tier.
        state.correct(entry.tier, negated(cost), state.atMs, false);
        if (entry.tier.hasPlaces) this.#places.withdraw(state, this.#read(at, FRAME.PLACE));
        this.#writeSpent(at, entry.tier, unspent);
      }
    }
    if (isAllowed) for (const call of calls) if (!spends(call)) countDecision(call.entry, 0);
  }

  /** The state of a key, or what it shares; none of those that are `held` is forgotten to make room for it. */
  #place({ key, entry }: RowCall, nowMs: number, held: ReadonlySet<KeyState>): KeyState {
    const known = this.#table.get(key);
    if (known !== undefined) return known;
    const state = new KeyState(entry.tier, entry.rules, nowMs);
    return this.#add(key, state, nowMs, held) ? state : this.#shared(entry.name, state, nowMs);
  }

  /** Makes the decision that the row at `at` asks for, and writes it there. */
  #decide(key: string, at: number, spends: boolean): void {
    this.frame[at + FRAME.CODE] = this.#outcome(key, at, spends);
  }

  #outcome(key: string, at: number, spends: boolean): number {
    const cost = this.#cost(at);
    const entry = this.#entry(key, at, cost);
    if (typeof entry === "number") return entry;
    const { tier } = entry;
    const now = instant(this.#read(at, FRAME.NOW));
    const costsNothing = isFree(cost, tier.limits.length);
    const changes = spends && !costsNothing && tier.limits.length > 0;
    let overflow = 0;
    let state = this.#table.get(key);
    let holder = state;
    if (state === undefined && !changes && tier.limits.length > 0 && !this.#hasRoom(now)) {
      overflow = OUTCOME.OVERFLOW;
      holder = this.#overflow.get(entry.name);
      state = holder?.copy() ?? new KeyState(tier, entry.rules, now);
    } else if (state === undefined) {
      state = new KeyState(tier, entry.rules, now);
      if (changes && !this.#add(key, state, now)) {
        overflow = OUTCOME.OVERFLOW;
        entry.counts.overflow++;
        state = this.#shared(entry.name, state, now);
      }
      holder = state;
    } else if (!changes) {
      state = state.copy();
    }
    state.bringTo(tier, entry.rules, now);
    const standing = this.#standing(holder, state, tier);
    const denied = costsNothing ? 0 : denyingLimit(standing, tier, cost, state.atMs);
    if (changes) this.#spend(at, tier, state, cost, denied);
    if (spends) countDecision(entry, denied);
    return denied | overflow | this.#report(at, tier, state, this.#standing(holder, state, tier), now);
  }

  /** What a call changes that is to change something. */
  #spend(at: number, tier: Tier, state: KeyState, cost: CostMilli, denied: number): void {
    if (denied === 0) {
      state.charge(tier, cost);
      if (tier.hasPlaces) this.frame[at + FRAME.PLACE] = this.#places.take(state, tier, cost, state.atMs);
    } else if (tier.blocks) state.block(tier, cost);
  }

  /** What is spent by slot, with limits of concurrency as they stand by who holds places of them. */
  #standing(holder: KeyState | undefined, state: KeyState, tier: Tier): readonly number[] {
    if (!tier.hasPlaces) return state.spent;
    const spent = [...state.spent];
    if (holder !== undefined) this.#places.stand(holder, tier, state.atMs, spent);
    return spent;
  }

  /** What the call costs that the row at `at` asks for. */
  #cost(at: number): CostMilli {
    const cost = this.#read(at, FRAME.COST);
    if (cost !== EACH) return cost;
    const costs = new Array<number>(FRAME.ROW - FRAME.COSTS);
    for (let index = 0; index < costs.length; index++) costs[index] = this.#read(at, FRAME.COSTS + index);
    return costs;
  }

  /** What is wrong with a cost for each limit; 0 if nothing is. */
  #wrongCosts(at: number, tier: Tier | undefined, costs: readonly number[]): number {
    if (!costs.every((cost) => cost >= 0)) return OUTCOME.COST_INVALID;
    if (tier === undefined || this.#read(at, FRAME.VERSION) !== this.version) return OUTCOME.TIER_UNKNOWN;
    const isExcessive = tier.limits.some(
      ({ rule }, index) => costAt(costs, index) > rule.maxCostMilli && rule.maxCostMilli > 0,
    );
    return isExcessive ? OUTCOME.COST_EXCEEDS_CAPACITY : 0;
  }

  /** The tier that the row at `at` asks, if a call of that cost can be decided; else why it can't. */
  #entry(key: string, at: number, cost: CostMilli): TierEntry<RuleSet> | number {
    if (typeof key !== "string" || key.length === 0 || key.length > 512) return OUTCOME.KEY_INVALID;
    const entry = this.#tiers.inForce(this.#read(at, FRAME.TIER));
    const wrong = typeof cost === "number" ? wrongCost(entry?.tier, cost) : this.#wrongCosts(at, entry?.tier, cost);
    return wrong !== 0 || entry === undefined ? wrong : entry;
  }

  #hasRoom(nowMs: number): boolean {
    const roomMs = this.#roomMs(nowMs);
    return this.#table.hasRoom((state) => state.isIdle(roomMs));
  }

  #add(key: string, state: KeyState, nowMs: number, held?: ReadonlySet<KeyState>): boolean {
    const roomMs = this.#roomMs(nowMs);
    return this.#table.add(key, state, (other) => other.isIdle(roomMs) && !held?.has(other));
  }

  /** The instant by which a call may have keys forgotten, to make room: no later than the sweeps bear out, if there are any. */
  #roomMs(nowMs: number): number {
    return this.#sweptMs === 0 ? nowMs : Math.min(nowMs, this.#sweptMs + LEAD_MS);
  }

  /** Writes where a key stands into the row at `at`; returns what there is to say of its instant. */
  #report(at: number, tier: Tier, state: KeyState, spent: readonly number[], nowMs: number): number {
    const { limits } = tier;
    this.frame[at + FRAME.VERSION] = this.version;
    this.frame[at + FRAME.NOW] = limits.length === 0 ? nowMs : state.atMs;
    this.#writeSpent(at, tier, spent);
    if (limits.length === 0 || state.atMs === nowMs) return 0;
    this.frame[at + FRAME.BEHIND] = state.atMs - nowMs;
    return OUTCOME.BEHIND;
  }

  /** Writes what is spent of a tier's limits, by slot, into the row at `at`. */
  #writeSpent(at: number, { limits }: Tier, spent: readonly number[]): void {
    for (let index = 0; index < limits.length; index++) {
      this.frame[at + FRAME.SPENT + index] = spent[(limits[index] as TierLimit).slot] as number;
    }
  }

  #read(at: number, field: number): number {
    return this.frame[at + field] as number;
  }

  adjust(
    key: string,
    deltaMilli: CostMilli,
    { version, tier, atMs }: DecisionRef,
    flags: number,
    nowMs: number,
  ): boolean {
    const now = instant(nowMs);
    const entry = this.#tiers.of(version, tier);
    if (entry === undefined) return false;
    const { name, tier: charged, rules } = entry;
    const charges = mostOf(deltaMilli, charged.limits.length) > 0 && charged.limits.length > 0;
    let state = flags & ADJUST.OVERFLOW ? undefined : this.#table.get(key);
    if (state === undefined && (charges || flags & ADJUST.OVERFLOW)) {
      state = new KeyState(charged, rules, now);
      if (flags & ADJUST.OVERFLOW || !this.#add(key, state, now)) {
        state = this.#shared(name, state, now);
      }
    }
    // What a call of nothing cost after all is the first that its key spends, be it that it has held places.
    if (charges && state?.countsNothing) state.bringTo(charged, rules, now);
    state?.advance(now);
    state?.correct(charged, deltaMilli, atMs, (flags & ADJUST.QUOTAS_ONLY) !== 0);
    return true;
  }

  grant(key: string, tier: number, limit: string, milli: number, keeps: boolean, nowMs: number): boolean {
    const now = instant(nowMs);
    const entry = this.#tiers.inForce(tier);
    if (entry === undefined) return false;
    const named = entry.tier.limits.find(({ name }) => name === limit);
    if (named?.rule.type !== "quota") throw noQuota();
    // All but the quota stays as it is.
    const only = { ...entry.tier, limits: [named] };
    const rules = ruleSetOf(only);
    let state = this.#table.get(key);
    if (state === undefined) {
      state = new KeyState(only, rules, now);
      if (!this.#add(key, state, now)) throw tableFull(this.#table.maxKeys);
    }
    state.bringTo(only, rules, now);
    if (!state.grant(named.slot, milli, keeps)) throw grantTooLarge();
    return true;
  }

  /** What the keys of a tier share that found no room; begins as `state`. Of many, those that are full are forgotten. */
  #shared(name: string, state: KeyState, nowMs: number): KeyState {
    const shared = this.#overflow.get(name);
    if (shared !== undefined) return shared;
    if (this.#overflow.size >= this.#spareOverflow) {
      for (const [other, state] of this.#overflow) if (state.isIdle(nowMs)) this.#overflow.delete(other);
      this.#spareOverflow = Math.max(SPARE_OVERFLOW, 2 * this.#overflow.size);
    }
    this.#overflow.set(name, state);
    return state;
  }

  release(key: string, place: TakenPlace, nowMs: number): boolean {
    const state = place.overflow === undefined ? this.#table.get(key) : this.#overflow.get(place.overflow);
    return state !== undefined && this.#places.release(state, place, Math.max(instant(nowMs), state.atMs));
  }

  reset(key: string): void {
    const state = this.#table.get(key);
    if (state !== undefined) this.#places.forget(state);
    this.#table.delete(key);
  }

  reload(tiers: Tiers): void {
    this.#tiers.reload(tiers);
  }

  sweep(nowMs: number): void {
    const now = instant(nowMs);
    // What a clock that is ahead for one reading would have forgotten is kept.
    const agreedMs = Math.min(now, this.#sweptMs);
    const isScarce = this.#table.isScarce;
    this.#table.sweep((state) => (isScarce ? state.isIdle(agreedMs) : state.isAsNew(agreedMs)));
    this.#places.sweep(agreedMs);
    this.#sweptMs = now;
  }

  stats(): EngineCounts {
    const { size: keys, evictions } = this.#table;
    return { keys, evictions, places: this.#places.held, tiers: this.#tiers.read() };
  }

  openLedger(): undefined {
    // There is no binding; who counts does so in JavaScript, too.
  }

  async flush(): Promise<void> {
    // Nothing is stored.
  }

  async close(): Promise<void> {
    this.#users--;
    if (this.#users > 0) return;
    if (openEngines.get(this.#name) === this) openEngines.delete(this.#name);
    this.#table.clear();
    this.#overflow.clear();
    this.#tiers.clearOverridden();
  }
}

/** What is wrong with one cost of every limit; 0 if nothing is. */
function wrongCost(tier: Tier | undefined, cost: number): number {
  if (!(cost >= 0)) return OUTCOME.COST_INVALID;
  if (tier === undefined) return OUTCOME.TIER_UNKNOWN;
  return cost > tier.maxCostMilli ? OUTCOME.COST_EXCEEDS_CAPACITY : 0;
}

/** An instant as it is told: below 0 stands for the system's clock. */
function instant(nowMs: number): number {
  return nowMs < 0 ? Date.now() : nowMs;
}

function noQuota(): TollkeeperError {
  return new TollkeeperError("ERR_GRANT_INVALID", "tokens can be granted of a quota only");
}

function tableFull(maxKeys: number): TollkeeperError {
  return new TollkeeperError("ERR_TABLE_FULL", `the key is new, and all ${maxKeys} of maxKeys are in use`);
}

/** The limit that denies with the longest wait, counted from 1; 0 if none does. */
function denyingLimit(spent: readonly number[], tier: Tier, costMilli: CostMilli, nowMs: number): number {
  let denied = 0;
  let longest = 0;
  for (let index = 0; index < tier.limits.length; index++) {
    const { slot, rule } = tier.limits[index] as TierLimit;
    const cost = costAt(costMilli, index);
    // What costs nothing passes, also where more is spent than there was.
    const wait = cost === 0 ? 0 : rule.waitMs(spent[slot] as number, cost, nowMs);
    if (wait > longest) {
      longest = wait;
      denied = index + 1;
    }
  }
  return denied;
}
