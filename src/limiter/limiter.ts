import { toMilli } from "../engine/amount.js";
import { type Cost, EACH } from "../engine/cost.js";
import type { Engine, EngineStats, TierStats } from "../engine/engine.js";
import { FRAME, OUTCOME } from "../engine/frame.js";
import { plainTiers } from "../engine/plain-tiers.js";
import type { RecordStore } from "../engine/record-store.js";
import { shadowedTier } from "../engine/shadow-tiers.js";
import type { Tiers } from "../engine/spec.js";
import { Batch } from "./batch.js";
import type { BoundTier } from "./bound-tier.js";
import { BoundTiers } from "./bound-tiers.js";
import { Calls, type Many } from "./calls.js";
import { eachMilliOf, maxCostOf, tokensOf } from "./costs.js";
import { Decision } from "./decision.js";
import { type GrantOptions, grantOf } from "./grant.js";
import type { Host } from "./host.js";
import { decideTogether } from "./joint-call.js";
import { JointDecision } from "./joint-decision.js";
import { checkedKey, checkedNow, invalidCost, limiterClosed } from "./misuse.js";
import type { Observe } from "./observers.js";
import { endsOf, PlacedDecision } from "./placed-decision.js";
import { Sampler } from "./sampler.js";
import { type ShadowAnswer, ShadowCounts, type ShadowDenials, ShadowedDecision } from "./shadow.js";
import { type Subject, Subjects } from "./subjects.js";
import { Upkeep } from "./upkeep.js";

// Own constants of a module are numbers in compiled code; reading them off an imported object would take 20 ns a call.
const { TIER, COST, COSTS, NOW, CODE, VERSION } = FRAME;

/** How a limiter works on top of its engine. */
export interface LimiterSettings {
  engine: Engine;
  /** Why `engine` is not the native one, where `"auto"` was asked for. */
  fallbackReason: string | undefined;
  clock: (() => number) | undefined;
  /** At most this much usage, in ms, is forgotten by a crash; undefined where nothing is stored. */
  flushMs: number | undefined;
  onStorageError: (error: unknown) => void;
}

/** What a limiter has counted since it was opened. */
export interface LimiterStats extends EngineStats {
  /** Which engine decides. */
  engine: Engine["kind"];
  /** What shadow mode would have denied, in this thread. */
  shadow: ShadowDenials[];
}

