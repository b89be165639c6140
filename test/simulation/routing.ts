import type { Decision } from "../../src/index.js";
import { isByPolicy } from "./policy.js";
import { type Mutation, type Replica, TIMEOUT_MS, World } from "./world.js";

/** A wait, in ms, above which nothing but the end of the period can be meant. */
const FINAL_MS = 60_000;
/** Simulated ms after which callers that still wait will wait for ever. */
const END_MS = 120_000;

/** What callers of one quota came to. */
export interface Routing {
  readonly violations: string[];
  readonly served: number;
  readonly quota: number;
  /** How long, in ms, a caller was put off at most before it was served, or told that the quota is used up. */
  readonly longestMs: { readonly served: number; readonly final: number };
  readonly leaseMs: number;
}

/**
 * Callers of one key with one quota, who call again when they are told to, until they are told that it is used up. The calls
 * go to replicas by some rule, and replicas come and go.
 */
export async function routing(seed: number, mutation: Mutation = {}): Promise<Routing> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  return await new Routed(seed, mutation).run();
}

class Routed {
  readonly #world: World;
  readonly #quota: number;
  readonly #route: (call: number) => number;
  readonly #paceMs: number;
  readonly #tiers;
  /** The replicas that calls go to. */
  readonly #open = new Set<Replica>();
  #calls = 0;
  #served = 0;
  #final = 0;
  readonly #longestMs = { served: 0, final: 0 };
  #byPolicy = 0;

  constructor(seed: number, mutation: Mutation) {
    const world = new World(seed, mutation);
    const { random } = world;
    this.#world = world;
    this.#quota = random.whole(5, 500);
    this.#tiers = {
      t: { limits: [{ name: "day", type: "quota" as const, limit: this.#quota, period: "day" as const }] },
    };
    const count = random.pick([1, 2, 2, 3, 5, 9]);
    for (let replica = 0; replica < count; replica++) this.#start();
    const every = random.pick([1, 10, 100]);
    const movesMs = random.pick([50, 400, 2000]);
    this.#route = random.pick<(call: number) => number>([
      (call) => Math.floor(call / every),
      () => Math.floor(world.time.nowMs / movesMs),
      () => random.whole(0, 100),
    ]);
    this.#paceMs = random.pick([0.2, 3, 20]);
  }

  async run(): Promise<Routing> {
    const { random, time, leaseMs } = this.#world;
    await this.#world.run(1500);
    const callers = random.pick([1, 1, 4]);
    for (let caller = 0; caller < callers; caller++) this.#callAgain(undefined);
    if (random.chance(0.3)) this.#renew();
    for (const endMs = time.nowMs + END_MS; this.#final < callers && time.nowMs < endMs; ) await this.#world.run(200);
    const violations = await this.#world.close();
    if (this.#final < callers) violations.push(`${callers - this.#final} of ${callers} callers were never told`);
    if (this.#served !== this.#quota) violations.push(`${this.#served} served of ${this.#quota}`);
    // A lease, what its return takes, and the answer.
    const { served, final } = this.#longestMs;
    // Of what is granted unasked nobody knows how long it lies idle.
    const isAsked = this.#world.server.generousMilli === 0;
    if (isAsked && served > 1.5 * leaseMs + 2 * TIMEOUT_MS) {
      violations.push(`a caller was put off for ${served} ms, with leases of ${leaseMs} ms`);
    }
    // What came back may have been taken ahead once more, and others be served of it.
    if (isAsked && final > 3 * leaseMs + 2 * TIMEOUT_MS) violations.push(`a caller was told after ${final} ms`);
    if (this.#byPolicy > 0) violations.push(`${this.#byPolicy} decided by the outage policy`);
    const used = this.#world.used("key", "day");
    if (used !== 1000 * this.#served) violations.push(`${used / 1000} counted, ${this.#served} served`);
    return { violations, served: this.#served, quota: this.#quota, longestMs: this.#longestMs, leaseMs };
  }

  /** Replicas are closed, one after another, and others come instead. */
  #renew(): void {
    const { time, random, processes } = this.#world;
    for (const { threads } of [...processes]) {
      time.after(random.between(0, 4000), () => {
        this.#start();
        for (const replica of threads) {
          time.after(500, () => {
            this.#open.delete(replica);
            void replica.process.close(replica);
          });
        }
      });
    }
  }

  /** Starts a replica, which is called once it is ready. */
  #start(): void {
    const world = this.#world;
    for (const replica of world.start(this.#tiers, { threads: world.drawThreads() })) {
      void replica.limiter.ready().then(
        () => this.#open.add(replica),
        () => undefined, // It was closed before.
      );
    }
  }

  #callAgain(putOffMs: number | undefined): void {
    const { time, random } = this.#world;
    const open = [...this.#open];
    const replica = open[this.#route(this.#calls++) % open.length] as Replica;
    const decided = (decision: Decision) => {
      if (isByPolicy(decision)) this.#byPolicy++;
      const waitedMs = time.nowMs - (putOffMs ?? time.nowMs);
      const { allowed, retryAfterMs } = decision;
      const end = allowed ? "served" : "final";
      this.#longestMs[end] = Math.max(this.#longestMs[end], waitedMs);
      if (allowed) this.#served++;
      else if (retryAfterMs > FINAL_MS) {
        this.#final++;
        return;
      }
      const wait = allowed ? random.between(0, 2 * this.#paceMs) : retryAfterMs;
      time.after(wait, () => this.#callAgain(allowed ? undefined : (putOffMs ?? time.nowMs - wait)));
    };
    const answer = replica.limiter.consume("key", "t");
    if (answer instanceof Promise) void answer.then(decided);
    else decided(answer);
  }
}
