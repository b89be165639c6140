import type { Bucket } from "../../src/engine/bucket.js";
import { createLimiter, type Decision, type Limiter, type TierSpec, type Tiers } from "../../src/index.js";
import type { Weather } from "./network.js";
import { type Admission, overBucket } from "./oracle.js";
import { isByPolicy } from "./policy.js";
import { bucketOf } from "./tiers.js";
import { CALM, type Mutation, type Replica, World } from "./world.js";

const LOAD_MS = 5000;
const CALM_MS = 3000;

type Sizes = readonly [number, number];

/** Sizes of one limit, a minute. */
const SIZES: readonly [Sizes, ...Sizes[]] = [
  [100, 1000],
  [100, 200],
  [1000, 1200],
  [100, 120],
];
const BURST = 1;
const WINDOW_SECONDS = 60;

/** What a run has come to. */
export interface Changes {
  readonly violations: string[];
  readonly admitted: number;
  /** Of keys that change their tier, on one replica: what was let in, and what one process alone lets in, in tokens. */
  readonly flapping: { readonly admitted: number; readonly inMemory: number };
}

interface Key {
  readonly name: string;
  readonly tierAt: (nowMs: number) => string;
  readonly admissions: (Admission & { readonly size: number })[];
  quota: number;
  inMemory: number;
}

/**
 * Replicas in the midst of a rollout, forwards and back, that hold different sizes of one limit; keys that change their tier;
 * calls that move between replicas; one of these whose answers are late; refunds; a server that lets nobody publish for a
 * while, one that finds a key poisoned, and one that comes back with nothing.
 */
export async function changes(seed: number, mutation: Mutation = {}): Promise<Changes> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  return await new Changing(seed, mutation).run();
}

class Changing {
  readonly #world: World;
  readonly #keys: Key[] = [];
  readonly #old: Tiers;
  readonly #new: Tiers;
  readonly #largest: Bucket;
  readonly #memory: Limiter;
  /** Whether outage policies may decide: the store itself is then not all that lets in. */
  readonly #hasFaults: boolean;
  readonly #poisoned: string | undefined;
  readonly #mayForget: boolean;
  /** Whether the server loses all that it was told. */
  readonly #forgets: boolean;
  /** Commands for the poisoned key while it was. */
  #inVain = 0;
  readonly #refunds: number;
  readonly #late: Weather = { delayMs: [5, 40], stall: 0.1, loss: 0 };

  constructor(seed: number, mutation: Mutation) {
    const world = new World(seed, mutation);
    const { random } = world;
    this.#world = world;
    world.server.isLavish = true;
    const [small, large] = random.pick(SIZES);
    const [one, other] = random.chance(0.5) ? [small, large] : [large, small];
    this.#old = { free: tierOf(one), pro: tierOf(random.pick([one, other])) };
    const isRollout = random.chance(0.6);
    this.#new = isRollout ? { free: tierOf(other), pro: tierOf(one) } : this.#old;
    const sizes = [this.#old, this.#new].flatMap((tiers) => Object.values(tiers));
    this.#largest = sizes.map(bucketOf).reduce((a, b) => (b.capacity / b.perMilli > a.capacity / a.perMilli ? b : a));
    const count = random.chance(0.3) ? 1 : random.whole(2, 6);
    // Answers that threads get in one ms may be learned in another order; then what was last learned restores too little.
    this.#mayForget = world.aside.chance(0.25);
    const threads = this.#mayForget ? 1 : world.drawThreads();
    for (let replica = 0; replica < count; replica++) world.start(this.#old, { threads });
    const isLate = random.chance(0.15);
    if (isLate) world.start(this.#old, { weather: this.#late });
    this.#memory = createLimiter({ tiers: this.#old, engine: "js", clock: () => world.time.nowMs });
    const flapMs = random.pick([20, 100, 700]);
    const flaps: ((nowMs: number) => string)[] = [
      () => "free",
      () => "pro",
      () => (random.chance(0.5) ? "free" : "pro"),
      (nowMs) => (Math.floor(nowMs / flapMs) % 2 === 0 ? "free" : "pro"),
    ];
    this.#keys = flaps.map((tierAt, index) => ({
      name: `key${index}`,
      tierAt,
      admissions: [],
      quota: 0,
      inMemory: 0,
    }));
    this.#poisoned = random.chance(0.15) ? "key0" : undefined;
    this.#forgets = !isLate && this.#poisoned === undefined && this.#mayForget;
    this.#hasFaults = isLate || this.#forgets || this.#poisoned !== undefined;
    this.#refunds = random.pick([0, 0, 0.1]);
    if (isRollout) this.#rollOut();
  }

