import { toMilli } from "../engine/amount.js";
import { joinTiers, shadowedTier, splitTiers } from "../engine/shadow.js";
import { compileTiers, type SlotNames, slotsFor } from "../engine/tier.js";
import { type Engine, type EngineStats, FRAME, OUTCOME, type RecordStore, type Tiers } from "../engine/types.js";
import { TollkeeperError } from "../errors.js";
import { Decision, invalidCost, type Judge } from "./decision.js";
import { compileOverridden, plainTier } from "./overrides.js";
import { type Observe, Sampler } from "./sampler.js";
import { type ShadowAnswer, ShadowCounts, type ShadowDenials, ShadowedDecision } from "./shadow.js";

const SWEEP_INTERVAL_MS = 100;
// Own constants of a module are numbers in compiled code; reading them off an imported object would take 20 ns a call.
const { TIER, COST, KEY_LENGTH, NOW, CODE, VERSION, ROW, ROWS } = FRAME;

/** How a limiter works on top of its engine. */
export interface LimiterSettings {
  engine: Engine;
  clock: (() => number) | undefined;
  /** At most this much usage, in ms, is forgotten by a crash; undefined where nothing is stored. */
  flushMs: number | undefined;
  onStorageError: (error: unknown) => void;
}

/** What a limiter has counted since it was opened. */
export interface LimiterStats extends EngineStats {
  engine: Engine["kind"];
  /** What shadow mode would have denied, in this thread. */
  shadow: ShadowDenials[];
}

/** One value for all, or one for each. */
type Many<T> = T | readonly T[];

/** The calls of a batch. */
interface Calls {
  keys: readonly string[];
  tiers: Many<string>;
  costs: Many<number>;
}

/** Decides who may call what, how fast and how much. Made by `createLimiter`. */
export class Limiter {
  readonly #engine: Engine;
  readonly #clock: () => number;
  readonly #timers: NodeJS.Timeout[] = [];
  /** The names that this thread's compiled tiers give to slots; only their arithmetic is used here. */
  readonly #slots: SlotNames = new Map();
  readonly #maxSlots: number;
  readonly #shadowCounts = new ShadowCounts();
  readonly #sampler = new Sampler();
  #version = 0;
  #tiers: Tiers = {};
  #judges = new Map<string, Judge>();
  #closed = false;
  #closing: Promise<void> | undefined;
  #flushing = false;

  constructor({ engine, clock, flushMs, onStorageError }: LimiterSettings) {
    this.#engine = engine;
    this.#clock = clock === undefined ? () => -1 : () => checkedNow(clock());
    this.#refresh();
    this.#maxSlots = slotsFor(this.#slots.size);
    this.#every(SWEEP_INTERVAL_MS, (limiter) => limiter.#sweep());
    // Half the promised time, so that the writing itself has the other half.
    if (flushMs !== undefined) this.#every(flushMs / 2, (limiter) => limiter.#flushUnlessBusy(onStorageError));
  }

  /** Which engine decides. */
  get engine(): Engine["kind"] {
    return this.#engine.kind;
  }

