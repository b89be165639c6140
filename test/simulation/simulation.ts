import { SimulatedTime } from "../../bench/simulated-time.js";
import { type CostMilli, costAt, mostOf } from "../../src/engine/cost.js";
import type { Tier } from "../../src/engine/tier.js";
import { compileTiers } from "../../src/engine/tier.js";
import type { Cost, Decision, Tiers } from "../../src/index.js";
import type { Leaks, Weather } from "./network.js";
import { type Admission, type Arrival, ideal, levelAt, ofLimit, overBucket } from "./oracle.js";
import { isByPolicy, refilled } from "./policy.js";
import { type Ground, Process, type Replica } from "./process.js";
import { Random } from "./random.js";
import { Server } from "./server.js";
import { type Mutation, NOON, TIMEOUT_MS } from "./world.js";

const MIDNIGHT = Date.UTC(2026, 5, 16);
const LOAD_MS = 9000;
/** How long anything is away, in ms, mostly; and when it is away for longer than a replica is remembered. */
const AWAY_MS = [100, 2000] as const;
const LONG_MS = [3000, 5000] as const;
const CALM_MS = 3500;
const CLOSE_MS = 2000;

const FAULTS = ["cut one", "cut all", "break", "crash", "restart empty", "failover"] as const;
type Fault = (typeof FAULTS)[number];

/** What a run has come to. Amounts are in tokens. */
export interface Outcome {
  readonly violations: readonly string[];
  readonly faults: readonly Fault[];
  readonly calls: number;
  readonly admitted: number;
  readonly byPolicy: number;
  /** The largest part of the allowed overshoot of a bucket that was used. */
  readonly overshoot: number;
  /** What was let in where nothing went wrong, and what could have been, in thousandths. */
  readonly calm: { readonly admitted: number; readonly ideal: number };
}

interface Ledger {
  readonly tier: Tier;
  readonly arrivals: Arrival[];
  readonly admissions: (Omit<Admission, "costMilli"> & Arrival)[];
  /** By limit. */
  readonly admittedMilli: number[];
  /** Calls that an outage policy has let in or denied. */
  byPolicy: number;
}

/** Runs some replicas, their load and their misfortunes, all of which the seed says. */
export async function simulate(seed: number, mutation: Mutation = {}): Promise<Outcome> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  return await new Simulation(seed, mutation).run();
}

class Simulation {
  readonly #random: Random;
  readonly #ground: Ground;
  /** Whether the first fault lasts long: drawn apart, so that a seed means otherwise what it did without. */
  readonly #isLong: boolean;
  /** What some calls cost each limit by itself: drawn apart, too. */
  readonly #each: Random;
  readonly #eachShare: number;
  readonly #time: SimulatedTime;
  readonly #server: Server;
  readonly #processes: Process[] = [];
  readonly #ledgers = new Map<string, Ledger>();
  readonly #leaks: Leaks = new Map();
  readonly #weather: { delayMs: readonly [number, number]; stall: number; loss: number };
  readonly #faults: Fault[] = [];
  readonly #tiers: Tiers;
  readonly #crossesMidnight: boolean;
  /** What nobody can know any more, in thousandths by key: told to a replica that crashed. */
  #unknowable = 0;
  /** The first grant of each key that was made while the store missed something. */
  readonly #blind = new Map<string, string>();
  /** What those still have to be told of who share a table with a thread that has ended, in thousandths at most. */
  #left = 0;

