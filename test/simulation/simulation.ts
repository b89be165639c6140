import { SimulatedTime } from "../../bench/simulated-time.js";
import { type CostMilli, costAt, mostOf } from "../../src/engine/cost.js";
import { compileTiers, type Tier } from "../../src/engine/tier.js";
import type { Cost, Decision, Tiers } from "../../src/index.js";
import { Ledger } from "./ledger.js";
import type { Leaks, Weather } from "./network.js";
import { ideal } from "./oracle.js";
import { isByPolicy, refilled } from "./policy.js";
import { type Ground, Process, type Replica } from "./process.js";
import { Random } from "./random.js";
import { Running } from "./running.js";
import { Server } from "./server.js";
import { placedTier, tiersOf, tokensPerMs } from "./tiers.js";
import { verdictOn } from "./verdict.js";
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

/** Makes another seed of one, by which those seeds that once found something mean what they did. */
const BESIDES = 0x615e5;
/** The key whose calls take places, which is also its tier. */
const PLACED = "d";

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
  /** What befalls a key besides calls: drawn apart, too. */
  readonly #besides: Random;
  /** How many of the calls are charged more later, or settled; and how many grants there are. */
  readonly #correctedShare: number;
  readonly #grants: number;
  /** Calls that run under a limit of concurrency, if there is one. */
  readonly #running: Running | undefined;
  readonly #places: number;
  /** Whether a thread has ended whose places nobody gives back. */
  #hasEndedThread = false;
  readonly #time: SimulatedTime;
  readonly #server: Server;
  readonly #processes: Process[] = [];
  readonly #ledgers = new Map<string, Ledger>();
  readonly #violations: string[] = [];
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
    this.#besides = new Random(seed ^ BESIDES);
    this.#correctedShare = this.#besides.pick([0, 0, 0, 0.2, 0.7]);
    this.#grants = this.#besides.pick([0, 0, 0, 3, 12]);
    this.#places = this.#besides.pick([0, 0, 0, this.#besides.whole(1, 8)]);
    this.#running = this.#places > 0 ? new Running(this.#places) : undefined;
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
    this.#server.dropped = (replica) => this.#running?.drop(replica);
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
    this.#tiers = {
      ...tiersOf(random),
      ...(this.#places > 0 && { [PLACED]: placedTier(this.#places, this.#besides) }),
    };
    for (const [key, tier] of compileTiers(this.#tiers, new Map())) this.#ledgers.set(key, new Ledger(tier));
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
    this.#time.after(1500, () => this.#befall());
    const faults = this.#random.chance(0.3) ? 0 : this.#random.whole(1, 2);
    for (let fault = 0; fault < faults; fault++) {
      this.#time.after(2500 + 4000 * fault + this.#random.between(0, 500), () => this.#break());
    }
    await this.#time.runUntil(startMs + LOAD_MS);
    // All is well again; what was unreconciled is charged, leases are given back, and everybody leaves.
    Object.assign(this.#weather, { stall: 0, loss: 0 });
    await this.#time.runUntil(startMs + LOAD_MS + CALM_MS);
    if (this.#running !== undefined) await this.#checkFree();
    this.#violations.push(...(await this.#closeAll()), ...this.#blind.values());
    return this.#verdict(this.#violations);
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
      if (rule.type !== "quota" || this.#blind.has(key)) continue;
      const used = (this.#server.keys.spent(key, name, this.#time.nowMs) ?? 0) + ledger.grantedMilli(index).most;
      const uncharged = ledger.spentMilli(index) - this.#excused() - this.#left - used;
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
    this.#hasEndedThread = true;
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
    for (const [key, { tier }] of [...this.#ledgers].filter(([key]) => key !== PLACED)) {
      const perMs = (tokensPerMs(tier, LOAD_MS) * random.between(0.5, 3)) / (1 + bulk);
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

  /** What befalls keys besides calls that spend: grants, and calls that take places. */
  #befall(): void {
    const besides = this.#besides;
    const lastsMs = LOAD_MS - 1500 - 500;
    const quotas = [...this.#ledgers].flatMap(([key, { tier }]) =>
      tier.limits.flatMap(({ rule }, index) => (rule.type === "quota" ? [{ key, index }] : [])),
    );
    for (let grant = 0; grant < this.#grants; grant++) {
      const { key, index } = besides.pick(quotas as [(typeof quotas)[number], ...typeof quotas]);
      this.#time.after(besides.between(0, lastsMs), () => this.#grant(key, index));
    }
    if (this.#running === undefined) return;
    for (let atMs = 0; atMs < lastsMs; atMs += besides.between(0, 1000 / this.#places)) {
      const whose = besides.next();
      this.#time.after(atMs, () => this.#call(PLACED, whose, 1));
    }
  }

  #grant(key: string, index: number): void {
    const besides = this.#besides;
    const open = this.#alive.filter(({ isOpen }) => isOpen);
    const replica = open[besides.whole(0, open.length - 1)];
    const [tokens, keep] = [besides.pick([0.5, 1, 5, 20]), besides.chance(0.3)];
    const ledger = this.#ledgers.get(key);
    const { name: limit } = ledger?.tier.limits[index] ?? {};
    if (replica === undefined || ledger === undefined || limit === undefined) return;
    const heard = ledger.grant(index, Math.floor(this.#time.nowMs), tokens * 1000);
    const refused = (error: Error) => {
      if (error.message.includes("decisions are not shared")) heard(false);
    };
    replica.limiter.grant(key, key, tokens, { limit, keep }).then(() => heard(true), refused);
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
      const isExact = this.#ground.mode === "exact" || ledger.tier.isExact || typeof cost !== "number";
      const atMs = isExact ? decision.atMs : this.#time.nowMs;
      // A thread that is being closed decides what it was asked before, and charges that as it goes.
      if (byPolicy && !replica.isOpen) this.#left += mostOf(costMilli, ledger.tier.limits.length);
      ledger.admit({ atMs, costMilli, byPolicy });
      if (ledger.tier.hasPlaces) this.#run(replica, decision);
      else if (this.#besides.chance(this.#correctedShare)) this.#correct(replica, ledger, decision, costMilli);
    };
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  }

  /** Has a call that was let in run for a while. */
  #run(replica: Replica, decision: Decision): void {
    const said = (wrong: readonly string[] = []) => {
      const after = `after ${Math.round(this.#time.nowMs)}`;
      this.#violations.push(...wrong.map((what) => `${PLACED}: ${what} ${after}`));
    };
    said(this.#running?.begin(replica, decision));
    this.#time.after(this.#besides.between(5, 1500), () => said(this.#running?.end(replica, decision)));
  }

  /** Charges a call more, or settles it, a while after it was let in. */
  #correct(replica: Replica, ledger: Ledger, decision: Decision, costMilli: CostMilli): void {
    const besides = this.#besides;
    const byPolicy = isByPolicy(decision);
    // What fallback limits have refilled meanwhile it has not charged; a bucket would get that back twice.
    const isSettled = besides.chance(0.5) && !byPolicy;
    const tokens = besides.pick([0, 0.25, 0.5, 1, 2, 3]);
    this.#time.after(besides.between(0, 800), () => {
      if (!replica.isAlive) return;
      const isDone = isSettled ? decision.settle(tokens) : decision.charge(tokens);
      if (!isDone) return;
      const before = isSettled ? ledger.tier.limits.map((_, index) => costAt(costMilli, index)) : [];
      const deltas = ledger.tier.limits.map((_, index) => tokens * 1000 - (before[index] ?? 0));
      ledger.correct({ atMs: Math.floor(this.#time.nowMs), costMilli: deltas, byPolicy });
    });
  }

  /** Once nothing runs any more, every place is free again, of those that were killed as well. */
  async #checkFree(): Promise<void> {
    // Longer than it takes until a replica counts as gone and all have heard so.
    await this.#time.runUntil(this.#time.nowMs + 6000);
    const [replica] = this.#alive.filter(({ isOpen }) => isOpen);
    // What a failover has lost of releases is over at the timeout, and so is what threads held that have ended.
    if (replica === undefined || this.#hasEndedThread || this.#faults.includes("failover")) return;
    let free = 0;
    for (let call = 0; call < this.#places; call++) {
      void Promise.resolve(replica.limiter.consume(PLACED, PLACED)).then(({ allowed }) => {
        if (allowed) free++;
      });
    }
    await this.#time.runUntil(this.#time.nowMs + 1000);
    if (free < this.#places)
      this.#violations.push(`${PLACED}: ${this.#places - free} of ${this.#places} places are still taken`);
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

  #verdict(violations: string[]): Outcome {
    const has = (...faults: Fault[]) => this.#faults.some((fault) => faults.includes(fault));
    const isCalm = this.#faults.length === 0 && this.#weather.loss === 0 && this.#leaks.size === 0;
    const circumstances = {
      ...{ keys: this.#server.keys, nowMs: this.#time.nowMs, excused: this.#excused() },
      aheadMs: this.#ground.mode === "exact" ? 0 : this.#ground.leaseMs,
      ...{
        forgets: has("restart empty", "failover"),
        hasCrashed: has("crash"),
        crossesMidnight: this.#crossesMidnight,
      },
    };
    let overshoot = 0;
    const calm = { admitted: 0, ideal: 0 };
    for (const [key, ledger] of this.#ledgers) {
      const { tier, arrivals, byPolicy } = ledger;
      const verdict = verdictOn(key, ledger, { ...circumstances, leaked: this.#leaks.get(key) ?? 0 });
      violations.push(...verdict.violations);
      overshoot = Math.max(overshoot, verdict.overshoot);
      if (isCalm && byPolicy === 0 && ledger.isOfCalls && !tier.hasPlaces) {
        const admitted = ledger.admissions.reduce(
          (sum, { costMilli }) => sum + mostOf(costMilli, tier.limits.length),
          0,
        );
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