  /** The tiers in force. */
  get tiers(): Tiers {
    if (this.#engine.version !== this.#version) this.#refresh();
    return this.#tiers;
  }

  /** Small named records beside the keys, durable when the storage is; an app keeps its API keys there. */
  get records(): RecordStore {
    this.#checkOpen();
    return this.#engine.records;
  }

  /**
   * Spends `cost` tokens of every limit of the tier, or of none if any denies.
   *
   * @param key Whose tokens: 1 to 512 UTF-16 units.
   * @param tier The tier of the caller, from your own data.
   * @param cost Tokens, from 0, at most three decimals; 0 always passes and touches nothing.
   * @throws {TollkeeperError} on misuse: `ERR_KEY_INVALID`, `ERR_TIER_UNKNOWN`, `ERR_COST_INVALID`,
   * `ERR_COST_EXCEEDS_CAPACITY`, `ERR_CLOCK_INVALID`, `ERR_LIMITER_CLOSED`.
   */
  consume(key: string, tier: string, cost = 1): Decision {
    if (this.#sampler.isDue) return this.#sampler.time(() => this.#decide(key, tier, cost, true)) as Decision;
    return this.#decide(key, tier, cost, true);
  }

  /** Says what `consume` would, and changes nothing; `limits` are as they stand. Throws as `consume` does. */
  peek(key: string, tier: string, cost = 1): Decision {
    return this.#decide(key, tier, cost, false);
  }

  /**
   * One `consume` per key, in order, each a decision of its own.
   *
   * @param tiers One tier for all, or one per key.
   * @param costs One cost for all, or one per key.
   * @throws {TollkeeperError} as `consume` does, before anything is spent; where only a reload by another thread makes a
   * call wrong, what was spent is refunded.
   */
  consumeMany(keys: readonly string[], tiers: Many<string>, costs: Many<number> = 1): Decision[] {
    if (!Array.isArray(keys)) throw invalidOption("keys", keys, "an array of keys");
    checkLength("tiers", tiers, keys.length);
    checkLength("costs", costs, keys.length);
    const nowMs = this.#clock();
    // Copies, since reading somebody else's arrays may run somebody else's code.
    const calls = { keys: [...keys], tiers: copyOf(tiers), costs: copyOf(costs) };
    const count = calls.keys.length;
    for (let start = 0; start < count; start += ROWS) this.#ask(calls, start, nowMs);
    const decisions: Decision[] = [];
    for (let start = 0; start < count; start += ROWS) {
      // What fits into the frame was asked when it was checked.
      if (count > ROWS) this.#ask(calls, start, nowMs);
      const asked = count > ROWS ? calls.keys.slice(start, start + ROWS) : calls.keys;
      this.#engine.consumeMany(asked.join(""), asked.length);
      const failure = this.#read(calls, start, decisions);
      if (failure === undefined) continue;
      for (const decision of decisions) decision.refund();
      throw failure;
    }
    for (const decision of decisions) if (decision instanceof ShadowedDecision) this.#askShadows(decision, nowMs, true);
    return decisions;
  }

  /** Forgets a key: its next call is its first. */
  reset(key: string): void {
    this.#checkOpen();
    this.#engine.reset(checkedKey(key));
  }

  /**
   * Puts other tiers in force from the next decision on, in every thread that shares the limiter. Keys keep what they
   * have spent: buckets their fraction, quotas their count. A limiter that was opened with at most two names of limits
   * takes no third; one opened with more takes four.
   *
   * @throws {TollkeeperError} `ERR_TIERS_INVALID`; then nothing has changed.
   */
  reload(tiers: Tiers): void {
    this.#checkOpen();
    compileTiers(tiers, new Map(this.#slots), this.#maxSlots);
    this.#engine.reload(splitTiers(tiers));
    this.#refresh();
  }

  /** Tokens that a single call may cost at most under a tier; infinite for an unlimited one. */
  maxCost(tier: string): number {
    return this.#lookUp(tier).tier.maxCostMilli / 1000;
  }

  /** What was counted since the limiter was opened, over all threads that share it. */
  stats(): LimiterStats {
    this.#checkOpen();
    const stats = this.#engine.stats();
    const tiers = stats.tiers.filter(({ tier }) => shadowedTier(tier) === undefined);
    return { engine: this.#engine.kind, ...stats, tiers, shadow: this.#shadowCounts.read() };
  }

  /** Has `observe` told how many seconds a decision took, of one in 256; returns what ends that. */
  onDecision(observe: Observe): () => void {
    return this.#sampler.add(observe);
  }

  /** Counts a denial that is not enforced; the plugin does, in shadow mode. */
  countShadow(tier: string, limit: string): void {
    this.#shadowCounts.add(tier, limit);
  }

  /** Writes everything not yet stored. Done on its own every `flushMs`, and by `close`. */
  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#engine.flush();
  }

  /**
   * Stores everything and lets go. Decisions made from then on throw `ERR_LIMITER_CLOSED`. Calling it again is fine; if
   * the last write fails it rejects, and calling it again tries again.
   */
  close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#judges = new Map();
    this.#closing ??= this.#engine.close().catch((error) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  #decide(key: string, tierName: string, cost: number, spends: boolean): Decision {
    const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
    if (Number.isNaN(costMilli)) throw invalidCost(cost);
    const nowMs = this.#clock(); // Somebody else's code, which may reload.
    let judge = this.#lookUp(tierName);
    const { frame } = this.#engine;
    // From here to the last reading nothing else runs.
    frame[TIER] = judge.tierId;
    frame[COST] = costMilli;
    frame[NOW] = nowMs;
    frame[CODE] = OUTCOME.FAILED;
    if (spends) this.#engine.consume(key);
    else this.#engine.peek(key);
    const outcome = frame[CODE] as number;
    if (outcome === OUTCOME.TIER_UNKNOWN && this.#engine.version !== judge.version) {
      // Another thread has reloaded the tiers since it was looked up.
      this.#refresh();
      return this.#decide(key, tierName, cost, spends);
    }
    if (outcome < 0) throw this.#misuse(outcome, key, tierName, cost);
    if (frame[VERSION] !== judge.version) judge = this.#judgeOf(frame[VERSION] as number, tierName, judge.tierId);
    if (judge.shadows.length === 0) return new Decision(judge, key, frame, 0, costMilli, spends);
    return this.#askShadows(new ShadowedDecision(judge, key, frame, 0, costMilli, spends), nowMs, spends);
  }

  /** Has the shadow limits of its tier decide on a call as well. */
  #askShadows(decision: ShadowedDecision, nowMs: number, spends: boolean): Decision {
    const denials = decision.ask((shadow, key, costMilli) => this.#askShadow(shadow, key, costMilli, nowMs, spends));
    if (spends) for (const limit of denials) this.#shadowCounts.add(decision.tier, limit);
    return decision;
  }

  #askShadow(shadow: Judge, key: string, costMilli: number, nowMs: number, spends: boolean): ShadowAnswer {
    if (costMilli > shadow.tier.maxCostMilli) return "denied";
    const { frame } = this.#engine;
    frame[TIER] = shadow.tierId;
    frame[COST] = costMilli;
    frame[NOW] = nowMs;
    frame[CODE] = OUTCOME.FAILED;
    if (spends) this.#engine.consume(key);
    else this.#engine.peek(key);
    // Another thread has just reloaded the tiers, and taken the limit away.
    if ((frame[CODE] as number) < 0) return undefined;
    const version = frame[VERSION] as number;
    return new Decision(version === shadow.version ? shadow : { ...shadow, version }, key, frame, 0, costMilli, spends);
  }

  /** Checks as many calls from `start` on as the frame has rows, and writes them there. */
  #ask({ keys, tiers, costs }: Calls, start: number, nowMs: number): void {
    const { frame } = this.#engine;
    const end = Math.min(keys.length, start + ROWS);
    let tierId = 0;
    let costMilli = 0;
    for (let index = start, row = 0; index < end; index++, row += ROW) {
      const key = checkedKey(keys[index]);
      const tierName = at(tiers, index);
      const cost = at(costs, index);
      // Most batches are of one tier and one cost.
      if (index === start || at(tiers, index - 1) !== tierName || at(costs, index - 1) !== cost) {
        const judge = this.#lookUp(tierName);
        costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
        if (Number.isNaN(costMilli)) throw invalidCost(cost);
        if (costMilli > judge.tier.maxCostMilli) throw this.#tooMuch(cost, tierName);
        tierId = judge.tierId;
      }
      frame[row + TIER] = tierId;
      frame[row + COST] = costMilli;
      frame[row + KEY_LENGTH] = key.length;
      frame[row + NOW] = nowMs;
      frame[row + CODE] = OUTCOME.FAILED;
    }
  }

  /**
   * Reads what became of the calls that {@link Limiter.#ask} has written into the frame, all of them; returns why the
   * first failed that did.
   */
  #read({ keys, tiers, costs }: Calls, start: number, decisions: Decision[]): TollkeeperError | undefined {
    const { frame } = this.#engine;
    const end = Math.min(keys.length, start + ROWS);
    let failure: TollkeeperError | undefined;
    let judge: Judge | undefined;
    for (let index = start, row = 0; index < end; index++, row += ROW) {
      const key = keys[index] as string;
      const tierName = at(tiers, index);
      const cost = at(costs, index);
      const code = frame[row + CODE] as number;
      if (code < 0) {
        failure ??= this.#misuse(code, key, tierName, cost);
        continue;
      }
      if (index === start || at(tiers, index - 1) !== tierName) judge = this.#judges.get(tierName);
      const version = frame[row + VERSION] as number;
      if (judge?.version !== version) judge = this.#judgeOf(version, tierName, frame[row + TIER] as number);
      const Made = judge.shadows.length === 0 ? Decision : ShadowedDecision;
      decisions.push(new Made(judge, key, frame, row, toMilli(cost), true));
    }
    return failure;
  }