  async run(): Promise<Changes> {
    const { time, server, random } = this.#world;
    await this.#world.run(1500);
    const startMs = time.nowMs;
    if (random.chance(0.3)) {
      time.after(random.between(0, 2000), () => {
        server.refusesPublish = true;
        time.after(random.between(500, 3000), () => {
          server.refusesPublish = false;
        });
      });
    }
    const poisoned = this.#poisoned;
    if (poisoned !== undefined) {
      const asked = () => server.asked.get(poisoned) ?? 0;
      let before = 0;
      time.after(1000, () => {
        before = asked();
        server.foreign.add(poisoned);
      });
      time.after(3000, () => {
        server.foreign.delete(poisoned);
        this.#inVain = asked() - before;
      });
    }
    if (this.#forgets) time.after(random.between(500, 3500), () => this.#forget());
    this.#load(startMs);
    await time.runUntil(startMs + LOAD_MS);
    // All is well again.
    server.refusesPublish = false;
    Object.assign(this.#late, CALM);
    await this.#world.run(CALM_MS + (poisoned === undefined ? 0 : 4000));
    const violations = await this.#world.close();
    await this.#memory.close();
    return this.#verdict(violations);
  }

  /** One replica after another takes the new sizes; some go back half-way. */
  #rollOut(): void {
    const { random, time, alive } = this.#world;
    const isBack = random.chance(0.5);
    for (const [index, { limiter }] of alive.entries()) {
      time.after(1800 + random.between(0, 3000), () => limiter.reload(this.#new));
      if (isBack && index % 2 === 0) time.after(4800 + random.between(0, 1000), () => limiter.reload(this.#old));
    }
  }

  #forget(): void {
    const { server, alive, random, time } = this.#world;
    server.awayUntilMs = time.nowMs + random.between(100, 1000);
    for (const { link } of alive) link.breakOff(random.between(5, 500));
    server.restartEmpty();
  }

  #load(startMs: number): void {
    const { random, time } = this.#world;
    const perMs = random.pick([0.02, 0.1, 0.3]);
    const burst = random.pick([1, 1, 3, 8]);
    const movesMs = random.pick([0, 0, 30, 400]);
    for (const key of this.#keys) {
      for (let atMs = startMs; atMs < startMs + LOAD_MS; atMs += -Math.log(1 - random.next()) / (perMs / burst)) {
        const whose = movesMs === 0 ? random.next() : ((atMs / movesMs) % 7) / 7;
        time.after(atMs - time.nowMs, () => {
          for (let call = 0; call < burst; call++) this.#call(key, movesMs === 0 ? random.next() : whose);
        });
      }
    }
  }

  #call(key: Key, whose: number): void {
    const { time, random, alive, mode } = this.#world;
    const replica = alive[Math.floor(whose * alive.length)] as Replica;
    const tier = key.tierAt(time.nowMs);
    if (this.#isComparable && this.#memory.consume(key.name, tier).allowed) key.inMemory++;
    const admit = (decision: Decision) => {
      if (!decision.allowed) return;
      const [limit] = decision.limits;
      const byPolicy = isByPolicy(decision);
      const atMs = mode === "exact" ? decision.atMs : time.nowMs;
      const size = limit?.limit ?? 0;
      key.admissions.push({ atMs, costMilli: 1000, byPolicy, size });
      key.quota++;
      if (!random.chance(this.#refunds)) return;
      time.after(random.between(0, 1500), () => {
        // What fallback limits have refilled meanwhile it has not charged; a bucket would get that back twice.
        decision.refund(byPolicy ? "quotas" : "all");
        key.quota--;
        // In whole ms, as the store counts the time of others.
        if (!byPolicy) key.admissions.push({ atMs: Math.floor(time.nowMs), costMilli: -1000, byPolicy, size });
      });
    };
    const decided = replica.limiter.consume(key.name, tier);
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  }

  /** Whether one process alone can be asked the same: one replica that keeps its sizes, and nothing that comes back. */
  get #isComparable(): boolean {
    return this.#world.replicas.length === 1 && this.#new === this.#old && this.#refunds === 0 && !this.#hasFaults;
  }

  #verdict(violations: string[]): Changes {
    const { mode, leaseMs, leaks } = this.#world;
    const rule = this.#largest;
    const largest = (rule.capacity / rule.perMilli / 1000) * (1 / BURST);
    const allowed = mode === "exact" ? 0 : (rule.perMs / rule.perMilli) * leaseMs;
    const flapping = { admitted: 0, inMemory: 0 };
    for (const { name, admissions, quota, inMemory } of this.#keys) {
      admissions.sort((a, b) => a.atMs - b.atMs);
      // A token of a smaller limit is a larger part of it: all are told as parts of the largest.
      const parts = admissions.map((one) => ({ ...one, costMilli: (one.costMilli * largest) / one.size }));
      const over = overBucket(rule, parts);
      if (over > allowed + 1) violations.push(`${name}: ${over / 1000} over, ${allowed / 1000} allowed`);
      const used = this.#world.used(name, "day");
      const tooMuch = used - 1000 * quota - (leaks.get(name) ?? 0);
      if (tooMuch > 0 && !this.#forgets) violations.push(`${name}: ${tooMuch / 1000} charged too much`);
      // What a replica has not learned it can't restore.
      const unlearned = this.#forgets ? (this.#world.unlearned.get(name) ?? 0) : 0;
      const missing = 1000 * quota - used - unlearned;
      if (missing > 0) violations.push(`${name}: ${missing / 1000} not charged`);
      if (!this.#isComparable) continue;
      flapping.admitted += admissions.length;
      flapping.inMemory += inMemory;
      if (admissions.length > 1.05 * inMemory + allowed / 1000 + 1) {
        violations.push(`${name}: ${admissions.length} admitted, ${inMemory} in memory`);
      }
      if (admissions.length < 0.9 * inMemory - allowed / 1000 - 3) {
        violations.push(`${name}: only ${admissions.length} admitted, ${inMemory} in memory`);
      }
    }
    const admitted = this.#keys.reduce((sum, { admissions }) => sum + admissions.length, 0);
    // What is under way, and then each replica now and then.
    if (this.#inVain > 20 * this.#world.replicas.length) violations.push(`${this.#inVain} commands for a poisoned key`);
    return { violations, admitted, flapping };
  }
}

function tierOf(limit: number): TierSpec {
  return {
    limits: [
      { name: "rate", type: "bucket", limit, windowSeconds: WINDOW_SECONDS, burst: BURST },
      { name: "day", type: "quota", limit: 1_000_000, period: "day" },
    ],
  };
}
