import { TollkeeperError } from "../errors.js";
import { MemoryRecords } from "./records.js";
import { KeyState, planOf } from "./state.js";
import { Table } from "./table.js";
import { compileTiers, type SlotNames, type Tier, type TierLimit } from "./tier.js";
import {
  ADJUST,
  type DecisionRef,
  type Engine,
  type EngineCounts,
  type EngineOptions,
  FRAME,
  type Frame,
  OUTCOME,
  type TierSpec,
  type Tiers,
} from "./types.js";

/** Most keys of an engine: what a JavaScript `Map` can hold, roughly. */
export const MAX_KEYS = 16_000_000;

/** Names that have stood for a tier, with overrides or without. */
const MAX_TIERS = 32_768;

/** Engines by name; on the global object, since the ESM and the CommonJS build may be loaded side by side. */
const openEngines = registry();

function registry(): Map<string, JsEngine> {
  const shared = globalThis as { [key: symbol]: Map<string, JsEngine> | undefined };
  const key = Symbol.for("tollkeeper.engines");
  const engines = shared[key] ?? new Map<string, JsEngine>();
  shared[key] = engines;
  return engines;
}

interface Counts {
  allowed: number;
  denied: Map<string, number>;
  overflow: number;
}

interface TierEntry {
  readonly name: string;
  /** Where its decisions are counted: itself, or the tier that it overrides. */
  readonly counts: Counts;
  /** Undefined once a reload has dropped the tier. */
  tier: Tier | undefined;
  plan: ReturnType<typeof planOf>;
  /** Shared by the keys that found no room. */
  overflow: KeyState | undefined;
}

