import type { Decision } from "../../src/index.js";
import { type Admission, overBucket } from "./oracle.js";
import { isByPolicy } from "./policy.js";
import type { Process, Replica } from "./process.js";
import { bucketOf } from "./tiers.js";
import { type Mutation, World } from "./world.js";

const LOAD_MS = 5000;
const CALM_MS = 4000;

interface Key {
  readonly name: string;
  readonly admissions: Admission[];
  /** Thousandths admitted and not refunded; and those of them that outage policies let in. */
  net: number;
  byPolicy: number;
}

/**
 * Processes of several threads that share one table and are one replica: threads come, and end in the midst of calls, takes
 * and corrections, closed or not, with the store away or not. What they leave is settled by the others, exactly once.
 */
export async function threads(seed: number, mutation: Mutation = {}): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  return await new Threads(seed, mutation).run();
}

class Threads {
  readonly #world: World;
  readonly #quota: number;
  readonly #tiers;
  readonly #keys: Key[];
  readonly #refunds: number;

  constructor(seed: number, mutation: Mutation) {
    const world = new World(seed, mutation);
    const { random } = world;
    this.#world = world;
    this.#quota = random.pick([20, 200, 1_000_000]);
    const perSecond = random.pick([5, 50]);
    this.#tiers = {
      t: {
        limits: [
          { name: "rate", type: "bucket" as const, limit: 10 * perSecond, windowSeconds: 10, burst: 1 },
          { name: "day", type: "quota" as const, limit: this.#quota, period: "day" as const },
        ],
      },
    };
    this.#keys = ["key0", "key1", "key2"].map((name) => ({ name, admissions: [], net: 0, byPolicy: 0 }));
    this.#refunds = random.pick([0, 0, 0.1, 0.3]);
    for (let process = random.whole(1, 3); process > 0; process--) {
      world.start(this.#tiers, { threads: random.whole(2, 4) });
    }
  }

  async run(): Promise<string[]> {
    const { random, time, processes } = this.#world;
    await this.#world.run(1500);
    const startMs = time.nowMs;
    for (const process of processes) {
      for (let end = random.whole(1, 4); end > 0; end--) {
        time.after(random.between(200, LOAD_MS), () => this.#end(process));
      }
    }
    if (random.chance(0.5)) time.after(random.between(200, LOAD_MS - 1000), () => this.#cut());
    const perMs = random.pick([0.02, 0.1, 0.3]);
    const burst = random.pick([1, 3]);
    for (const key of this.#keys) {
      for (let atMs = startMs; atMs < startMs + LOAD_MS; atMs += -Math.log(1 - random.next()) / (perMs / burst)) {
        time.after(atMs - time.nowMs, () => {
          for (let call = 0; call < burst; call++) this.#call(key);
        });
      }
    }
    await time.runUntil(startMs + LOAD_MS + CALM_MS);
    return this.#verdict(await this.#world.close());
  }

  /** A thread ends, as one that throws, or closed; another may take its place. */
  #end(process: Process, own?: Replica): void {
    const { random, time } = this.#world;
    const open = process.alive.filter(({ isOpen }) => isOpen);
    const thread = own ?? open[random.whole(0, open.length - 1)];
    if (thread === undefined || !thread.isOpen || open.length === 1) return;
    if (random.chance(0.6)) process.end(thread);
    else void process.close(thread);
    if (random.chance(0.6)) time.after(random.between(0, 800), () => process.begin());
  }

  /** The store is away for a while, for some of the threads or for all. */
  #cut(): void {
    const { random, time, alive, processes } = this.#world;
    const part = random.pick([0.3, 1]);
    const links = alive.filter(() => random.chance(part)).map(({ link }) => link);
    const isBroken = random.chance(0.5);
    for (const link of links) {
      if (isBroken) link.breakOff(random.between(100, 1500));
      else link.isCut = true;
    }
    const lastsMs = random.between(300, 1500);
    time.after(lastsMs, () => {
      for (const link of links) link.isCut = false;
    });
    // What outage policies have let in is then for others to tell.
    for (const process of processes) time.after(random.between(0, lastsMs), () => this.#end(process));
  }

  #call(key: Key): void {
    const { random, time, open, mode } = this.#world;
    const replica = open[random.whole(0, open.length - 1)] as Replica;
    const admit = (decision: Decision) => {
      if (!decision.allowed || !replica.isAlive) return;
      const byPolicy = isByPolicy(decision);
      key.admissions.push({ atMs: mode === "exact" ? decision.atMs : time.nowMs, costMilli: 1000, byPolicy });
      key.net += 1000;
      if (byPolicy) key.byPolicy += 1000;
      if (!random.chance(this.#refunds)) return;
      time.after(random.between(0, 500), () => {
        // What fallback limits have refilled meanwhile it has not charged; a bucket would get that back twice.
        if (!replica.isAlive || !decision.refund(byPolicy ? "quotas" : "all")) return;
        key.net -= 1000;
        if (byPolicy) key.byPolicy -= 1000;
        if (random.chance(0.02)) this.#end(replica.process, replica);
      });
    };
    const decided = replica.limiter.consume(key.name, "t");
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  }

  #verdict(violations: string[]): string[] {
    const { mode, leaseMs, leaks } = this.#world;
    const rule = bucketOf(this.#tiers.t);
    const allowed = mode === "exact" ? 0 : (rule.perMs / rule.perMilli) * leaseMs;
    for (const { name, admissions, net, byPolicy } of this.#keys) {
      admissions.sort((a, b) => a.atMs - b.atMs);
      // When a refund has come to the store, of one that another thread has sent, nobody knows.
      const over = this.#refunds > 0 ? 0 : overBucket(rule, admissions);
      if (over > allowed + 1) violations.push(`${name}: ${over / 1000} over, ${allowed / 1000} allowed`);
      const used = this.#world.used(name, "day");
      if (net - byPolicy > 1000 * this.#quota) violations.push(`${name}: ${net / 1000} of ${this.#quota} admitted`);
      if (used < net) violations.push(`${name}: ${(net - used) / 1000} not charged`);
      const tooMuch = used - net - (leaks.get(name) ?? 0);
      if (tooMuch > 0) violations.push(`${name}: ${tooMuch / 1000} charged too much`);
    }
    return violations;
  }
}
