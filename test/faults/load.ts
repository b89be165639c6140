import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { createLimiter, type SharedLimiter, type TollkeeperError } from "../../src/index.js";
import type { OutagePolicy } from "../../src/shared/outage-policy.js";

/** How long, in ms, a call waits for Redis in these tests, and how often each replica calls. */
export const TIMEOUT_MS = 100;
const PAUSE_MS = 5;
/** By how much, in ms, timers of Node may be late. */
const SLACK_MS = 50;
/** How often, in ms, it is looked whether the process itself stood still. */
const TICK_MS = 10;

/** For how long, in ms, nobody may have decided alone. */
const SETTLED_MS = 500;

const SMALL = 400;
const LARGE = 1e8;
const quota = (name: string, limit: number) => ({
  limits: [{ name, type: "quota" as const, limit, period: "day" as const }],
});
const tiers = { small: quota("day", SMALL), large: quota("day", LARGE) };

/** After how many admitted calls a replica is killed. */
const KILLED_AFTER = 1000;

// One more replica, which tells of each call that it admits.
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const [url, prefix, mode, tiers] = process.argv.slice(1);
  const limiter = createLimiter({ tiers: JSON.parse(tiers), storage: { type: "redis", url, prefix, mode } });
  await limiter.ready();
  for (let admitted = 0; ; ) {
    if ((await limiter.consume("large", "large")).allowed) process.stdout.write(++admitted + "\\n");
    if (admitted % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
`;

/** What one way of deciding came to under one fault. */
export interface Row {
  fault: string;
  mode: "exact" | "leased";
  policy: OutagePolicy;
  calls: number;
  /** Calls that took longer than the deadline, without the time that the process itself stood still; the longest, in ms. */
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
  /** From the end of the fault until the last replica decided by Redis again, and had charged what was unreconciled. */
  sharedAgainMs: number;
}

/** Replicas that share limits and are called without end, as callers would. */
export class Load {
  readonly mode: "exact" | "leased";
  readonly policy: OutagePolicy;
  readonly replicas: SharedLimiter[];
  readonly #storage: { url: string; prefix: string };
  readonly #loops: Promise<void>[] = [];
  readonly #watch: NodeJS.Timeout;
  /** For how long, in ms, the process has stood still. */
  #stoodMs = 0;
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
    let lastMs = performance.now();
    this.#watch = setInterval(() => {
      const nowMs = performance.now();
      this.#stoodMs += Math.max(0, nowMs - lastMs - TICK_MS);
      lastMs = nowMs;
    }, TICK_MS);
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

  /** What has yet to come until all share, have nothing unreconciled, and have not decided alone for a while. */
  get awaited(): string[] {
    const apart = this.replicas.flatMap((replica, index) => {
      const { state, unreconciled, commands } = replica.stats().store;
      const is = `${this.mode}, ${this.policy}, replica ${index}: ${state}, unreconciled ${unreconciled}`;
      return isAlone(replica) ? [`${is}, ${JSON.stringify([...commands])}`] : [];
    });
    return performance.now() - this.#lastAloneMs > SETTLED_MS ? apart : [...apart, "decided alone of late"];
  }

  /** Whether a call was decided without Redis. */
  get hasMissed(): boolean {
    return this.#lastAloneMs > 0;
  }

  /** Has a process be one more replica for a while, and kills it; says what that had admitted, by its last word. */
  async killed(): Promise<{ admitted: number; killedMs: number }> {
    const { url, prefix } = this.#storage;
    const program = ["--input-type=module", "-e", PROGRAM, url, prefix, this.mode, JSON.stringify(tiers)];
    const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
    let admitted = 0;
    let killedMs = 0;
    createInterface({ input: child.stdout }).on("line", (line) => {
      admitted = Number(line);
      const isKnown = this.replicas.every((replica) => replica.stats().store.replicas > this.replicas.length);
      if (admitted < KILLED_AFTER || !isKnown || killedMs > 0) return;
      killedMs = performance.now();
      child.kill("SIGKILL");
    });
    await once(child, "close");
    return { admitted, killedMs };
  }

  /**
   * Ends the calls and says what they came to; `faultEndedMs` is when the fault was over, by `performance.now()`, and
   * `elsewhere` what other processes have admitted of the large quota.
   */
  async end(fault: string, faultEndedMs: number, elsewhere = 0): Promise<Row> {
    this.#isOver = true;
    await Promise.all(this.#loops);
    clearInterval(this.#watch);
    await Promise.all(this.replicas.map((replica) => replica.close()));
    const auditor = open(this.#storage.url, this.#storage.prefix, "exact", "closed");
    await auditor.ready();
    const used = LARGE - ((await auditor.peek("large", "large")).limits[0]?.remaining ?? 0);
    await auditor.close();
    const admitted = this.#admitted.large + elsewhere;
    return {
      fault,
      mode: this.mode,
      policy: this.policy,
      calls: this.#calls,
      hung: this.#hung,
      longestMs: Math.round(this.#longestMs),
      refused: this.#refused,
      over: Math.max(0, this.#admitted.small - SMALL),
      lost: Math.max(0, admitted - used),
      stranded: Math.round(Math.max(0, used - admitted)),
      sharedAgainMs: Math.max(0, Math.round(this.#lastAloneMs - faultEndedMs)),
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
    const start = performance.now() - this.#stoodMs;
    this.#calls++;
    try {
      if ((await replica.consume(key, key)).allowed) this.#admitted[key]++;
    } catch (error) {
      if ((error as TollkeeperError).code !== "ERR_STORE_UNAVAILABLE") throw error;
      this.#refused++;
      this.#lastAloneMs = performance.now();
    }
    const tookMs = performance.now() - this.#stoodMs - start;
    this.#longestMs = Math.max(this.#longestMs, tookMs);
    if (tookMs > TIMEOUT_MS + SLACK_MS) this.#hung++;
  }
}

function isAlone(replica: SharedLimiter): boolean {
  return !replica.isReady || replica.stats().store.unreconciled > 0;
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