/** The engine in TypeScript: the same decisions as the native one, one table per thread, nothing durable. */
export class JsEngine implements Engine {
  readonly kind = "js";
  readonly frame: Frame = new Float64Array(FRAME.ROWS * FRAME.ROW);
  readonly records = new MemoryRecords();
  readonly #name: string;
  #users = 1;
  /** As given, of every version by number. */
  readonly #versions: Tiers[] = [];
  readonly #slots: SlotNames = new Map();
  readonly #entries: TierEntry[] = [];
  /** The tiers of every version by number, for corrections of what an old one has decided. */
  readonly #editions: Map<number, Tier>[] = [];
  readonly #ids = new Map<string, number>();
  readonly #table: Table;
  #nowMs = 0;

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
    if (this.#table.maxKeys !== maxKeys || JSON.stringify(this.tiersOf(this.version)) !== JSON.stringify(tiers)) {
      throw new TollkeeperError("ERR_NAME_CONFLICT", `a limiter named ${name} is open with other tiers or maxKeys`);
    }
    this.#users++;
    return this;
  }

  private constructor(options: EngineOptions) {
    if (options.maxKeys > MAX_KEYS) {
      throw new TollkeeperError(
        "ERR_OPTION_INVALID",
        `maxKeys is ${options.maxKeys}; with the JavaScript engine it may be at most ${MAX_KEYS}`,
      );
    }
    this.#name = options.name;
    this.#table = new Table(options.maxKeys);
    this.reload(options.tiers);
  }

  get version(): number {
    return this.#versions.length - 1;
  }

  tiersOf(version: number): Tiers {
    return this.#versions[version] ?? {};
  }

  tierId(name: string): number {
    const id = this.#ids.get(name);
    return id !== undefined && this.#entries[id]?.tier ? id : -1;
  }

  overrideTier(version: number, tier: number, name: string, spec: TierSpec): number {
    const plain = this.#entries[tier];
    const edition = this.#editions[version];
    if (version !== this.version || plain?.tier === undefined || edition === undefined) return -1;
    const id = this.#ids.get(name) ?? this.#entries.length;
    if (edition.has(id)) return id;
    if (id >= MAX_TIERS) throw new TollkeeperError("ERR_TIERS_INVALID", "there are too many tiers with overrides");
    const overridden = compileTiers({ [plain.name]: spec }, new Map(this.#slots), this.#slots.size).get(plain.name);
    if (overridden === undefined) return -1;
    edition.set(id, overridden);
    const before = this.#entries[id];
    const overflow = before?.overflow;
    this.#entries[id] = { name, counts: plain.counts, tier: overridden, plan: planOf(overridden), overflow };
    this.#ids.set(name, id);
    return id;
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

  /** Makes the decision that the row at `at` asks for, and writes it there. */
  #decide(key: string, at: number, spends: boolean): void {
    this.frame[at + FRAME.CODE] = this.#outcome(key, at, spends);
  }

  #outcome(key: string, at: number, spends: boolean): number {
    const tierId = this.#read(at, FRAME.TIER);
    const costMilli = this.#read(at, FRAME.COST);
    const nowMs = this.#read(at, FRAME.NOW);
    if (typeof key !== "string" || key.length === 0 || key.length > 512) return OUTCOME.KEY_INVALID;
    if (!(costMilli >= 0)) return OUTCOME.COST_INVALID;
    const entry = this.#entries[tierId];
    const tier = entry?.tier;
    if (entry === undefined || tier === undefined) return OUTCOME.TIER_UNKNOWN;
    if (costMilli > tier.maxCostMilli) return OUTCOME.COST_EXCEEDS_CAPACITY;
    const now = this.#observe(nowMs);
    const changes = spends && costMilli > 0 && tier.limits.length > 0;
    let overflow = 0;
    let state = this.#table.get(key);
    if (state === undefined && !changes && tier.limits.length > 0 && !this.#table.hasRoom(now)) {
      overflow = OUTCOME.OVERFLOW;
      state = entry.overflow?.copy() ?? new KeyState(tier, entry.plan, now);
    } else if (state === undefined) {
      state = new KeyState(tier, entry.plan, now);
      if (changes && !this.#table.add(key, state, now)) {
        overflow = OUTCOME.OVERFLOW;
        entry.counts.overflow++;
        entry.overflow ??= state;
        state = entry.overflow;
      }
    } else if (!changes) {
      state = state.copy();
    }
    state.enter(tier, entry.plan, now);
    const denied = costMilli === 0 ? 0 : denyingLimit(state, tier, costMilli, now);
    if (changes && denied === 0) state.charge(tier, costMilli);
    if (spends) count(entry, tier, denied);
    this.frame[at + FRAME.VERSION] = this.#versions.length - 1;
    this.frame[at + FRAME.NOW] = now;
    for (let index = 0; index < tier.limits.length; index++) {
      this.frame[at + FRAME.SPENT + index] = state.spent[(tier.limits[index] as TierLimit).slot] as number;
    }
    return denied | overflow;
  }

  #read(at: number, field: number): number {
    return this.frame[at + field] as number;
  }

  adjust(key: string, deltaMilli: number, { version, tier, atMs }: DecisionRef, flags: number, nowMs: number): void {
    const now = this.#observe(nowMs);
    const entry = this.#entries[tier];
    const charged = this.#editions[version]?.get(tier);
    if (entry === undefined || charged === undefined) return;
    const charges = deltaMilli > 0 && charged.limits.length > 0;
    let state = flags & ADJUST.OVERFLOW ? undefined : this.#table.get(key);
    if (state === undefined && (charges || flags & ADJUST.OVERFLOW)) {
      state = new KeyState(charged, planOf(charged), now);
      if (flags & ADJUST.OVERFLOW || !this.#table.add(key, state, now)) {
        entry.overflow ??= state;
        state = entry.overflow;
      }
    }
    state?.advance(now);
    state?.correct(charged, deltaMilli, atMs, (flags & ADJUST.QUOTAS_ONLY) !== 0);
  }

  reset(key: string): void {
    this.#table.delete(key);
  }

  reload(tiers: Tiers): void {
    const own = structuredClone(tiers);
    this.#enact(own);
    this.#versions.push(own);
  }

  #enact(tiers: Tiers): void {
    const compiled = compileTiers(tiers, this.#slots);
    for (const entry of this.#entries) entry.tier = undefined;
    const edition = new Map<number, Tier>();
    this.#editions.push(edition);
    for (const [name, tier] of compiled) {
      const id = this.#ids.get(name) ?? this.#entries.length;
      edition.set(id, tier);
      const before = this.#entries[id];
      if (before) {
        before.tier = tier;
        before.plan = planOf(tier);
      } else {
        this.#ids.set(name, id);
        const counts = { allowed: 0, denied: new Map<string, number>(), overflow: 0 };
        this.#entries.push({ name, counts, tier, plan: planOf(tier), overflow: undefined });
      }
    }
  }

  sweep(nowMs: number): void {
    this.#table.sweep(this.#observe(nowMs));
  }

  stats(): EngineCounts {
    return {
      keys: this.#table.size,
      evictions: this.#table.evictions,
      tiers: this.#plainEntries().map(({ name, counts: { allowed, denied, overflow } }) => ({
        tier: name,
        allowed,
        denied: Object.fromEntries(denied),
        overflow,
      })),
    };
  }

  async flush(): Promise<void> {
    // Nothing is stored.
  }

  async close(): Promise<void> {
    this.#users--;
    if (this.#users === 0 && openEngines.get(this.#name) === this) openEngines.delete(this.#name);
  }

  /** Those that are counted by themselves. */
  #plainEntries(): TierEntry[] {
    const seen = new Set<Counts>();
    return this.#entries.filter(({ counts }) => !seen.has(counts) && seen.add(counts));
  }

  /** Time never runs backwards. */
  #observe(nowMs: number): number {
    const now = nowMs < 0 ? Date.now() : nowMs;
    if (now > this.#nowMs) this.#nowMs = now;
    return this.#nowMs;
  }
}

/** Counts a decision; `denied` as from {@link denyingLimit}. */
function count({ counts }: TierEntry, tier: Tier, denied: number): void {
  const name = tier.limits[denied - 1]?.name;
  if (name === undefined) counts.allowed++;
  else counts.denied.set(name, (counts.denied.get(name) ?? 0) + 1);
}

/** The limit that denies with the longest wait, counted from 1; 0 if none does. */
function denyingLimit(state: KeyState, tier: Tier, costMilli: number, nowMs: number): number {
  let denied = 0;
  let longest = 0;
  for (let index = 0; index < tier.limits.length; index++) {
    const { slot, rule } = tier.limits[index] as TierLimit;
    const wait = rule.waitMs(state.spent[slot] as number, costMilli, nowMs);
    if (wait > longest) {
      longest = wait;
      denied = index + 1;
    }
  }
  return denied;
}