  /** Who has decided if the tiers were reloaded, maybe by another thread: the amounts are in units of that version. */
  #judgeOf(version: number, tierName: string, tierId: number): Judge {
    if (this.#engine.version !== this.#version) this.#refresh();
    const plain = this.#judgesOf(version, new Map(this.#slots));
    const judge = plain.get(tierName);
    if (judge !== undefined) return { ...judge, tierId };
    const tier = compileOverridden(tierName, joinTiers(this.#engine.tiersOf(version)), this.#slots);
    const overridden = tier === undefined ? undefined : plain.get(tier.name);
    if (tier === undefined || overridden === undefined) throw unknownTier(tierName, this.#judges);
    return { ...overridden, tier, tierId };
  }

  /** Who decides by a version of the tiers, by name of the tier. */
  #judgesOf(version: number, slots: SlotNames): Map<string, Judge> {
    const engine = this.#engine;
    const judges = new Map<string, Judge & { shadows: Judge[] }>();
    for (const [name, tier] of compileTiers(engine.tiersOf(version), slots)) {
      const common = { engine, clock: this.#clock, isClosed: () => this.#closed };
      const judge = { ...common, version, tierId: engine.tierId(name), tier, shadows: [] };
      const of = shadowedTier(name);
      if (of === undefined) judges.set(name, judge);
      else judges.get(of)?.shadows.push(judge);
    }
    return judges;
  }

  #lookUp(name: string): Judge {
    return this.#judges.get(name) ?? this.#lookUpAnew(name);
  }

  #lookUpAnew(name: string): Judge {
    this.#checkOpen();
    if (this.#engine.version !== this.#version) this.#refresh();
    const judge = this.#judges.get(name) ?? this.#override(name);
    if (judge === undefined) throw unknownTier(name, this.#judges);
    return judge;
  }

  /** Makes a tier with overrides ready that was not asked for since the last reload. */
  #override(name: string): Judge | undefined {
    const engine = this.#engine;
    const tier = compileOverridden(name, this.#tiers, this.#slots);
    if (tier === undefined) return undefined;
    const plain = this.#judges.get(tier.name);
    if (plain === undefined) return undefined;
    let id: number;
    try {
      id = engine.overrideTier(this.#version, plain.tierId, name, tier.spec);
    } catch (error) {
      // Too many different ones were in force since the process began.
      if (error instanceof TollkeeperError) return plain;
      throw error;
    }
    // Another thread has reloaded the tiers meanwhile.
    if (id < 0) return this.#lookUpAnew(name);
    const judge = { ...plain, tier, tierId: id };
    this.#judges.set(name, judge);
    return judge;
  }

  /** Makes the tiers in force ready for this thread. */
  #refresh(): void {
    const { version } = this.#engine;
    this.#judges = this.#judgesOf(version, this.#slots);
    this.#tiers = joinTiers(this.#engine.tiersOf(version));
    this.#version = version;
  }

  #misuse(outcome: number, key: unknown, tierName: string, cost: number): TollkeeperError {
    switch (outcome) {
      case OUTCOME.KEY_INVALID:
        return invalidKey(key);
      case OUTCOME.TIER_UNKNOWN:
        this.#refresh();
        return unknownTier(tierName, this.#judges);
      case OUTCOME.COST_EXCEEDS_CAPACITY:
        return this.#tooMuch(cost, tierName);
      case OUTCOME.CLOSED:
        return new TollkeeperError("ERR_LIMITER_CLOSED", "the limiter is closed");
      case OUTCOME.COST_INVALID:
        return invalidCost(cost);
      default:
        return new TollkeeperError(
          "ERR_ENGINE_FAILED",
          "the native engine met a fault of its own; the call was not decided",
        );
    }
  }

  #tooMuch(cost: number, tierName: string): TollkeeperError {
    return new TollkeeperError(
      "ERR_COST_EXCEEDS_CAPACITY",
      `cost is ${cost}, which can never pass: tier ${plainTier(tierName)} holds at most ${this.maxCost(tierName)}`,
    );
  }

  #checkOpen(): void {
    if (this.#closed) throw new TollkeeperError("ERR_LIMITER_CLOSED", "the limiter is closed");
  }

  #sweep(): void {
    let nowMs: number;
    try {
      nowMs = this.#clock();
    } catch {
      return; // The next call says what is wrong with the clock; here there is nobody to tell.
    }
    this.#engine.sweep(nowMs);
  }

  /** Slow writes are not piled up. */
  #flushUnlessBusy(onError: (error: unknown) => void): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#engine
      .flush()
      .catch(onError)
      .finally(() => {
        this.#flushing = false;
      });
  }

