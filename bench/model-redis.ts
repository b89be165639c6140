import type { SimulatedTime } from "./simulated-time.js";

/** A limit of a tier, as the engines compile it; its arithmetic is the real one. */
interface Rule {
  readonly type: "bucket" | "quota";
  readonly capacity: number;
  readonly perMilli: number;
  readonly initial: number;
  readonly maxCostMilli: number;
  refilled(spent: number, elapsedMs: number): number;
  waitMs(spent: number, costMilli: number, nowMs: number): number;
}

/** What of the protocol's commands is needed here. */
interface Command {
  readonly op: "take" | "peek" | "adjust" | "reset" | "leave";
  readonly key: string;
  readonly tier: { readonly limits: readonly { readonly rule: Rule }[] };
  readonly need?: number;
  readonly want?: number;
  readonly divisor?: number;
  readonly deltas?: readonly number[];
}

interface Reply {
  readonly denied: number;
  readonly granted: number;
  readonly nowMs: number;
  readonly lagMs: number;
  readonly epoch: string;
  readonly backMs: number;
  readonly spent: readonly number[];
}

/** One way, in ms. */
const DELAY_MS = 0.25;
const EPOCH = "model:0";

/**
 * Redis as the lease code sees it, without faults: takes and corrections of keys in the engines' units, no quota's period
 * ending meanwhile, each answer half a millisecond later. Counts the commands per key.
 */
export class ModelRedis {
  readonly commands = new Map<string, number>();
  /** Keys that have nothing left when they are first seen. */
  readonly exhausted = new Set<string>();
  heartbeats = 0;
  readonly #time: SimulatedTime;
  readonly #replicas: readonly string[];
  readonly #keys = new Map<string, { atMs: number; spent: number[] }>();

  constructor(time: SimulatedTime, replicas: number) {
    this.#time = time;
    this.#replicas = Array.from({ length: replicas }, (_, replica) => `r${replica}`);
  }

  /** A replica's way here. */
  link() {
    return {
      open: (events: { connected(server: string): void }) => void this.#time.after(0, () => events.connected("model")),
      send: (command: Command) => this.#answered(() => this.#run(command)),
      heartbeat: () => {
        this.heartbeats++;
        return this.#answered(() => ({ replicas: this.#replicas, recoveringMs: 0 }));
      },
      close: async () => undefined,
    };
  }

  /** Begins to count anew. */
  reset(): void {
    this.commands.clear();
    this.heartbeats = 0;
  }

  #answered<T>(run: () => T): Promise<T> {
    return new Promise((resolve) => {
      this.#time.after(DELAY_MS, () => {
        const answer = run();
        this.#time.after(DELAY_MS, () => resolve(answer));
      });
    });
  }

  #run({ op, key, tier, need = 0, want = 0, divisor = 1, deltas = [] }: Command): Reply {
    this.commands.set(key, (this.commands.get(key) ?? 0) + 1);
    const nowMs = Math.floor(this.#time.nowMs);
    const stored = this.#keys.get(key);
    const spent = tier.limits.map(({ rule }, index) => {
      const before = stored?.spent[index];
      if (stored === undefined || before === undefined) return this.exhausted.has(key) ? rule.capacity : rule.initial;
      return rule.type === "bucket" ? rule.refilled(before, nowMs - stored.atMs) : before;
    });
    const charge = (milli: (index: number) => number): void => {
      tier.limits.forEach(({ rule }, index) => {
        const units = milli(index) * (rule.type === "bucket" ? rule.perMilli : 1);
        spent[index] = Math.max(0, (spent[index] ?? 0) + units);
      });
      this.#keys.set(key, { atMs: nowMs, spent });
    };
    if (op === "adjust") charge((index) => deltas[index] ?? 0);
    if (op !== "take") return { denied: 0, granted: 0, nowMs, lagMs: 0, epoch: EPOCH, backMs: 0, spent };
    let denied = 0;
    let longest = 0;
    let left = Number.POSITIVE_INFINITY;
    tier.limits.forEach(({ rule }, index) => {
      const amount = spent[index] ?? 0;
      const wait = need > 0 ? rule.waitMs(amount, need, nowMs) : 0;
      if (wait > longest) [denied, longest] = [index + 1, wait];
      const free = rule.type === "bucket" ? (rule.capacity - amount) / rule.perMilli : rule.maxCostMilli - amount;
      left = Math.min(left, Math.floor(free));
    });
    const ahead = Math.min(want, Math.floor(left / divisor));
    const granted = denied > 0 ? 0 : Math.max(need, ahead - (ahead % 1000));
    charge(() => granted);
    return { denied, granted, nowMs, lagMs: 0, epoch: EPOCH, backMs: 0, spent };
  }
}
