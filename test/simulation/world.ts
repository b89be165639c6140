import { SimulatedTime } from "../../bench/simulated-time.js";
import type { Tiers } from "../../src/index.js";
import { SharedLimiter } from "../../src/shared/shared-limiter.js";
import { leasesOf } from "./limiter.js";
import { type Garble, type Leaks, type Sabotage, SimulatedLink, type Weather } from "./network.js";
import { Random } from "./random.js";
import { ScriptModel } from "./script-model.js";
import { Server } from "./server.js";

export const NOON = Date.UTC(2026, 5, 15, 12);

/** How long, in ms, a call waits for the store. */
export const TIMEOUT_MS = 50;
/** How the network behaves when nothing is wrong. */
export const CALM: Weather = { delayMs: [0.1, 2], stall: 0, loss: 0 };

/** What is broken on purpose, to see that it is noticed. */
export interface Mutation {
  readonly sabotage?: () => Sabotage;
  readonly garble?: Garble;
  /** Whether a refused PUBLISH ends a script that has written. */
  readonly isUnguarded?: boolean;
  /** Whether the numbers of corrections are kept for good. */
  readonly isHoarding?: boolean;
}

/** One process among several. */
export interface Replica {
  readonly limiter: SharedLimiter;
  readonly link: SimulatedLink;
  isAlive: boolean;
}

/** A simulated server and the replicas that share it. */
export class World {
  readonly random: Random;
  readonly time = new SimulatedTime(NOON);
  readonly server: Server;
  readonly replicas: Replica[] = [];
  /** What has gone astray by key, in thousandths: spent in the store, and of use to nobody. */
  readonly leaks: Leaks = new Map();
  readonly mode: "leased" | "exact";
  readonly leaseMs: number;
  readonly #sabotage: Sabotage;
  readonly #garble: Garble;
  #made = 0;

  constructor(seed: number, { sabotage, garble, isUnguarded = false, isHoarding = false }: Mutation) {
    this.random = new Random(seed);
    this.mode = this.random.chance(0.15) ? "exact" : "leased";
    this.leaseMs = this.random.pick([200, 500, 1000]);
    this.#sabotage = sabotage?.() ?? ((command) => command);
    this.#garble = garble ?? ((reply) => reply);
    this.server = new Server(this.time);
    this.server.isUnguarded = isUnguarded;
    if (isHoarding) this.server.keys = new ScriptModel(Number.POSITIVE_INFINITY);
    const others = (caller: string) => this.alive.filter(({ link }) => link.caller !== caller);
    this.server.publish = (caller, key, reset) => {
      for (const { link } of others(caller)) link.changed(key, reset);
    };
    this.server.want = (caller, key) => {
      for (const { link } of others(caller)) link.wanted(key);
    };
  }

  get alive(): readonly Replica[] {
    return this.replicas.filter(({ isAlive }) => isAlive);
  }

  start(tiers: Tiers, weather = CALM): Replica {
    const { time, server, random, leaks } = this;
    const replica = {} as Replica;
    const link = new SimulatedLink(`replica${this.#made++}`, {
      time,
      server,
      random,
      weather,
      sabotage: this.#sabotage,
      garble: this.#garble,
      leaks,
    });
    const runtime = time.runtime(random.between(0, 1e6));
    const whileAlive = (task: () => void) => () => {
      if (replica.isAlive) task();
    };
    const settings = { maxKeys: 1000, leaseMs: this.leaseMs, timeoutMs: TIMEOUT_MS };
    const limiter = new SharedLimiter({
      engine: leasesOf(tiers, settings),
      ...settings,
      mode: this.mode,
      policies: { bucket: "share", quota: "share" },
      clock: undefined,
      link,
      runtime: {
        ...runtime,
        after: (ms, task) => runtime.after(ms, whileAlive(task)),
        soon: (task) => runtime.soon(whileAlive(task)),
      },
    });
    this.replicas.push(Object.assign(replica, { limiter, link, isAlive: true }));
    return replica;
  }

  /** Ends a replica as `kill -9` does. */
  kill(replica: Replica): void {
    replica.isAlive = false;
    replica.link.breakOff(Number.MAX_SAFE_INTEGER);
    void replica.link.close();
  }

  async run(ms: number): Promise<void> {
    await this.time.runUntil(this.time.nowMs + ms);
  }

  /** Closes every replica; says which have not closed within 2 s. */
  async close(): Promise<string[]> {
    const open = new Set(this.alive);
    for (const replica of this.alive) void replica.limiter.close().then(() => open.delete(replica));
    await this.run(2000);
    return [...open].map(({ link }) => `${link.caller} has not closed`);
  }

  /** Thousandths of a quota that the store has counted. */
  used(key: string, limit: string): number {
    return this.server.keys.spent(key, limit, this.time.nowMs) ?? 0;
  }
}