  /** A limiter that nobody holds any more is collected, and its timers end. */
  #every(intervalMs: number, task: (limiter: Limiter) => void): void {
    const self = new WeakRef(this);
    const timer = setInterval(() => {
      const limiter = self.deref();
      if (limiter === undefined) clearInterval(timer);
      else task(limiter);
    }, intervalMs).unref();
    this.#timers.push(timer);
  }
}

/** What a clock gave, in whole ms, if it may be. */
export function checkedNow(now: number): number {
  // 2^43 ms, the year 2248, is the last instant that an engine can hold.
  if (!(typeof now === "number" && now >= 0 && now < 2 ** 43)) {
    throw new TollkeeperError(
      "ERR_CLOCK_INVALID",
      `the clock gave ${now}; it may give milliseconds since 1970, below 2^43`,
    );
  }
  return Math.floor(now);
}

/** A key, if it is one. */
export function checkedKey(key: unknown): string {
  if (typeof key !== "string" || key.length === 0 || key.length > 512) throw invalidKey(key);
  return key;
}

function invalidKey(key: unknown): TollkeeperError {
  const shown = typeof key === "string" ? `a string of ${key.length} UTF-16 units` : `of type ${typeof key}`;
  return new TollkeeperError("ERR_KEY_INVALID", `key is ${shown}; it may be a string of 1 to 512 UTF-16 units`);
}

/** A tier that there is not. */
export function unknownTier(name: unknown, tiers: ReadonlyMap<string, unknown>): TollkeeperError {
  const shown = typeof name === "string" ? name : typeof name;
  return new TollkeeperError("ERR_TIER_UNKNOWN", `tier is ${shown}; it may be one of ${[...tiers.keys()].join(", ")}`);
}

function copyOf<T extends string | number>(values: Many<T>): Many<T> {
  return typeof values === "object" ? [...values] : values;
}

/** One value for all calls of a batch, or one for each. */
export function at<T extends string | number>(values: Many<T>, index: number): T {
  return typeof values === "object" ? (values[index] as T) : values;
}

/** Refuses values that are not one for each call of a batch. */
export function checkLength(name: string, values: unknown, length: number): void {
  if (typeof values === "object" && !Array.isArray(values)) throw invalidOption(name, values, "one value, or an array");
  if (Array.isArray(values) && values.length !== length) {
    throw invalidOption(name, `${values.length} items long`, `one item per key, ${length}`);
  }
}

/** An argument that can't be used. */
export function invalidOption(name: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_OPTION_INVALID", `${name} is ${String(was)}; it may be ${mayBe}`);
}