  constructor(seed: number, { sabotage, spoil }: Mutation) {
    const random = new Random(seed);
    this.#random = random;
    this.#isLong = new Random(~seed).chance(0.15);
    this.#each = new Random(seed ^ 0xeac4);
    this.#eachShare = this.#each.pick([0, 0, 0.2, 1]);
    this.#crossesMidnight = random.chance(0.1);
    this.#time = new SimulatedTime(this.#crossesMidnight ? MIDNIGHT - random.whole(1000, 7000) : NOON);
    this.#server = new Server(this.#time);
    this.#server.publish = (caller, key, reset) => {
      for (const { link } of this.#alive) if (link.caller !== caller) link.changed(key, reset);
    };
    this.#server.want = (caller, key) => {
      for (const { link } of this.#alive) if (link.caller !== caller) link.wanted(key);
    };
    this.#server.granted = (key) => this.#granted(key);
    const isRough = random.chance(0.5);
    this.#weather = {
      delayMs: random.pick([
        [0.1, 0.5],
        [0.2, 3],
        [1, 15],
      ]),
      stall: isRough ? random.between(0, 0.02) : 0,
      loss: isRough ? random.between(0, 0.02) : 0,
    };
    this.#ground = {
      ...{ time: this.#time, server: this.#server, random, aside: new Random(seed ^ 0x5eed), leaks: this.#leaks },
      ...{ sabotage: sabotage?.() ?? ((command) => command), spoil },
      mode: random.chance(0.15) ? "exact" : "leased",
      leaseMs: random.pick([200, 500, 1000]),
      timeoutMs: TIMEOUT_MS,
      maxKeys: 1000,
      unlearned: new Map(),
    };
    this.#tiers = tiersOf(random);
    for (const [key, tier] of compileTiers(this.#tiers, new Map())) {
      const admittedMilli = tier.limits.map(() => 0);
      this.#ledgers.set(key, { tier, arrivals: [], admissions: [], admittedMilli, byPolicy: 0 });
    }
  }

