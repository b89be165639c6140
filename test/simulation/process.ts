import type { SimulatedTime } from "../../bench/simulated-time.js";
import { JsLeases } from "../../src/engine/js-leases.js";
import type { LeaseEngine, LeaseEngineOptions } from "../../src/engine/lease-engine.js";
import { APPLIED, LEASE_FRAME } from "../../src/engine/lease-frame.js";
import { nativeEngine } from "../../src/engine/native.js";
import { openNativeLeases } from "../../src/engine/native-leases.js";
import { splitTiers } from "../../src/engine/shadow-tiers.js";
import type { Tiers } from "../../src/index.js";
import { SharedLimiter } from "../../src/shared/shared-limiter.js";
import { Delegate } from "./delegate.js";
import type { Spoil } from "./engine-mutations.js";
import { lanesOn } from "./js-lanes.js";
import { type Garble, type Leaks, type Sabotage, SimulatedLink, type Weather } from "./network.js";
import type { Random } from "./random.js";
import type { Server } from "./server.js";

const { CODE, COST, KEY_LENGTH, ROW } = LEASE_FRAME;

/** Tells the tables of one run of the tests apart, in which native ones are found by their names. */
let opened = 0;

/** Which engine keeps leases, where not the seed decides: `native` or `js`. */
const ENGINE = process.env["ENGINE"];

/** Where processes run. */
export interface Ground {
  readonly time: SimulatedTime;
  readonly server: Server;
  readonly random: Random;
  readonly aside: Random;
  readonly leaks: Leaks;
  readonly sabotage: Sabotage;
  readonly garble?: Garble;
  /** Makes the engines of leases do something wrong. */
  readonly spoil: Spoil | undefined;
  readonly mode: "leased" | "exact";
  readonly leaseMs: number;
  readonly timeoutMs: number;
  readonly maxKeys: number;
  /** What takes have brought of which nothing was learned, since their key had gone to another tier; in thousandths. */
  readonly unlearned: Leaks;
}

/** Sees of what nothing is learned. */
class Witness extends Delegate {
  readonly #unlearned: Leaks;

  constructor(inner: LeaseEngine, unlearned: Leaks) {
    super(inner);
    this.#unlearned = unlearned;
  }

  override apply(keys: string, count: number): void {
    const { frame } = this;
    const lengths = Array.from({ length: count }, (_, row) => frame[row * ROW + KEY_LENGTH] as number);
    this.inner.apply(keys, count);
    let start = 0;
    for (const [row, length] of lengths.entries()) {
      const key = keys.slice(start, start + length);
      start += length;
      if (frame[row * ROW + CODE] === APPLIED.KEPT) continue;
      const granted = Math.max(0, frame[row * ROW + COST] as number);
      this.#unlearned.set(key, (this.#unlearned.get(key) ?? 0) + granted);
    }
  }
}

/** One thread of a process: alone a replica, and with others of its process one together. */
export interface Replica {
  readonly process: Process;
  readonly limiter: SharedLimiter;
  readonly link: SimulatedLink;
  readonly engine: LeaseEngine;
  isAlive: boolean;
  /** Whether it takes calls: not once it is about to end. */
  isOpen: boolean;
}

/** A process: threads that share one table of leases and are one replica to the others, each with its own connection. */
export class Process {
  readonly replica: string;
  readonly threads: Replica[] = [];
  readonly #ground: Ground;
  readonly #weather: Weather;
  readonly #runtime;
  readonly #isMortal: boolean;
  isKilled = false;
  readonly #open: () => LeaseEngine;

  constructor(ground: Ground, replica: string, tiers: Tiers, weather: Weather, threads: number) {
    this.#ground = ground;
    this.replica = replica;
    this.#weather = weather;
    this.#runtime = ground.time.runtime(ground.random.between(0, 1e6));
    this.#isMortal = threads > 1;
    const { mode, leaseMs, timeoutMs, maxKeys } = ground;
    const options = {
      name: threads > 1 ? `simulated${opened++}` : "",
      agreement: mode,
      tiers: splitTiers(tiers),
      ...{ maxKeys, leaseMs, timeoutMs, replica },
    };
    this.#open = opener(ground, options);
    for (let thread = 0; thread < threads; thread++) this.begin();
  }

  /** Starts another thread. */
  begin(): Replica {
    const { time, server, random, sabotage, garble, leaks, mode, leaseMs, timeoutMs, maxKeys, spoil, unlearned } =
      this.#ground;
    const thread = {} as Replica;
    const parts = { time, server, random, weather: this.#weather, sabotage, leaks };
    const link = new SimulatedLink(this.replica, garble === undefined ? parts : { ...parts, garble });
    const runtime = this.#runtime;
    const whileAlive = (task: () => void) => () => {
      if (thread.isAlive) task();
    };
    const own = this.#open();
    const engine = new Witness(spoil === undefined ? own : spoil(own, this, leaseMs), unlearned);
    Object.assign(thread, { process: this, link, engine, isAlive: true, isOpen: true });
    const limiter = new SharedLimiter({
      ...{ engine, maxKeys, mode, leaseMs, timeoutMs, link },
      ...{ isMortal: this.#isMortal, outlives: this.#isMortal },
      policies: { bucket: "share", quota: "share", concurrency: "share" },
      clock: undefined,
      runtime: {
        ...runtime,
        after: (ms, task) => runtime.after(ms, whileAlive(task)),
        soon: (task) => runtime.soon(whileAlive(task)),
      },
    });
    this.threads.push(Object.assign(thread, { limiter }));
    return thread;
  }

  get alive(): readonly Replica[] {
    return this.threads.filter(({ isAlive }) => isAlive);
  }

  /** Closes a thread's limiter; resolved when it has, and is gone. */
  async close(thread: Replica): Promise<void> {
    thread.isOpen = false;
    await thread.limiter.close();
    thread.isAlive = false;
    thread.link.die();
  }

  /** Ends a thread as one ends that throws: nothing of it runs any more, and what it shares stays. */
  end(thread: Replica): void {
    thread.isAlive = false;
    thread.isOpen = false;
    thread.link.die();
    thread.engine.leave();
    thread.engine.close();
  }

  /** Ends the process as `kill -9` does. */
  kill(): void {
    this.isKilled = true;
    for (const thread of this.alive) this.end(thread);
  }
}

/** Opens the engine of a process, once for each of its threads. */
function opener({ aside }: Ground, options: LeaseEngineOptions): () => LeaseEngine {
  const drawn = aside.chance(0.5) ? "native" : "js";
  const kind = ENGINE ?? drawn;
  if (kind === "native" && nativeEngine().isAvailable) {
    return () => {
      const native = openNativeLeases(options);
      if (native.engine === undefined) throw new Error(native.reason);
      return native.engine;
    };
  }
  const table = JsLeases.open(options);
  return options.name === "" ? () => table : lanesOn(table);
}
