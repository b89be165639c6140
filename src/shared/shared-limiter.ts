import { toMilli } from "../engine/amount.js";
import type { TierStats } from "../engine/engine.js";
import { plainTiers } from "../engine/plain-tiers.js";
import type { Tiers } from "../engine/spec.js";
import type { Tier } from "../engine/tier.js";
import { TollkeeperError } from "../errors.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import { Calls, type Many } from "../limiter/calls.js";
import type { Decision } from "../limiter/decision.js";
import { checkedKey, excessiveCost, invalidCost, limiterClosed } from "../limiter/misuse.js";
import { type Observe, Observers } from "../limiter/observers.js";
import { Sampler } from "../limiter/sampler.js";
import { type ShadowAnswer, ShadowCounts, type ShadowDenials, ShadowedDecision } from "../limiter/shadow.js";
import type { Link } from "../store/protocol.js";
import type { LeaseOptions } from "./lease-options.js";
import { SWEEPS } from "./lease-releaser.js";
import { LeaseTable } from "./lease-table.js";
import { Leases } from "./leases.js";
import { CLOSED } from "./outage.js";
import { allowedOutcome, type Outcome } from "./outcome.js";
import { ReadyGate } from "./ready-gate.js";
import type { Runtime } from "./runtime.js";
import { Session, type SessionStats } from "./session.js";
import { type Corrector, SharedTier } from "./shared-tier.js";
import { SharedTiers } from "./shared-tiers.js";
import { TierCounts } from "./tier-counts.js";

