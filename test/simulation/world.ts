import { SimulatedTime } from "../../bench/simulated-time.js";
import type { Tiers } from "../../src/index.js";
import type { Spoil } from "./engine-mutations.js";
import type { Garble, Leaks, Sabotage, Weather } from "./network.js";
import { type Ground, Process, type Replica } from "./process.js";
import { Random } from "./random.js";
import { ScriptModel } from "./script-model.js";
import { Server } from "./server.js";

export type { Replica } from "./process.js";

export const NOON = Date.UTC(2026, 5, 15, 12);

/** How long, in ms, a call waits for the store. */
export const TIMEOUT_MS = 50;
/** How the network behaves when nothing is wrong. */
export const CALM: Weather = { delayMs: [0.1, 2], stall: 0, loss: 0 };

/** What is broken on purpose, to see that it is noticed. */
export interface Mutation {
  readonly sabotage?: () => Sabotage;
  readonly garble?: Garble;
  /** Breaks the engine of leases. */
  readonly spoil?: Spoil;
  /** Whether a refused PUBLISH ends a script that has written. */
  readonly isUnguarded?: boolean;
  /** Whether the numbers of corrections are kept for good. */
  readonly isHoarding?: boolean;
}

/** A simulated server and the replicas that share it. */
export class World implements Ground {
  readonly random: Random;
  /** Draws what came to a world later, so that the rest of a seed means what it did without. */
  readonly aside: Random;
  readonly time: SimulatedTime;
  readonly server: Server;
  readonly processes: Process[] = [];
  /** What has gone astray by key, in thousandths: spent in the store, and of use to nobody. */
  readonly leaks: Leaks = new Map();
  readonly unlearned: Leaks = new Map();
  readonly mode: "leased" | "exact";
  readonly leaseMs: number;
  readonly timeoutMs = TIMEOUT_MS;
  readonly maxKeys: number;
  readonly sabotage: Sabotage;
  readonly garble: Garble;
  readonly spoil: Spoil | undefined;

  /** `maxKeys` is what a replica has room for, `nowMs` when it begins, and `mode` what else the seed decides. */
  constructor(
    seed: number,
    { sabotage, garble, spoil, isUnguarded = false, isHoarding = false }: Mutation,
    { maxKeys = 1000, nowMs = NOON, mode }: { maxKeys?: number; nowMs?: number; mode?: World["mode"] } = {},
  ) {
    this.time = new SimulatedTime(nowMs);
    this.random = new Random(seed);
    this.aside = new Random(~seed);
    const drawn = this.random.chance(0.15) ? "exact" : "leased";
    this.mode = mode ?? drawn;
    this.leaseMs = this.random.pick([200, 500, 1000]);
    this.maxKeys = maxKeys;
    this.sabotage = sabotage?.() ?? ((command) => command);
    this.garble = garble ?? ((reply) => reply);
    this.spoil = spoil;
    this.server = new Server(this.time);
    this.server.isUnguarded = isUnguarded;
    if (this.aside.chance(0.15)) this.server.generousMilli = this.aside.pick([1000, 7500, 60_000]);
    if (isHoarding) this.server.keys = new ScriptModel(Number.POSITIVE_INFINITY);
    // What a thread changes the others of its process find in the table that they share.
    const others = (caller: string) => this.alive.filter(({ link }) => link.caller !== caller);
    this.server.publish = (caller, key, reset) => {
      for (const { link } of others(caller)) link.changed(key, reset);
    };
    this.server.want = (caller, key) => {
      for (const { link } of others(caller)) link.wanted(key);
    };
  }

  /** Every thread that there was. */
  get replicas(): readonly Replica[] {
    return this.processes.flatMap(({ threads }) => threads);
  }

  get alive(): readonly Replica[] {
    return this.processes.flatMap(({ alive }) => alive);
  }

  /** Those that take calls. */
  get open(): readonly Replica[] {
    return this.alive.filter(({ isOpen }) => isOpen);
  }

  /** How many threads a process has: mostly one. */
  drawThreads(): number {
    return this.aside.chance(0.3) ? this.aside.whole(2, 4) : 1;
  }

  /** Starts a process; returns its threads. */
  start(tiers: Tiers, { weather = CALM, threads = 1 } = {}): readonly Replica[] {
    const process = new Process(this, `replica${this.processes.length}`, tiers, weather, threads);
    this.processes.push(process);
    return process.threads;
  }

  async run(ms: number): Promise<void> {
    await this.time.runUntil(this.time.nowMs + ms);
  }

  /** Closes every replica; says which have not closed within 2 s. */
  async close(): Promise<string[]> {
    const open = new Set(this.alive);
    for (const replica of open) void replica.process.close(replica).then(() => open.delete(replica));
    await this.run(2000);
    return [...open].map(({ link, engine }) => `${link.caller}.${engine.lane} has not closed`);
  }

  /** Thousandths of a quota that the store has counted. */
  used(key: string, limit: string): number {
    return this.server.keys.spent(key, limit, this.time.nowMs) ?? 0;
  }
}