  get #alive(): readonly Replica[] {
    return this.#processes.flatMap(({ alive }) => alive);
  }

  async run(): Promise<Outcome> {
    refilled.clear();
    const replicas = this.#random.whole(1, 9);
    for (let replica = 0; replica < replicas; replica++) this.#start();
    const startMs = this.#time.nowMs;
    this.#time.after(1500, () => this.#load(startMs + 1500));
    const faults = this.#random.chance(0.3) ? 0 : this.#random.whole(1, 2);
    for (let fault = 0; fault < faults; fault++) {
      this.#time.after(2500 + 4000 * fault + this.#random.between(0, 500), () => this.#break());
    }
    await this.#time.runUntil(startMs + LOAD_MS);
    // All is well again; what was unreconciled is charged, leases are given back, and everybody leaves.
    Object.assign(this.#weather, { stall: 0, loss: 0 });
    await this.#time.runUntil(startMs + LOAD_MS + CALM_MS);
    const violations = await this.#closeAll();
    return this.#verdict([...violations, ...this.#blind.values()]);
  }

  /** Closes every limiter; returns which of them has not closed in good time. */
  async #closeAll(): Promise<string[]> {
    const open = new Map<string, number>();
    const { nowMs } = this.#time;
    for (const replica of this.#alive) {
      const name = `${replica.link.caller}.${replica.engine.lane}`;
      open.set(name, nowMs);
      void replica.process.close(replica).then(() => open.delete(name));
    }
    await this.#time.runUntil(nowMs + CLOSE_MS);
    return [...open.keys()].map((caller) => `${caller} has not closed within ${CLOSE_MS} ms`);
  }

  /** Nothing is granted while the store has not heard of what was let in, unless its replica has yet to say so. */
  #granted(key: string): void {
    const ledger = this.#ledgers.get(key);
    if (ledger === undefined || this.#crossesMidnight) return;
    for (const [index, { name, rule }] of ledger.tier.limits.entries()) {
      if (rule.type === "bucket" || this.#blind.has(key)) continue;
      const used = this.#server.keys.spent(key, name, this.#time.nowMs) ?? 0;
      const uncharged = (ledger.admittedMilli[index] ?? 0) - this.#excused() - this.#left - used;
      const missing = uncharged > 0 ? uncharged - this.#unreconciled() : 0;
      if (missing <= 0) continue;
      this.#blind.set(key, `${key}.${name}: granted while ${missing / 1000} were not charged`);
    }
  }

  #unreconciled(): number {
    const open = this.#alive.filter(({ isOpen }) => isOpen);
    return open.reduce((sum, { limiter }) => sum + limiter.stats().store.unreconciled * 1000, 0);
  }

  /** What may have been lost by those who alone knew of it, in thousandths. */
  #excused(): number {
    const forgets = this.#faults.includes("restart empty") || this.#faults.includes("failover");
    return this.#faults.includes("crash") && forgets ? Number.POSITIVE_INFINITY : this.#unknowable;
  }

  #start(): void {
    const { aside } = this.#ground;
    const threads = aside.chance(0.25) ? aside.whole(2, 4) : 1;
    const process = new Process(
      this.#ground,
      `replica${this.#processes.length}`,
      this.#tiers,
      this.#weather as Weather,
      threads,
    );
    this.#processes.push(process);
    if (threads > 1) this.#time.after(aside.between(1500, LOAD_MS), () => this.#endThread(process));
  }

  /** One of a process's threads ends or is closed, and mostly another one comes. */
  #endThread(process: Process): void {
    const { aside } = this.#ground;
    const open = process.alive.filter(({ isOpen }) => isOpen);
    const thread = open[aside.whole(0, open.length - 1)];
    if (thread === undefined || open.length === 1) return;
    this.#left += thread.limiter.stats().store.unreconciled * 1000;
    if (aside.chance(0.5)) process.end(thread);
    else void process.close(thread);
    if (aside.chance(0.7)) {
      this.#time.after(aside.between(0, 500), () => {
        if (!process.isKilled) process.begin();
      });
    }
  }

  /** Calls at random moments, on replicas that are more or less favoured. */
  #load(startMs: number): void {
    const random = this.#random;
    const skew = random.pick([0, 0, 1, 2]);
    const bulk = random.pick([0, 0.2]);
    for (const [key, { tier }] of this.#ledgers) {
      const perMs = (tokensPerMs(tier) * random.between(0.5, 3)) / (1 + bulk);
      let atMs = startMs;
      const burstMs = random.pick([0, 0, random.between(200, 1500)]);
      for (;;) {
        atMs += -Math.log(1 - random.next()) / perMs / (burstMs > 0 ? 4 : 1);
        // Bursts: nothing for three parts of the time, four times as much in the fourth.
        if (burstMs > 0 && (atMs - startMs) % (4 * burstMs) > burstMs) {
          atMs = startMs + Math.ceil((atMs - startMs) / (4 * burstMs)) * 4 * burstMs;
        }
        if (atMs >= startMs + LOAD_MS - 1500 - 500) break;
        const whose = random.next() ** (1 + skew);
        const cost = random.chance(bulk) ? 2 : 1;
        const asked = this.#each.chance(this.#eachShare) ? this.#costOfEach(tier, cost) : cost;
        this.#time.after(atMs - this.#time.nowMs, () => this.#call(key, whose, asked));
      }
    }
  }

  /** A cost of which each limit has its part, but for some that have none. */
  #costOfEach({ limits }: Tier, most: number): Cost {
    const costs = limits.map(({ name, rule: { maxCostMilli } }) => {
      const cost = this.#each.pick([0, 0.5, 1, 1.25]) * most;
      return [name, Math.min(cost, maxCostMilli / 1000)] as const;
    });
    return Object.fromEntries(costs.filter(([, cost]) => cost > 0));
  }

  #call(key: string, whose: number, cost: Cost): void {
    const open = this.#alive.filter(({ isOpen }) => isOpen);
    const replica = open[Math.floor(whose * open.length)];
    const ledger = this.#ledgers.get(key);
    if (replica === undefined || ledger === undefined) return;
    const { limits } = ledger.tier;
    const costMilli: CostMilli =
      typeof cost === "number" ? cost * 1000 : limits.map(({ name }) => (cost[name] ?? 0) * 1000);
    ledger.arrivals.push({ atMs: this.#time.nowMs, costMilli });
    const decided = replica.limiter.consume(key, key, cost);
    const admit = (decision: Decision) => {
      const byPolicy = isByPolicy(decision);
      if (byPolicy) ledger.byPolicy++;
      if (!decision.allowed || !replica.isAlive) return;
      // Where the store decides on a call, its time counts, at which it did; the answer may be long under way.
      const isExact = this.#ground.mode === "exact" || typeof cost !== "number";
      const atMs = isExact ? decision.atMs : this.#time.nowMs;
      ledger.admissions.push({ atMs, costMilli, byPolicy });
      limits.forEach((_, index) => {
        ledger.admittedMilli[index] = (ledger.admittedMilli[index] ?? 0) + costAt(costMilli, index);
      });
    };
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  }

  #break(): void {
    const random = this.#random;
    const fault = random.pick(FAULTS);
    this.#faults.push(fault);
    const alive = this.#alive;
    const [first = alive[0]] = [alive[random.whole(0, alive.length - 1)]];
    const [leastMs, mostMs] = this.#isLong && this.#faults.length === 1 ? LONG_MS : AWAY_MS;
    const lastsMs = random.between(leastMs, mostMs);
    const cut = (replicas: readonly Replica[]) => {
      for (const { link } of replicas) link.isCut = true;
      this.#time.after(lastsMs, () => {
        for (const { link } of replicas) link.isCut = false;
      });
    };
    const reconnect = (downMs: number) => {
      this.#server.awayUntilMs = this.#time.nowMs + downMs;
      for (const { link } of alive) link.breakOff(random.between(5, 500));
    };
    switch (fault) {
      case "cut one":
        if (first) cut([first]);
        break;
      case "cut all":
        cut(alive);
        break;
      case "break":
        reconnect(0);
        break;
      case "crash":
        if (first) this.#crash(first);
        break;
      case "restart empty":
        reconnect(lastsMs);
        this.#server.restartEmpty();
        break;
      case "failover":
        reconnect(lastsMs);
        this.#server.failOver(random.between(0, 1000));
        break;
    }
  }

  #crash({ process }: Replica): void {
    // Where the store forgets as well, what this replica was granted may be known to nobody.
    for (const { limiter, isOpen } of process.alive)
      if (isOpen) this.#unknowable += limiter.stats().store.unreconciled * 1000;
    this.#unknowable += this.#left;
    process.kill();
    this.#time.after(this.#random.between(200, 2000), () => this.#start());
  }

  // biome-ignore lint/complexity/noExcessiveCognitiveComplexity: the promises one after another, as documented
  #verdict(violations: string[]): Outcome {
    const has = (...faults: Fault[]) => this.#faults.some((fault) => faults.includes(fault));
    const forgets = has("restart empty", "failover");
    const isCalm = this.#faults.length === 0 && this.#weather.loss === 0 && this.#leaks.size === 0;
    for (const { admissions } of this.#ledgers.values()) admissions.sort((a, b) => a.atMs - b.atMs);
    let overshoot = 0;
    const calm = { admitted: 0, ideal: 0 };
    for (const [key, { tier, arrivals, admissions: all, byPolicy }] of this.#ledgers) {
      const excused = this.#excused();
      for (const [index, { name, rule }] of tier.limits.entries()) {
        const admissions = ofLimit(all, index);
        if (rule.type === "bucket") {
          const allowed = this.#ground.mode === "exact" ? 0 : (rule.perMs / rule.perMilli) * this.#ground.leaseMs;
          const over = overBucket(rule, admissions);
          if (over > allowed + excused + 0.001) {
            violations.push(`${key}.${name}: ${over / 1000} over, ${allowed / 1000} allowed`);
          }
          // What replicas hold, and use later than it is taken, drains from the bucket for `leaseMs` less.
          const level = levelAt(rule, admissions, this.#time.nowMs);
          const used = this.#server.keys.spent(key, name, this.#time.nowMs) ?? 0;
          const lost = level - used / rule.perMilli - allowed - excused - (refilled.get(`${key}.${name}`) ?? 0);
          // What is charged after an outage is rounded to thousandths.
          if (lost > 1) violations.push(`${key}.${name}: ${lost / 1000} not charged`);
          if (allowed > 0) overshoot = Math.max(overshoot, over / allowed);
          continue;
        }
        if (rule.type === "concurrency") continue;
        const byPeriod = new Map<number, number>();
        for (const { atMs, costMilli, byPolicy } of admissions) {
          const { startMs } = rule.periodOf(atMs);
          if (!byPolicy) byPeriod.set(startMs, (byPeriod.get(startMs) ?? 0) + costMilli);
        }
        for (const admitted of byPeriod.values()) {
          if (admitted <= rule.maxCostMilli + excused) continue;
          violations.push(`${key}.${name}: ${admitted / 1000} of ${rule.maxCostMilli / 1000} admitted`);
        }
        if (this.#crossesMidnight) continue;
        const admitted = admissions.reduce((sum, { costMilli }) => sum + costMilli, 0);
        const used = this.#server.keys.spent(key, name, this.#time.nowMs) ?? 0;
        if (used + excused < admitted) violations.push(`${key}.${name}: ${(admitted - used) / 1000} not charged`);
        const leaked = this.#leaks.get(key) ?? 0;
        if (!forgets && !has("crash") && used > admitted + leaked) {
          violations.push(`${key}.${name}: ${(used - admitted - leaked) / 1000} charged too much`);
        }
      }
      if (isCalm && byPolicy === 0) {
        const admitted = all.reduce((sum, { costMilli }) => sum + mostOf(costMilli, tier.limits.length), 0);
        const best = ideal(key, tier, arrivals);
        calm.admitted += admitted;
        calm.ideal += best;
        if (admitted + 3000 < 0.9 * best) {
          violations.push(`${key}: ${admitted / 1000} admitted, ${best / 1000} could have been`);
        }
      }
    }
    const all = [...this.#ledgers.values()];
    const sum = (of: (ledger: Ledger) => number) => all.reduce((total, ledger) => total + of(ledger), 0);
    return {
      violations,
      faults: this.#faults,
      calls: sum(({ arrivals }) => arrivals.length),
      admitted: sum(({ admissions }) => admissions.length),
      byPolicy: sum(({ admissions }) => admissions.filter(({ byPolicy }) => byPolicy).length),
      overshoot,
      calm,
    };
  }
}

/** One tier per key, of the same name. */
function tiersOf(random: Random): Tiers {
  const bucket = () => {
    const perSecond = random.between(2, 40);
    const windowSeconds = random.pick([1, 5, 20, 60]);
    const limit = Math.max(1, Math.round(perSecond * windowSeconds));
    return { name: "rate", type: "bucket" as const, limit, windowSeconds, burst: random.pick([1, 1.5, 2]) };
  };
  const quota = () => ({
    name: "day",
    type: "quota" as const,
    limit: random.whole(5, 300),
    period: "day" as const,
  });
  return { a: { limits: [bucket()] }, b: { limits: [bucket(), quota()] }, c: { limits: [quota()] } };
}

/** How fast tokens can be spent that the load is to match. */
function tokensPerMs({ limits }: Tier): number {
  return Math.min(
    ...limits.map(({ rule }) =>
      rule.type === "bucket"
        ? Math.max(rule.perMs, rule.capacity / LOAD_MS) / rule.perMilli / 1000
        : rule.maxCostMilli / 1000 / LOAD_MS,
    ),
    0.15,
  );
}
