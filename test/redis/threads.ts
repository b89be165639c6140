import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";
import type { RedisStorage, Tiers } from "../../src/index.js";

/** How long, in ms, a thread waits for Redis in tests: a busy machine keeps it. */
const READY_MS = 60_000;

/** What a thread opens. */
export interface ThreadOptions {
  name?: string;
  tiers: Tiers;
  maxKeys?: number;
  storage: RedisStorage;
}

/** What a thread can say of its limiter. */
export interface ThreadStats {
  isReady: boolean;
  keys: number;
  overflow: number;
  replicas: number;
  leaseOutstanding: number;
  unreconciled: number;
  commands: Record<string, number>;
  /** Messages of what its limiter has reported, the first hundred. */
  told: string[];
  /** Codes of warnings of the thread. */
  warned: string[];
}

/** What was decided of some calls. */
export interface Tally {
  allowed: number;
  denied: number;
  /** Denials that stand whatever others hold. */
  final: number;
}

// It runs the built package, as a user's would. Messages are [id, operation, arguments], answers [id, value, error's code].
const PROGRAM = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { createLimiter } = require("tollkeeper");
  const told = [];
  const warned = [];
  process.on("warning", ({ code }) => warned.push(String(code)));
  const onStorageError = (error) => told.length < 100 && told.push(String(error.message ?? error));
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  let limiter;
  let kept = [];
  const tallyOf = (decisions) => ({
    allowed: decisions.filter(({ allowed }) => allowed).length,
    denied: decisions.filter(({ allowed }) => !allowed).length,
    final: decisions.filter(({ allowed, isProvisional }) => !allowed && !isProvisional).length,
  });
  const operations = {
    async open() {
      limiter = createLimiter({ ...workerData, onStorageError });
    },
    async ready() {
      await limiter.ready(${READY_MS});
    },
    // So many calls at once of each key, kept to be corrected.
    async consume(keys, tier, calls, cost) {
      const decided = keys.flatMap((key) => Array.from({ length: calls }, () => limiter.consume(key, tier, cost)));
      const decisions = await Promise.all(decided);
      kept.push(...decisions.filter(({ allowed }) => allowed));
      return tallyOf(decisions);
    },
    // Calls that nobody waits for.
    async begin(keys, tier, calls) {
      for (const key of keys) for (let call = 0; call < calls; call++) void limiter.consume(key, tier);
    },
    // Calls one after the other, each later if it is told to come back, until a denial is final.
    async exhaust(key, tier, pauseMs) {
      let allowed = 0;
      for (;;) {
        const decision = await limiter.consume(key, tier);
        if (decision.allowed) {
          allowed++;
          if (allowed % 5 === 0) await wait(pauseMs);
        } else if (decision.isProvisional) await wait(Math.min(decision.retryAfterMs, 50));
        else return allowed;
      }
    },
    // Calls at a pace: so many in each turn.
    async pace(keys, tier, turns, perTurn, pauseMs) {
      let allowed = 0;
      for (let turn = 0; turn < turns; turn++) {
        const decisions = keys.flatMap((key) => Array.from({ length: perTurn }, () => limiter.consume(key, tier)));
        allowed += tallyOf(await Promise.all(decisions)).allowed;
        await wait(pauseMs);
      }
      return allowed;
    },
    async refund(count) {
      for (const decision of kept.splice(0, count)) decision.refund();
    },
    async reload(tiers) {
      limiter.reload(tiers);
    },
    async tiers() {
      return limiter.tiers;
    },
    async stats() {
      const { keys, overflow, store } = limiter.stats();
      const { replicas, leaseOutstanding, unreconciled } = store;
      const commands = Object.fromEntries(store.commands);
      return { isReady: limiter.isReady, keys, overflow, replicas, leaseOutstanding, unreconciled, commands, told, warned };
    },
    async close() {
      await limiter.close();
    },
    async exit() {
      process.exit();
    },
  };
  parentPort.on("message", async ([id, operation, ...rest]) => {
    if (operation === "end") return parentPort.close();
    try {
      parentPort.postMessage([id, await operations[operation](...rest)]);
    } catch (error) {
      parentPort.postMessage([id, undefined, error.code ?? String(error)]);
    }
  });
`;

/** A worker thread of this process with a limiter of its own, or one that it shares by its name. */
export class Thread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #ended: Promise<unknown>;
  #sent = 0;

  private constructor(options: ThreadOptions, execArgv: string[] = []) {
    this.#worker = new Worker(PROGRAM, { eval: true, workerData: options, execArgv });
    this.#ended = once(this.#worker, "exit");
    this.#worker.on("message", ([id, value, fault]: [number, unknown, string | undefined]) => {
      const { resolve, reject } = this.#waiting.get(id) ?? {};
      this.#waiting.delete(id);
      if (fault === undefined) resolve?.(value);
      else reject?.(new Error(fault));
    });
  }

  /** Starts a thread, which opens its limiter and waits until it shares; `execArgv` are options of Node. */
  static async open(options: ThreadOptions, execArgv?: string[]): Promise<Thread> {
    const thread = await Thread.start(options, execArgv);
    await thread.run("ready");
    return thread;
  }

  /** Starts a thread, which opens its limiter. */
  static async start(options: ThreadOptions, execArgv?: string[]): Promise<Thread> {
    const thread = new Thread(options, execArgv);
    onTestFinished(async () => {
      await thread.#worker.terminate();
    });
    await thread.run("open");
    return thread;
  }

  consume(keys: readonly string[], tier: string, calls: number, cost = 1): Promise<Tally> {
    return this.run("consume", keys, tier, calls, cost) as Promise<Tally>;
  }

  /** Spends all of a key that it can get; says how many calls were let in. */
  exhaust(key: string, tier: string, pauseMs = 0): Promise<number> {
    return this.run("exhaust", key, tier, pauseMs) as Promise<number>;
  }

  stats(): Promise<ThreadStats> {
    return this.run("stats") as Promise<ThreadStats>;
  }

  /** Has the thread do one of the operations above; rejects with the error's code. */
  run(operation: string, ...rest: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#sent;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage([id, operation, ...rest]);
    });
  }

  /** Ends the thread: from outside at once, by an exit of its own, or after it has closed its limiter. */
  async end(how: "terminate" | "exit" | "close"): Promise<void> {
    if (how === "close") {
      await this.run("close");
      this.#worker.postMessage([0, "end"]);
    } else if (how === "exit") {
      this.#worker.postMessage([0, "exit"]);
    } else {
      await this.#worker.terminate();
    }
    await this.#ended;
  }
}

/** As many threads of one name, ready. */
export function openThreads(count: number, options: ThreadOptions): Promise<Thread[]> {
  return Promise.all(Array.from({ length: count }, () => Thread.open(options)));
}

/** The sum of what threads have said. */
export function sum(counts: readonly number[]): number {
  return counts.reduce((all, count) => all + count, 0);
}