/** Decides who may call what, how fast and how much. Made by `createLimiter`. */
export class Limiter {
  /** Why the JavaScript engine decides though `"auto"` was asked for; undefined if it does not, or was asked for. */
  readonly fallbackReason: string | undefined;
  readonly #engine: Engine;
  readonly #clock: () => number;
  readonly #boundTiers: BoundTiers;
  readonly #upkeep: Upkeep;
  readonly #shadowCounts = new ShadowCounts();
  readonly #sampler = new Sampler();
  #closed = false;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor({ engine, fallbackReason, clock, flushMs, onStorageError }: LimiterSettings) {
    this.fallbackReason = fallbackReason;
    this.#engine = engine;
    this.#clock = clock === undefined ? systemClock : () => checkedNow(clock());
    this.#boundTiers = new BoundTiers(engine, {
      correct: ({ version, tierId: tier }, key, deltaMilli, atMs, flags, nowMs) =>
        engine.adjust(key, deltaMilli, { version, tier, atMs }, flags, nowMs),
      release: (boundTier, key, number, atMs, overflowed, nowMs) => {
        const overflow = overflowed ? boundTier.name : undefined;
        return engine.release(key, { number, endsMs: endsOf(boundTier, atMs), overflow }, nowMs);
      },
      clock: this.#clock,
      isClosed: () => this.#closed,
    });
    this.#upkeep = new Upkeep(engine, this.#clock);
    if (flushMs !== undefined) this.#upkeep.storeWithin(flushMs, onStorageError);
  }

  /** Which engine decides. */
  get engine(): Engine["kind"] {
    return this.#engine.kind;
  }

  /**
   * For a ledger, which counts beside the keys.
   *
   * @internal
   * @throws {TollkeeperError} `ERR_LIMITER_CLOSED`
   */
  get host(): Host {
    this.#checkOpen();
    return { engine: this.#engine, clock: this.#clock === systemClock ? Date.now : this.#clock };
  }

  /** The tiers in force. */
  get tiers(): Tiers {
    return this.#boundTiers.tiers;
  }

  /** Whether it decides as it is meant to: from its opening until it is closed. One over Redis is not ready while that is away. */
  get isReady(): boolean {
    return !this.#closed;
  }

  /**
   * Resolves at once; one over Redis has callers wait for it.
   *
   * @throws {TollkeeperError} `ERR_LIMITER_CLOSED`
   */
  async ready(_patienceMs?: number): Promise<void> {
    this.#checkOpen();
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
   * @param cost Tokens, from 0, at most three decimals; or such a number for each limit, by its name, and 0 for one that is
   * left out. 0 always passes and touches nothing.
   * @throws {TollkeeperError} on misuse: `ERR_KEY_INVALID`, `ERR_TIER_UNKNOWN`, `ERR_COST_INVALID`,
   * `ERR_COST_EXCEEDS_CAPACITY`, `ERR_CLOCK_INVALID`, `ERR_LIMITER_CLOSED`.
   *
   * @example
   * ```ts
   * import { createLimiter } from "tollkeeper";
   *
   * const limiter = createLimiter({
   *   tiers: { free: { limits: [{ name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 }] } },
   * });
   * const decision = limiter.consume("acct:42", "free", 2);
   * if (!decision.allowed) throw new Error(`try again in ${decision.retryAfterMs} ms`);
   *
   * console.log(decision.limits[0]?.remaining); // 98
   * await limiter.close();
   * ```
   */
  consume(key: string, tier: string, cost: Cost = 1): Decision {
    if (this.#sampler.isDue) return this.#timed(key, tier, cost);
    return this.#decide(key, tier, cost, true);
  }

  /**
   * Says what `consume` would, and changes nothing; `limits` are as they stand. Throws as `consume` does.
   *
   * @example
   * ```ts
   * import { createLimiter } from "tollkeeper";
   *
   * const limiter = createLimiter({
   *   tiers: { free: { limits: [{ name: "day", type: "quota", limit: 3, period: "day" }] } },
   * });
   * limiter.consume("acct:42", "free", 2);
   *
   * console.log(limiter.peek("acct:42", "free", 2).allowed); // false
   * console.log(limiter.peek("acct:42", "free", 0).limits[0]?.remaining); // 1
   * await limiter.close();
   * ```
   */
  peek(key: string, tier: string, cost: Cost = 1): Decision {
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
  consumeMany(keys: readonly string[], tiers: Many<string>, costs: Many<Cost> = 1): Decision[] {
    const calls = new Calls(keys, tiers, costs);
    const nowMs = this.#clock();
    const decisions = new Batch(this.#engine, this.#boundTiers, calls, nowMs).consume();
    for (const decision of decisions) if (decision instanceof ShadowedDecision) this.#askShadows(decision, nowMs, true);
    return decisions;
  }

  /**
   * Grants a key tokens that it was given or has bought: what is used of the tier's quota goes down by as much, below
   * nothing if need be, so that more than its `limit` is left. They are gone when the period ends, unless they are to be
   * kept: then what is left of them is there in the next. The quota itself is used first, and what is kept last.
   *
   * All but that quota stays as it is: the buckets of a new key begin with its first call.
   *
   * @param tokens Above 0, at most three decimals; at most 4,503,599,627,370.496 for one key and quota.
   * @returns Where the key stands then, as {@link peek} says of nothing.
   * @throws {TollkeeperError} `ERR_GRANT_INVALID`, `ERR_TABLE_FULL` for a new key in a full table, `ERR_KEY_INVALID`,
   * `ERR_TIER_UNKNOWN`, `ERR_OPTION_INVALID`, `ERR_CLOCK_INVALID`, `ERR_LIMITER_CLOSED`; then nothing is granted.
   *
   * @example
   * ```ts
   * import { createLimiter } from "tollkeeper";
   *
   * const limiter = createLimiter({
   *   tiers: { free: { limits: [{ name: "month", type: "quota", limit: 100, period: "month" }] } },
   * });
   * limiter.consume("acct:42", "free", 100);
   * const { limits } = limiter.grant("acct:42", "free", 500, { keep: true });
   *
   * console.log(limits[0]?.remaining); // 500
   * await limiter.close();
   * ```
   */
  grant(key: string, tier: string, tokens: number, options: GrantOptions = {}): Decision {
    checkedKey(key);
    const nowMs = this.#clock(); // Somebody else's code, which may reload.
    const { boundTier, limit, milli, keeps } = grantOf(this.#boundTiers.of(tier), tokens, options);
    if (!this.#engine.grant(key, boundTier.tierId, limit, milli, keeps, nowMs)) {
      if (this.#boundTiers.renew(tier)) return this.grant(key, tier, tokens, options);
      throw this.#boundTiers.misuse(OUTCOME.TIER_UNKNOWN, key, tier, 0);
    }
    return this.#decide(key, tier, 0, false);
  }

  /**
   * Spends of several subjects at once, of every limit of each, or of none if any denies: of a user and the organisation, of
   * an account and the address, of a route and the whole API. No other call comes between, from whatever thread.
   *
   * @param subjects 1 to 8. Those of one key and tier are one, and their costs add up.
   * @throws {TollkeeperError} as `consume` does, and `ERR_OPTION_INVALID`; then nothing was spent.
   */
  consumeAll(subjects: readonly Subject[]): JointDecision {
    this.#checkOpen();
    if (!this.#sampler.isDue) return this.#decideTogether(subjects);
    return this.#sampler.time(() => this.#decideTogether(subjects)) as JointDecision;
  }

  /** Forgets a key: its next call is its first, what it was granted is gone, and places that running calls hold are free. */
  reset(key: string): void {
    this.#checkOpen();
    this.#engine.reset(checkedKey(key));
  }

  /**
   * Puts other tiers in force from the next decision on, in every thread that shares the limiter. Keys keep what they
   * have spent: buckets their fraction, quotas their count. A limiter that was opened with at most two names of limits
   * takes no third, one opened with three or four no fifth; any other takes eight.
   *
   * @throws {TollkeeperError} `ERR_TIERS_INVALID`; then nothing has changed.
   */
  reload(tiers: Tiers): void {
    this.#checkOpen();
    this.#boundTiers.reload(plainTiers(tiers));
  }

  /**
   * Tokens that a single call may cost at most under a tier, by its limits that are above 0, or by the one named; infinite if there
   * are none, or it lacks that. What costs more can never pass; what a limit of 0 stops is denied.
   */
  maxCost(tier: string, limit?: string): number {
    return maxCostOf(this.#boundTiers.of(tier), limit);
  }

  /**
   * Limits that a cost may name under a tier: its own, those in shadow mode, and such as cost nothing because overrides have taken
   * them away or the tier has none.
   *
   * @throws {TollkeeperError} `ERR_TIER_UNKNOWN`, `ERR_LIMITER_CLOSED`
   */
  costNames(tier: string): readonly string[] {
    return this.#boundTiers.of(tier).costNames;
  }

  /** What was counted since the limiter was opened, over all threads that share it. */
  stats(): LimiterStats {
    this.#checkOpen();
    const stats = this.#engine.stats();
    let total = 0;
    const tiers: TierStats[] = [];
    for (const { overflow, ...tier } of stats.tiers) {
      // A call is one decision, of however many shadow limits it asks as well.
      if (shadowedTier(tier.tier) !== undefined) continue;
      total += overflow;
      tiers.push(tier);
    }
    return { engine: this.#engine.kind, ...stats, overflow: total, tiers, shadow: this.#shadowCounts.read() };
  }

  /**
   * Has `observe` told how many seconds a decision took, of one in 256; returns what ends that. If it fails, no decision
   * does: a process warning says so.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  onDecision(observe: Observe): () => void {
    return this.#sampler.add(observe);
  }

  /** Counts a denial that is not enforced: adapters do, in shadow mode. The limit is empty if the cost exceeds them all. */
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
    this.#upkeep.end();
    this.#boundTiers.clear();
    this.#closing ??= this.#engine.close().catch((error) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  /** By itself, since what a function's closures take from it is made at each of its calls. */
  #timed(key: string, tier: string, cost: Cost): Decision {
    return this.#sampler.time(() => this.#decide(key, tier, cost, true)) as Decision;
  }

  #decideTogether(subjects: readonly Subject[]): JointDecision {
    const asked = new Subjects(subjects);
    const nowMs = this.#clock();
    const decided = decideTogether(this.#engine, this.#boundTiers, asked, nowMs);
    const decision = new JointDecision(asked, decided);
    if (decision.allowed) {
      for (const one of decided) if (one instanceof ShadowedDecision) this.#askShadows(one, nowMs, true);
    }
    return decision;
  }

  #decide(key: string, tierName: string, cost: Cost, spends: boolean): Decision {
    const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
    if (Number.isNaN(costMilli)) return this.#decideEach(key, tierName, cost, spends);
    const nowMs = this.#clock(); // Somebody else's code, which may reload.
    let boundTier = this.#boundTiers.of(tierName);
    const { frame } = this.#engine;
    // From here to the last reading nothing else runs.
    frame[TIER] = boundTier.tierId;
    frame[COST] = costMilli;
    frame[NOW] = nowMs;
    frame[CODE] = OUTCOME.FAILED;
    if (spends) this.#engine.consume(key);
    else this.#engine.peek(key);
    const outcome = frame[CODE] as number;
    if (outcome === OUTCOME.TIER_UNKNOWN && this.#boundTiers.renew(tierName)) {
      return this.#decide(key, tierName, cost, spends);
    }
    if (outcome < 0) throw this.#boundTiers.misuse(outcome, key, tierName, cost);
    if (frame[VERSION] !== boundTier.version)
      boundTier = this.#boundTiers.ofVersion(frame[VERSION] as number, tierName, boundTier.tierId);
    if (boundTier.isPlain) return new Decision(boundTier, key, frame, 0, costMilli, spends);
    if (boundTier.shadows.length === 0) return new PlacedDecision(boundTier, key, frame, 0, costMilli, spends);
    return this.#askShadows(new ShadowedDecision(boundTier, key, frame, 0, costMilli, spends), nowMs, spends);
  }

  /**
   * The same where each limit has a cost of its own.
   *
   * @throws {TollkeeperError} `ERR_COST_INVALID` for what is neither.
   */
  #decideEach(key: string, tierName: string, cost: Cost, spends: boolean): Decision {
    if (typeof cost !== "object") throw invalidCost(cost);
    const nowMs = this.#clock();
    const boundTier = this.#boundTiers.of(tierName);
    const costs = eachMilliOf(cost, boundTier);
    // What reads a field may be somebody else's code, which may reload; of a copy it is not.
    if (boundTier.version !== this.#boundTiers.version) return this.#decideEach(key, tierName, { ...cost }, spends);
    const { frame } = this.#engine;
    frame[TIER] = boundTier.tierId;
    frame[COST] = EACH;
    for (let index = 0; index < boundTier.tier.limits.length; index++) frame[COSTS + index] = costs[index] as number;
    frame[VERSION] = boundTier.version;
    frame[NOW] = nowMs;
    frame[CODE] = OUTCOME.FAILED;
    if (spends) this.#engine.consume(key);
    else this.#engine.peek(key);
    const outcome = frame[CODE] as number;
    if (outcome === OUTCOME.TIER_UNKNOWN && this.#boundTiers.renew(tierName)) {
      return this.#decideEach(key, tierName, { ...cost }, spends);
    }
    if (outcome < 0) throw this.#boundTiers.misuse(outcome, key, tierName, tokensOf(costs, boundTier));
    if (boundTier.isPlain) return new Decision(boundTier, key, frame, 0, costs, spends);
    if (boundTier.shadows.length === 0) return new PlacedDecision(boundTier, key, frame, 0, costs, spends);
    return this.#askShadows(new ShadowedDecision(boundTier, key, frame, 0, costs, spends), nowMs, spends);
  }

  /** Has the shadow limits of its tier decide on a call as well. */
  #askShadows(decision: ShadowedDecision, nowMs: number, spends: boolean): Decision {
    const denials = decision.ask((shadow, key, costMilli) => this.#askShadow(shadow, key, costMilli, nowMs, spends));
    if (spends) for (const limit of denials) this.#shadowCounts.add(decision.tier, limit);
    return decision;
  }

  #askShadow(shadow: BoundTier, key: string, costMilli: number, nowMs: number, spends: boolean): ShadowAnswer {
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
    const decider = version === shadow.version ? shadow : { ...shadow, version };
    return new PlacedDecision(decider, key, frame, 0, costMilli, spends);
  }

  #checkOpen(): void {
    if (this.#closed) throw limiterClosed();
  }
}

/** Has the engine read the system's clock. */
function systemClock(): number {
  return -1;
}
