import { toMilli } from "../engine/amount.js";
import type { TierStats, Tiers } from "../engine/types.js";
import { TollkeeperError } from "../errors.js";
import type { Link, Surroundings } from "../store/protocol.js";
import { Session, type SessionStats } from "../store/session.js";
import { type Decision, invalidCost } from "./decision.js";
import { Judges } from "./judges.js";
import { LeaseTable } from "./lease-table.js";
import { type LeaseOptions, Leases } from "./leases.js";
import { at, checkedKey, checkLength, invalidOption, unknownTier } from "./limiter.js";
import { CLOSED } from "./outage.js";
import type { SharedJudge } from "./shared-judge.js";
import type { View } from "./view.js";

/** How a shared limiter works. */
export interface SharedSettings extends LeaseOptions {
  tiers: Tiers;
  maxKeys: number;
  timeoutMs: number;
  link: Link;
  around: Surroundings;
}

/** What a shared limiter has counted since it was opened. */
export interface SharedLimiterStats {
  engine: "redis";
  /** Keys of which something is known or held. */
  keys: number;
  evictions: number;
  /** Calls whose key found no room. */
  overflow: number;
  tiers: TierStats[];
  store: SessionStats & {
    /** Tokens taken ahead and not yet handed out. */
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
  readonly #judges: Judges;
  readonly #timings = new Set<(seconds: number) => void>();
  #usage = new Map<string, number>();
  #stopSweep: () => void = () => undefined;
  #waiting = new Set<() => void>();
  #closing: Promise<void> | undefined;

  constructor(settings: SharedSettings) {
    this.#settings = settings;
    this.#session = new Session(
      settings.link,
      settings.around,
      settings.timeoutMs,
      {
        tell: () => this.#leases.tell(),
        knows: () => this.#leases.knows(),
        changed: (key, reset) => this.#leases.changed(key, reset),
        late: (command, reply) => this.#leases.late(command, reply),
        entered: (state) => {
          this.#leases.entered(state);
          if (state === "together") for (const resolve of this.#waiting) resolve();
        },
        takeUsage: () => {
          const usage = this.#usage;
          this.#usage = new Map();
          return usage;
        },
      },
      (seconds) => {
        for (const observe of this.#timings) observe(seconds);
      },
    );
    this.#leases = new Leases(new LeaseTable(settings.maxKeys), this.#session, settings.around, settings);
    this.#judges = new Judges(settings.tiers, {
      isClosed: () => this.#closing !== undefined,
      clock: () => this.#leases.storeMs(),
      correct: (key, correction) => this.#leases.correct(key, this.#judges.of(correction.tier), correction),
    });
    this.#sweepLater();
    this.#session.open();
  }

  /** Where it is decided. */
  get engine(): "redis" {
    return "redis";
  }

  /** The tiers in force. */
  get tiers(): Tiers {
    return this.#judges.tiers;
  }

  /** Whether decisions are shared now: not while Redis is away, nor while a server that came back hears what is known. */
  get isTogether(): boolean {
    return this.#session.state === "together";
  }

