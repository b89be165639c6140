import { toMilli } from "../engine/amount.js";
import { type Cost, type CostMilli, isFree } from "../engine/cost.js";
import { grantTooLarge } from "../engine/credit.js";
import type { TierStats } from "../engine/engine.js";
import { ADJUST } from "../engine/frame.js";
import type { LeaseEngine } from "../engine/lease-engine.js";
import { plainTiers } from "../engine/plain-tiers.js";
import { shadowedTier } from "../engine/shadow-tiers.js";
import type { Tiers } from "../engine/spec.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import { BoundTiers } from "../limiter/bound-tiers.js";
import { Calls, type Many } from "../limiter/calls.js";
import { eachMilliOf, excessOf, maxCostOf, milliOf, sumOf } from "../limiter/costs.js";
import type { Decision } from "../limiter/decision.js";
import { type GrantOptions, grantOf } from "../limiter/grant.js";
import type { Host, OpenUsage } from "../limiter/host.js";
import { JointDecision } from "../limiter/joint-decision.js";
import { jointExcessOf } from "../limiter/joint-excess.js";
import { checkedKey, invalidCost, limiterClosed } from "../limiter/misuse.js";
import { type Observe, Observers } from "../limiter/observers.js";
import { Sampler } from "../limiter/sampler.js";
import { type ShadowAnswer, ShadowCounts, type ShadowDenials, ShadowedDecision } from "../limiter/shadow.js";
import { type Subject, Subjects } from "../limiter/subjects.js";
import { kindsOf, type LimitKinds } from "../store/limit-kinds.js";
import type { Link } from "../store/protocol.js";
import { JointCalls } from "./joint-calls.js";
import type { LeaseOptions } from "./lease-options.js";
import { Leases } from "./leases.js";
import { ownKey, shadowKey } from "./own-key.js";
import { Parts } from "./parts.js";
import { ReadyGate } from "./ready-gate.js";
import type { Runtime } from "./runtime.js";
import { Session, type SessionStats } from "./session.js";

/** How a shared limiter works. */
export interface SharedSettings extends LeaseOptions {
  /** What this replica holds and knows; it has the tiers. */
  engine: LeaseEngine;
  /** Why `engine` is not the native one, where `"auto"` was asked for. */
  fallbackReason?: string | undefined;
  /** Under which it is counted; for whoever wants to know. */
  prefix?: string;
  link: Link;
  /** Opens the store of what was served; left out where none is kept. */
  openUsage?: OpenUsage;
  runtime: Runtime;
}

/** What a shared limiter has counted since it was opened. */
export interface SharedLimiterStats {
  /** Where it is decided. */
  engine: "redis";
  /** Keys of which something is known or held. */
  keys: number;
  /** Keys of which nothing is known or held any more, or that made room. */
  evictions: number;
  /** Calls whose key found no room. */
  overflow: number;
  /** Places that running calls of this thread hold of limits of concurrency; those that have timed out may be among them for a second. */
  places: number;
  /** Decisions by tier, in this replica. */
  tiers: TierStats[];
  /** What shadow mode would have denied, in this thread. */
  shadow: ShadowDenials[];
  /** How the store has fared, and what is out. */
  store: SessionStats & {
    /** Tokens taken ahead and not yet handed out, as of a quarter of `leaseMs` ago at most. */
    leaseOutstanding: number;
    /** Tokens that a bucket may admit beyond its limit in any window, over all replicas: L/W × `leaseMs`, for the largest. */
    worstCaseOvershoot: number;
    /** Tokens admitted while the store was away that it has not heard of yet. */
    unreconciled: number;
  };
}