/** How a shared limiter works. */
export interface SharedSettings extends LeaseOptions {
  tiers: Tiers;
  maxKeys: number;
  /** Under which it is counted; for whoever wants to know. */
  prefix?: string;
  link: Link;
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
  readonly #settings: SharedSettings;
  readonly #session: Session;
  readonly #leases: Leases;
  readonly #boundTiers: SharedTiers;
  readonly #counts = new TierCounts();
  readonly #shadowCounts = new ShadowCounts();
  readonly #sampler = new Sampler();
  readonly #timings = new Observers("onAnswer");
  readonly #readyGate: ReadyGate;
  /** Thousandths spent of unlimited tiers that the store has not heard of, by tier. */
  #usage = new Map<string, number>();
  #stopSweep: () => void = () => undefined;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(settings: SharedSettings) {
    this.#settings = settings;
    this.#readyGate = new ReadyGate(settings.runtime);
    this.#session = new Session(
      settings.link,
      settings.runtime,
      settings.timeoutMs,
      {
        report: () => this.#leases.report(),
        hasState: () => this.#leases.hasState(),
        kinds: () => this.#boundTiers.kinds,
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
    this.#leases = new Leases(new LeaseTable(settings.maxKeys), this.#session, settings.runtime, settings);
    const corrector: Corrector = {
      isClosed: () => this.#closing !== undefined,
      clock: () => this.#leases.storeMs(),
      correct: (key, correction) => {
        const boundTier = this.#boundTiers.by(correction.tier) ?? new SharedTier(correction.tier, -1, -1, corrector);
        this.#leases.correct(key, boundTier, correction);
      },
    };
    this.#boundTiers = new SharedTiers(settings.tiers, corrector);
    this.#counts.include(Object.keys(this.tiers));
    this.#sweepLater();
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
   * @param cost Tokens, from 0, at most three decimals; 0 always passes and touches nothing.
   * @throws {TollkeeperError} on misuse as `Limiter.consume` does; `ERR_STORE_UNAVAILABLE` while Redis is away under
   * the policy `closed`, or under `share` while it refuses and the other replicas are not known; thrown or as a rejection.
   */
  consume(key: string, tier: string, cost = 1): Decision | Promise<Decision> {
    const { boundTier, own, costMilli } = this.#check(key, tier, cost);
    const decide = () => this.#askShadows(boundTier, this.#decide(boundTier, own, costMilli, true), true);
    return this.#sampler.isDue ? this.#sampler.time(decide) : decide();
  }

  /** Says what `consume` would, and changes nothing; `limits` are as they stand. Throws as `consume` does. */
  peek(key: string, tier: string, cost = 1): Decision | Promise<Decision> {
    const { boundTier, own, costMilli } = this.#check(key, tier, cost);
    return this.#askShadows(boundTier, this.#decide(boundTier, own, costMilli, false), false);
  }

  /**
   * One `consume` per key, in order, each a decision of its own.
   *
   * @throws {TollkeeperError} as `consume` does; for misuse before anything is spent.
   */
  consumeMany(keys: readonly string[], tiers: Many<string>, costs: Many<number> = 1): Decision[] | Promise<Decision[]> {
    const calls = new Calls(keys, tiers, costs);
    calls.keys.forEach((key, index) => void this.#check(key, calls.tierOf(index), calls.costOf(index)));
    const decisions = calls.keys.map((key, index) => this.consume(key, calls.tierOf(index), calls.costOf(index)));
    const isDecided = (decision: Decision | Promise<Decision>): decision is Decision => !(decision instanceof Promise);
    return decisions.every(isDecided) ? decisions : Promise.all(decisions);
  }

  /**
   * Forgets a key on all replicas: its next call is its first.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` if Redis can't be told; then it is as it was.
   */
  async reset(key: string): Promise<void> {
    this.#checkOpen();
    const boundTiers = this.#boundTiers.all;
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
    this.#counts.include(Object.keys(this.tiers));
  }

  /** Tokens that a single call may cost at most under a tier; infinite for an unlimited one. */
  maxCost(tier: string): number {
    return this.#boundTiers.of(tier).tier.maxCostMilli / 1000;
  }

  /** What was counted since the limiter was opened, in this replica. */
  stats(): SharedLimiterStats {
    this.#checkOpen();
    const { table } = this.#leases;
    const { leased, unreconciled } = this.#leases.outstanding();
    return {
      engine: "redis",
      keys: table.size,
      evictions: table.evictions,
      overflow: table.overflow,
      tiers: this.#counts.read(),
      shadow: this.#shadowCounts.read(),
      store: {
        ...this.#session.stats(),
        leaseOutstanding: leased / 1000,
        worstCaseOvershoot: this.#settings.mode === "exact" ? 0 : this.#overshoot(),
        unreconciled: unreconciled / 1000,
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
    this.#stopSweep();
    this.#readyGate.release(limiterClosed());
    await this.#leases.drain();
    await this.#session.close();
  }

  #check(key: string, tierName: string, cost: number): { boundTier: SharedTier; own: string; costMilli: number } {
    const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
    if (Number.isNaN(costMilli)) throw invalidCost(cost);
    const boundTier = this.#boundTiers.of(tierName);
    checkedKey(key);
    if (costMilli > boundTier.tier.maxCostMilli) {
      throw excessiveCost(cost, boundTier.tier.name, boundTier.tier.maxCostMilli / 1000);
    }
    return { boundTier, own: ownKey(key), costMilli };
  }

  #decide(boundTier: SharedTier, key: string, costMilli: number, spends: boolean): Decision | Promise<Decision> {
    const { tier } = boundTier;
    if (tier.limits.length === 0) {
      if (spends && costMilli > 0) this.#usage.set(tier.name, (this.#usage.get(tier.name) ?? 0) + costMilli);
      const outcome = allowedOutcome({ nowMs: this.#leases.storeMs(), lagMs: 0 }, []);
      return this.#finish(boundTier, key, costMilli, outcome, spends);
    }
    this.#checkPart(tier);
    const seen =
      spends && costMilli > 0
        ? this.#leases.consume(key, boundTier, costMilli)
        : this.#leases.peek(key, boundTier, costMilli);
    return seen instanceof Promise
      ? seen.then((outcome) => this.#finish(boundTier, key, costMilli, outcome, spends))
      : this.#finish(boundTier, key, costMilli, seen, spends);
  }

  /** Has the shadow limits of its tier decide on a call as well. */
  #askShadows(
    boundTier: SharedTier,
    decided: Decision | Promise<Decision>,
    spends: boolean,
  ): Decision | Promise<Decision> {
    if (boundTier.shadows.length === 0) return decided;
    const ask = async (decision: Decision): Promise<Decision> => {
      if (!(decision instanceof ShadowedDecision)) return decision;
      const denials = await decision.askLater((shadow, key, costMilli) =>
        this.#askShadow(shadow, key, costMilli, spends),
      );
      if (spends) for (const limit of denials) this.#shadowCounts.add(decision.tier, limit);
      return decision;
    };
    return decided instanceof Promise ? decided.then(ask) : ask(decided);
  }

  /** A shadow limit has a key of its own in Redis, and a lease of its own: it never holds up what is in force. */
  async #askShadow({ tier }: BoundTier, key: string, costMilli: number, spends: boolean): Promise<ShadowAnswer> {
    const shadow = this.#boundTiers.by(tier);
    if (shadow === undefined) return undefined;
    if (costMilli > tier.maxCostMilli) return "denied";
    const own = shadowKey(key, shadow);
    const outcome = await (spends
      ? this.#leases.consume(own, shadow, costMilli)
      : this.#leases.peek(own, shadow, costMilli));
    return outcome === CLOSED ? undefined : shadow.decide(own, costMilli, outcome, spends);
  }

  #finish(
    boundTier: SharedTier,
    key: string,
    costMilli: number,
    outcome: Outcome | typeof CLOSED,
    spends: boolean,
  ): Decision {
    if (outcome === CLOSED) {
      throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis can't be asked, and the outage policy is closed");
    }
    const { name, limits } = boundTier.tier;
    if (spends) this.#counts.add(name, outcome.denied === 0 ? undefined : limits[outcome.denied - 1]?.name);
    return boundTier.decide(key, costMilli, outcome, spends);
  }

  /**
   * A store that refuses is seldom met by one replica alone. Before it is known how many there are, each would take the
   * whole limit for its part.
   */
  #checkPart({ limits }: Tier): void {
    const { refusal, knowsReplicas } = this.#session;
    if (refusal === undefined || knowsReplicas) return;
    const { policies } = this.#settings;
    if (limits.every(({ rule }) => policies[rule.type] !== "share")) return;
    throw new TollkeeperError("ERR_STORE_UNAVAILABLE", `no part of the limit is known: ${refusal.message}`, {
      cause: refusal,
    });
  }

  #overshoot(): number {
    const rates = this.#boundTiers.all.flatMap(({ tier }) =>
      tier.limits.flatMap(({ rule }) => (rule.type === "bucket" ? [rule.perMs / rule.perMilli] : [])),
    );
    return (Math.max(0, ...rates) * this.#settings.leaseMs) / 1000;
  }

  #sweepLater(): void {
    const { runtime, leaseMs } = this.#settings;
    this.#stopSweep = runtime.after(leaseMs / SWEEPS, () => {
      this.#leases.sweep();
      if (this.#closing === undefined) this.#sweepLater();
    });
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw limiterClosed();
  }
}

/** Under which a key is counted: a NUL in it is doubled, so that none is what a shadow limit counts under. */
function ownKey(key: string): string {
  return key.includes("\0") ? key.replaceAll("\0", "\0\0") : key;
}

/** Under which a shadow limit counts what such a key would have spent. */
function shadowKey(own: string, { tier }: BoundTier): string {
  return `${own}\0${tier.limits.map(({ name }) => name).join()}`;
}