  /**
   * Resolves when decisions are shared. Calls may be made before; they are decided by the outage policy.
   *
   * @throws {TollkeeperError} `ERR_STORE_UNAVAILABLE` if that takes longer than `patienceMs`; what keeps it from it is
   * told to `onStorageError`. `ERR_LIMITER_CLOSED`
   */
  async ready(patienceMs = 10_000): Promise<void> {
    this.#checkOpen();
    if (this.isTogether) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (done: () => void) => () => {
        cancel();
        this.#waiting.delete(joined);
        done();
      };
      const late = new TollkeeperError("ERR_STORE_UNAVAILABLE", `Redis was not ready within ${patienceMs} ms`);
      const cancel = this.#settings.around.after(
        patienceMs,
        settle(() => reject(late)),
      );
      const joined = settle(resolve);
      this.#waiting.add(joined);
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
   * the policy `closed`, thrown or as a rejection.
   */
  consume(key: string, tier: string, cost = 1): Decision | Promise<Decision> {
    const { judge, costMilli } = this.#check(key, tier, cost);
    if (judge.tier.limits.length === 0) {
      if (costMilli > 0) this.#usage.set(tier, (this.#usage.get(tier) ?? 0) + costMilli);
      return this.#finish(
        judge,
        key,
        costMilli,
        { denied: 0, waitMs: 0, nowMs: this.#leases.storeMs(), spent: [] },
        true,
      );
    }
    const decided = costMilli === 0 ? this.#leases.peek(key, judge, 0) : this.#leases.consume(key, judge, costMilli);
    return decided instanceof Promise
      ? decided.then((view) => this.#finish(judge, key, costMilli, view, true))
      : this.#finish(judge, key, costMilli, decided, true);
  }

  /** Says what `consume` would, and changes nothing; `limits` are as they stand. Throws as `consume` does. */
  peek(key: string, tier: string, cost = 1): Decision | Promise<Decision> {
    const { judge, costMilli } = this.#check(key, tier, cost);
    if (judge.tier.limits.length === 0) {
      return this.#finish(
        judge,
        key,
        costMilli,
        { denied: 0, waitMs: 0, nowMs: this.#leases.storeMs(), spent: [] },
        false,
      );
    }
    const seen = this.#leases.peek(key, judge, costMilli);
    return seen instanceof Promise
      ? seen.then((view) => this.#finish(judge, key, costMilli, view, false))
      : this.#finish(judge, key, costMilli, seen, false);
  }

  /**
   * One `consume` per key, in order, each a decision of its own.
   *
   * @throws {TollkeeperError} as `consume` does; for misuse before anything is spent.
   */
  consumeMany(
    keys: readonly string[],
    tiers: string | readonly string[],
    costs: number | readonly number[] = 1,
  ): Decision[] | Promise<Decision[]> {
    if (!Array.isArray(keys)) throw invalidOption("keys", keys, "an array of keys");
    checkLength("tiers", tiers, keys.length);
    checkLength("costs", costs, keys.length);
    const calls = keys.map((key, index) => ({ key, tier: at(tiers, index), cost: at(costs, index) }));
    for (const { key, tier, cost } of calls) this.#check(key, tier, cost);
    const decisions = calls.map(({ key, tier, cost }) => this.consume(key, tier, cost));
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
    const judge = this.#judges.any;
    if (judge !== undefined) await this.#leases.reset(checkedKey(key), judge);
  }

  /**
   * Puts other tiers in force from the next decision on, in this replica. Keys keep what they have spent: buckets their
   * fraction, quotas their count.
   *
   * @throws {TollkeeperError} `ERR_TIERS_INVALID`; then nothing has changed.
   */
  reload(tiers: Tiers): void {
    this.#checkOpen();
    this.#judges.enact(tiers);
  }

  /** Tokens that a single call may cost at most under a tier; infinite for an unlimited one. */
  maxCost(tier: string): number {
    return this.#judge(tier).tier.maxCostMilli / 1000;
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
      tiers: this.#judges.stats(),
      store: {
        ...this.#session.stats(),
        leaseOutstanding: leased / 1000,
        worstCaseOvershoot:
          this.#settings.mode === "exact" ? 0 : (this.#judges.highestRate * this.#settings.leaseMs) / 1000,
        unreconciled: unreconciled / 1000,
      },
    };
  }

  /** Has `observe` told how many seconds each answer of Redis took; returns what ends that. */
  onAnswer(observe: (seconds: number) => void): () => void {
    this.#timings.add(observe);
    return () => void this.#timings.delete(observe);
  }

  /**
   * Gives back what is leased, charges what is owed, and lets go. Decisions made from then on throw
   * `ERR_LIMITER_CLOSED`. Calling it again is fine.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#judges.clear();
    this.#stopSweep();
    await this.#leases.drain();
    await this.#session.close();
  }

  #check(key: string, tierName: string, cost: number): { judge: SharedJudge; costMilli: number } {
    const costMilli = typeof cost === "number" ? toMilli(cost) : Number.NaN;
    if (Number.isNaN(costMilli)) throw invalidCost(cost);
    const judge = this.#judge(tierName);
    checkedKey(key);
    if (costMilli > judge.tier.maxCostMilli) {
      throw new TollkeeperError(
        "ERR_COST_EXCEEDS_CAPACITY",
        `cost is ${cost}, which can never pass: tier ${tierName} holds at most ${this.maxCost(tierName)}`,
      );
    }
    return { judge, costMilli };
  }

  #finish(judge: SharedJudge, key: string, costMilli: number, view: View | typeof CLOSED, spends: boolean): Decision {
    if (view === CLOSED) {
      throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis can't be asked, and the outage policy is closed");
    }
    if (spends) judge.count(view.denied);
    return judge.decide(key, costMilli, view, spends);
  }

  #judge(name: string): SharedJudge {
    const judge = this.#judges.get(name);
    if (judge !== undefined) return judge;
    this.#checkOpen();
    throw unknownTier(name, this.#judges.named);
  }

  #sweepLater(): void {
    const { around, leaseMs } = this.#settings;
    this.#stopSweep = around.after(leaseMs / 4, () => {
      this.#leases.sweep();
      if (this.#closing === undefined) this.#sweepLater();
    });
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new TollkeeperError("ERR_LIMITER_CLOSED", "the limiter is closed");
  }
}