/** Decides like a `Limiter`, over all replicas that share one Redis. Made by `createLimiter`. */
export class SharedLimiter {
  /** Why leases are kept in JavaScript though `"auto"` was asked for; undefined if they are not, or that was asked for. */
  readonly fallbackReason: string | undefined;
  readonly #settings: SharedSettings;
  readonly #engine: LeaseEngine;
  readonly #session: Session;
  readonly #leases: Leases;
  readonly #boundTiers: BoundTiers;
  readonly #jointCalls: JointCalls;
  readonly #shadowCounts = new ShadowCounts();
  readonly #sampler = new Sampler();
  readonly #timings = new Observers("onAnswer");
  readonly #readyGate: ReadyGate;
  #kinds: { readonly version: number; readonly kinds: LimitKinds };
  /** Thousandths spent of unlimited tiers that the store has not heard of, by tier. */
  #usage = new Map<string, number>();
  /** Whether this thread was the last of its table when it left. */
  #isLast: boolean | undefined;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(settings: SharedSettings) {
    const { engine, runtime } = settings;
    this.fallbackReason = settings.fallbackReason;
    this.#settings = settings;
    this.#engine = engine;
    this.#readyGate = new ReadyGate(runtime);
    this.#boundTiers = new BoundTiers(engine, {
      correct: (boundTier, key, deltaMilli, atMs, flags) => {
        this.#leases.correct(key, boundTier, deltaMilli, atMs, {
          quotasOnly: (flags & ADJUST.QUOTAS_ONLY) !== 0,
          unused: (flags & ADJUST.UNUSED) !== 0,
        });
        return true;
      },
      release: (_, key, place) => this.#leases.release(key, place),
      clock: settings.clock ?? (() => -1),
      isClosed: () => this.#closing !== undefined,
    });
    this.#kinds = this.#kindsInForce();
    this.#session = new Session(
      settings.link,
      runtime,
      settings.timeoutMs,
      {
        report: () => this.#leases.report(),
        hasState: () => this.#leases.hasState(),
        lanes: () => ({ lane: engine.lane, lanes: this.#lanes() }),
        kinds: () => {
          if (this.#closing === undefined && engine.version !== this.#kinds.version) this.#kinds = this.#kindsInForce();
          return this.#kinds.kinds;
        },
        changed: (key, reset) => this.#leases.changed(key, reset),
        wanted: (key) => this.#leases.wanted(key),
        late: (command, reply) => this.#leases.late(command, reply),
        stateChanged: (state) => {
          this.#leases.stateChanged(state);
          if (state === "ready") this.#readyGate.release();
        },
        drainUsage: () => {
          const usage = this.#usage;
          this.#usage = new Map();
          return usage;
        },
      },
      (seconds) => this.#timings.tell(seconds),
    );
    const parts = { session: this.#session, runtime, options: settings };
    this.#leases = new Leases(new Parts(engine, this.#boundTiers, parts));
    this.#jointCalls = new JointCalls({
      consume: ({ key, boundTier, costMilli }) => this.#ask(boundTier, key, costMilli, true),
      peekAway: ({ key, boundTier, costMilli }) => this.#leases.peekAway(ownKey(key), boundTier, costMilli),
      standing: ({ key, boundTier, costMilli }) => this.#leases.standing(ownKey(key), boundTier, costMilli),
      countDenial: ({ boundTier: { version, tierId, tier } }, { deniedBy }) => {
        this.#engine.count(version, tierId, 1 + tier.limits.findIndex(({ name }) => name === deniedBy));
      },
      askShadows: (decision) => this.#askShadows(decision, true),
    });
    this.#session.open();
  }

  /** Where it is decided. */
  get engine(): "redis" {
    return "redis";
  }

  /** What the names of its keys in Redis begin with: it shares what it counts with the replicas that have the same. */
  get prefix(): string {
    return this.#settings.prefix ?? "";
  }

  /**
   * For a ledger, which counts beside the keys.
   *
   * @internal
   * @throws {TollkeeperError} `ERR_LIMITER_CLOSED`
   */
  get host(): Host | undefined {
    this.#checkOpen();
    const { openUsage, clock = Date.now } = this.#settings;
    return openUsage && { openUsage, clock };
  }

  /** The tiers in force. */
  get tiers(): Tiers {
    return this.#boundTiers.tiers;
  }

  /** Whether decisions are shared now: not while Redis is away, nor while a server that came back hears what was known. */
  get isReady(): boolean {
    return this.#session.state === "ready";
  }

  /**
   * Resolves when decisions are shared. Calls may be made before; they are decided by the outage policy.
   *
   * @throws {TollkeeperError} if that takes longer than `patienceMs`: `ERR_STORE_REFUSED` or `ERR_STORE_UNSUITABLE` if
   * Redis answers and can't be used, `ERR_PACKAGE_MISSING` without ioredis, `ERR_STORE_UNAVAILABLE` otherwise; what keeps
   * it from it is told to `onStorageError`. `ERR_LIMITER_CLOSED`
   */
  async ready(patienceMs = 10_000): Promise<void> {
    this.#checkOpen();
    if (this.isReady) return;
    await this.#readyGate.wait(patienceMs).catch((error: unknown) => {
      const { refusal } = this.#session;
      throw this.#closing === undefined && refusal !== undefined ? refusal : error;
    });
  }

  /**
   * Spends `cost` tokens of every limit of the tier, or of none if any denies. At once if it can be told from what is
   * leased, and otherwise as soon as Redis has answered, after its deadline at the latest.
   *
   * @param key Whose tokens: 1 to 512 UTF-16 units.
   * @param tier The tier of the caller, from your own data.
   * @param cost Tokens, from 0, at most three decimals; or such a number for each limit, by its name, and 0 for one that is
   * left out: then Redis is always asked. 0 always passes and touches nothing.
   * @throws {TollkeeperError} on misuse as `Limiter.consume` does; `ERR_STORE_UNAVAILABLE` while Redis is away under
   * the policy `closed`, or under `share` while it refuses and the other replicas are not known; thrown or as a rejection.
   */
  consume(key: string, tier: string, cost: Cost = 1): Decision | Promise<Decision> {
    if (this.#sampler.isDue) return this.#timed(key, tier, cost);
    return this.#decide(key, tier, cost, true);
  }

  /** Says what `consume` would, and changes nothing; `limits` are as they stand. Throws as `consume` does. */
  peek(key: string, tier: string, cost: Cost = 1): Decision | Promise<Decision> {
    return this.#decide(key, tier, cost, false);
  }

  /**
   * One `consume` per key, in order, each a decision of its own.
   *
   * @throws {TollkeeperError} as `consume` does; for misuse before anything is spent.
   */
  consumeMany(keys: readonly string[], tiers: Many<string>, costs: Many<Cost> = 1): Decision[] | Promise<Decision[]> {
    const calls = new Calls(keys, tiers, costs);
    calls.keys.forEach((key, index) => {
      const boundTier = this.#boundTiers.of(calls.tierOf(index));
      const costMilli = milliOf(calls.costOf(index), boundTier);
      checkedKey(key);
      const excess = excessOf(costMilli, boundTier);
      if (excess !== undefined) throw excess;
    });
    const decisions = calls.keys.map((key, index) => this.consume(key, calls.tierOf(index), calls.costOf(index)));
    const isDecided = (decision: Decision | Promise<Decision>): decision is Decision => !(decision instanceof Promise);
    return decisions.every(isDecided) ? decisions : Promise.all(decisions);
  }

  /**
   * Spends of several subjects at once, of every limit of each, or of none if any denies, as `Limiter.consumeAll` does. Each
   * spends by itself, and has it back if another denies: until that has reached Redis, other calls find so much less.
   *
   * @param subjects 1 to 8. Those of one key and tier are one, and their costs add up.
   * @throws {TollkeeperError} as `consume` does, and `ERR_OPTION_INVALID`; then nothing stays spent.
   */
  consumeAll(subjects: readonly Subject[]): JointDecision | Promise<JointDecision> {
    this.#checkOpen();
    return this.#sampler.isDue
      ? this.#sampler.time(() => this.#decideTogether(subjects))
      : this.#decideTogether(subjects);
  }

  /**
   * Grants a key tokens, as {@link Limiter.grant} does, on all replicas: once, however often Redis has to be told.
   *
   * @throws {TollkeeperError} as `Limiter.grant` does on misuse; `ERR_STORE_UNAVAILABLE` if Redis can't be told, and if it
   * has not acknowledged it for 5 s; the message then says that nobody knows whether it did.
   */
  async grant(key: string, tier: string, tokens: number, options: GrantOptions = {}): Promise<Decision> {
    checkedKey(key);
    const plain = this.#boundTiers.of(tier);
    const grant = grantOf(plain, tokens, options);
    const own = ownKey(key);
    const counted = grant.boundTier === plain ? own : shadowKey(own, grant.boundTier);
    if (!(await this.#leases.grant(counted, grant.boundTier, grant))) throw grantTooLarge();
    return await this.peek(key, tier, 0);
  }

  /**
   * Forgets a key on all replicas: its next call is its first, and what it was granted is gone.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` if Redis can't be told; then it is as it was.
   */
  async reset(key: string): Promise<void> {
    this.#checkOpen();
    const boundTiers = this.#boundTiers.inForce;
    const [boundTier] = boundTiers;
    if (boundTier === undefined) return;
    const shadows = boundTiers.flatMap(({ shadows }) => shadows);
    const own = ownKey(checkedKey(key));
    const keys = new Set([own, ...shadows.map((shadow) => shadowKey(own, shadow))]);
    await Promise.all([...keys].map((reset) => this.#leases.reset(reset, boundTier)));
  }

  /**
   * Puts other tiers in force from the next decision on, in this replica. Keys keep what they have spent: buckets their
   * fraction, quotas their count.
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

  /** What was counted since the limiter was opened, in this replica. */
  stats(): SharedLimiterStats {
    this.#checkOpen();
    const { keys, evictions, overflow, held, tiers } = this.#engine.stats();
    return {
      engine: "redis",
      keys,
      evictions,
      overflow,
      places: this.#leases.places,
      tiers: tiers
        .filter(({ tier }) => shadowedTier(tier) === undefined)
        .map(({ overflow: _, ...counts }): TierStats => counts),
      shadow: this.#shadowCounts.read(),
      store: {
        ...this.#session.stats(),
        leaseOutstanding: held / 1000,
        worstCaseOvershoot: this.#settings.mode === "exact" ? 0 : this.#overshoot(),
        unreconciled: this.#leases.unreconciled / 1000,
      },
    };
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

  /** Counts a denial that is not enforced; the plugin does, in shadow mode. */
  countShadow(tier: string, limit: string): void {
    this.#shadowCounts.add(tier, limit);
  }

  /**
   * Has `observe` told how many seconds each answer of Redis took, as {@link onDecision} does.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  onAnswer(observe: Observe): () => void {
    return this.#timings.add(observe);
  }

  /**
   * Gives back what is leased, charges what is unreconciled, and lets go. Decisions made from then on throw
   * `ERR_LIMITER_CLOSED`. Calling it again is fine.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#boundTiers.clear();
    this.#readyGate.release(limiterClosed());
    this.#isLast = await this.#leases.drain();
    await this.#session.close();
    this.#leases.close();
  }

  /** By itself, since what a function's closures take from it is made at each of its calls. */
  #timed(key: string, tier: string, cost: Cost): Decision | Promise<Decision> {
    return this.#sampler.time(() => this.#decide(key, tier, cost, true));
  }

  #decide(key: string, tierName: string, cost: Cost, spends: boolean): Decision | Promise<Decision> {
    const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
    const boundTier = costMilli > 0 && spends ? this.#boundTiers.of(tierName) : undefined;
    // Nearly every call, with nothing else between, so that V8 makes one piece of it. What else is amiss is told by the engine.
    if (boundTier?.isLeased && this.#session.isReady) {
      return this.#leases.consume(checkedKey(key), boundTier, costMilli);
    }
    return this.#decideBesides(key, tierName, cost, spends);
  }

  #decideBesides(key: string, tierName: string, cost: Cost, spends: boolean): Decision | Promise<Decision> {
    const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
    if (Number.isNaN(costMilli)) return this.#decideEach(key, tierName, cost, spends);
    const boundTier = this.#boundTiers.of(tierName);
    checkedKey(key);
    if (costMilli > boundTier.tier.maxCostMilli) throw excessOf(costMilli, boundTier);
    const decided = this.#ask(boundTier, key, costMilli, spends);
    return boundTier.shadows.length === 0 ? decided : this.#askShadows(decided, spends);
  }

  /**
   * The same where each limit has a cost of its own.
   *
   * @throws {TollkeeperError} `ERR_COST_INVALID` for what is neither.
   */
  #decideEach(key: string, tierName: string, cost: Cost, spends: boolean): Decision | Promise<Decision> {
    if (typeof cost !== "object") throw invalidCost(cost);
    const boundTier = this.#boundTiers.of(tierName);
    const costs = eachMilliOf(cost, boundTier);
    checkedKey(key);
    const excess = excessOf(costs, boundTier);
    if (excess !== undefined) throw excess;
    const decided = this.#ask(boundTier, key, costs, spends);
    return boundTier.shadows.length === 0 ? decided : this.#askShadows(decided, spends);
  }

  #decideTogether(subjects: readonly Subject[]): JointDecision | Promise<JointDecision> {
    const asked = new Subjects(subjects);
    const calls = asked.map(({ key, tier, costs }) => {
      const boundTier = this.#boundTiers.of(tier);
      const costMilli = sumOf(costs, boundTier);
      const excess = excessOf(costMilli, boundTier);
      if (excess !== undefined) throw excess;
      return { key: checkedKey(key), boundTier, costMilli };
    });
    const excess = jointExcessOf(calls);
    if (excess !== undefined) throw asked.blaming(excess.calls, excess.error);
    const decided = this.#jointCalls.decide(calls);
    if (!(decided instanceof Promise)) return new JointDecision(asked, decided);
    return decided.then((decisions) => new JointDecision(asked, decisions));
  }

  /** Counts what an unlimited tier has spent. */
  #use(tier: string, costMilli: number): void {
    this.#usage.set(tier, (this.#usage.get(tier) ?? 0) + costMilli);
  }

  #ask(boundTier: BoundTier, key: string, costMilli: CostMilli, spends: boolean): Decision | Promise<Decision> {
    const { name, limits } = boundTier.tier;
    const own = ownKey(key);
    const isOfEach = typeof costMilli !== "number";
    if (spends && limits.length === 0) this.#use(name, isOfEach ? Math.max(0, ...costMilli) : costMilli);
    if (!spends || isFree(costMilli, limits.length)) return this.#leases.peek(own, boundTier, costMilli, spends);
    if (isOfEach) return this.#leases.consumeAlone(own, boundTier, costMilli);
    return this.#leases.consumeOwn(own, boundTier, costMilli);
  }

  /** Has the shadow limits of its tier decide on a call as well. */
  async #askShadows(decided: Decision | Promise<Decision>, spends: boolean): Promise<Decision> {
    const decision = await decided;
    if (!(decision instanceof ShadowedDecision)) return decision;
    const denials = await decision.askLater((shadow, key, costMilli) =>
      this.#askShadow(shadow, key, costMilli, spends),
    );
    if (spends) for (const limit of denials) this.#shadowCounts.add(decision.tier, limit);
    return decision;
  }

  /** A shadow limit has a key of its own in Redis, and a lease of its own: it never holds up what is in force. */
  async #askShadow(shadow: BoundTier, key: string, costMilli: number, spends: boolean): Promise<ShadowAnswer> {
    if (costMilli > shadow.tier.maxCostMilli) return "denied";
    try {
      const own = shadowKey(key, shadow);
      return await (spends && costMilli > 0
        ? this.#leases.consumeOwn(own, shadow, costMilli)
        : this.#leases.peek(own, shadow, costMilli, spends));
    } catch {
      return undefined; // Redis is away, or the limit was just taken away by a reload.
    }
  }

  #overshoot(): number {
    const leased = this.#boundTiers.all.filter(({ tier }) => !tier.isExact);
    const rates = leased.flatMap(({ tier }) =>
      tier.limits.flatMap(({ rule }) => (rule.type === "bucket" ? [rule.perMs / rule.perMilli] : [])),
    );
    return (Math.max(0, ...rates) * this.#settings.leaseMs) / 1000;
  }

  #kindsInForce() {
    const { version } = this.#engine;
    return { version, kinds: kindsOf(this.#boundTiers.inForce.map(({ tier }) => tier)) };
  }

  /** Threads of this replica, this one among them. */
  #lanes(): number {
    const { users } = this.#engine;
    if (this.#isLast === undefined) return users;
    return this.#isLast ? 1 : users + 1;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw limiterClosed();
  }
}
