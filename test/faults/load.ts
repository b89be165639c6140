import { createLimiter, type SharedLimiter, type TollkeeperError } from "../../src/index.js";
import type { OutagePolicy } from "../../src/limiter/share.js";

/** How long, in ms, a call waits for Redis in these tests, and how often each replica calls. */
export const TIMEOUT_MS = 100;
const PAUSE_MS = 5;
/** The event loop of a busy machine runs late by as much, in ms, without any call having hung. */
const SLACK_MS = 2 * TIMEOUT_MS;

/** For how long, in ms, nobody may have decided alone. */
const SETTLED_MS = 500;

const SMALL = 400;
const LARGE = 1e8;
const quota = (name: string, limit: number) => ({
  limits: [{ name, type: "quota" as const, limit, period: "day" as const }],
});
const tiers = { small: quota("day", SMALL), large: quota("day", LARGE) };

/** What one way of deciding came to under one fault. */
export interface Row {
  fault: string;
  mode: "exact" | "leased";
  policy: OutagePolicy;
  calls: number;
  /** Calls that took longer than the deadline, and the longest, in ms. */
  hung: number;
  longestMs: number;
  /** Calls refused since Redis was away, under `closed`. */
  refused: number;
  /** Beyond the small quota, which runs out while the fault lasts. */
  over: number;
  /** Of the large quota: admitted and forgotten by Redis. */
  lost: number;
  /** Of the large quota: spent in Redis and handed out to nobody. */
  stranded: number;
  /** From the end of the fault until the last replica decided by Redis again, and had charged what it owed. */
  sharedAgainMs: number;
}

/** Replicas that share limits and are called without end, as callers would. */
export class Load {
  readonly mode: "exact" | "leased";
  readonly policy: OutagePolicy;
  readonly replicas: SharedLimiter[];
  readonly #storage: { url: string; prefix: string };
  readonly #loops: Promise<void>[];
  #isOver = false;
  #calls = 0;
  #hung = 0;
  #longestMs = 0;
  #refused = 0;
  #lastAloneMs = 0;
  readonly #admitted = { small: 0, large: 0 };

  private constructor(mode: "exact" | "leased", policy: OutagePolicy, urls: readonly string[], fault: string) {
    this.mode = mode;
    this.policy = policy;
    const prefix = `${fault}-${mode}-${policy}`.replaceAll(/[^\w.-]/g, "_");
    this.#storage = { url: urls[0] ?? "", prefix };
    this.replicas = urls.map((url) => open(url, prefix, mode, policy));
    this.#loops = [];
  }

  /** Opens a replica per URL, and begins to call when all share. */
  static async begin(
    mode: "exact" | "leased",
    policy: OutagePolicy,
    urls: readonly string[],
    fault: string,
  ): Promise<Load> {
    const load = new Load(mode, policy, urls, fault);
    await Promise.all(load.replicas.map((replica) => replica.ready()));
    for (const replica of load.replicas) load.#loops.push(load.#loop(replica));
    return load;
  }

  /** What has yet to come until all share, owe nothing, and have not decided alone for a while. */
  get awaited(): string[] {
    const apart = this.replicas.flatMap((replica, index) => {
      const { state, unreconciled, commands } = replica.stats().store;
      const is = `${this.mode}, ${this.policy}, replica ${index}: ${state}, owes ${unreconciled}`;
      return isAlone(replica) ? [`${is}, ${JSON.stringify([...commands])}`] : [];
    });
    return performance.now() - this.#lastAloneMs > SETTLED_MS ? apart : [...apart, "decided alone of late"];
  }

  /** Ends the calls and says what they came to; `healedMs` is when the fault was over, by `performance.now()`. */
  async end(fault: string, healedMs: number): Promise<Row> {
    this.#isOver = true;
    await Promise.all(this.#loops);
    await Promise.all(this.replicas.map((replica) => replica.close()));
    const judge = open(this.#storage.url, this.#storage.prefix, "exact", "closed");
    await judge.ready();
    const used = LARGE - ((await judge.peek("large", "large")).limits[0]?.remaining ?? 0);
    await judge.close();
    return {
      fault,
      mode: this.mode,
      policy: this.policy,
      calls: this.#calls,
      hung: this.#hung,
      longestMs: Math.round(this.#longestMs),
      refused: this.#refused,
      over: Math.max(0, this.#admitted.small - SMALL),
      lost: Math.max(0, this.#admitted.large - used),
      stranded: Math.round(Math.max(0, used - this.#admitted.large)),
      sharedAgainMs: Math.max(0, Math.round(this.#lastAloneMs - healedMs)),
    };
  }

  async #loop(replica: SharedLimiter): Promise<void> {
    while (!this.#isOver) {
      await Promise.all([
        this.#call(replica, "large"),
        this.#calls % 4 === 0 ? this.#call(replica, "small") : undefined,
      ]);
      if (isAlone(replica)) this.#lastAloneMs = performance.now();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async #call(replica: SharedLimiter, key: "small" | "large"): Promise<void> {
    const start = performance.now();
    this.#calls++;
    try {
      if ((await replica.consume(key, key)).allowed) this.#admitted[key]++;
    } catch (error) {
      if ((error as TollkeeperError).code !== "ERR_STORE_UNAVAILABLE") throw error;
      this.#refused++;
      this.#lastAloneMs = performance.now();
    }
    const tookMs = performance.now() - start;
    this.#longestMs = Math.max(this.#longestMs, tookMs);
    if (tookMs > TIMEOUT_MS + SLACK_MS) this.#hung++;
  }
}

function isAlone(replica: SharedLimiter): boolean {
  return !replica.isTogether || replica.stats().store.unreconciled > 0;
}

function open(url: string, prefix: string, mode: "exact" | "leased", onOutage: OutagePolicy): SharedLimiter {
  return createLimiter({
    tiers,
    storage: { type: "redis", url, prefix, mode, onOutage, timeoutMs: TIMEOUT_MS },
    onStorageError: () => undefined,
  });
}

/** The rows as a table of Markdown. */
export function tableOf(rows: readonly Row[]): string {
  const [first] = rows;
  if (first === undefined) return "";
  const line = (cells: readonly unknown[]) => `| ${cells.join(" | ")} |`;
  const names = Object.keys(first);
  return [line(names), line(names.map(() => "---")), ...rows.map((row) => line(Object.values(row)))].join("\n");
}
