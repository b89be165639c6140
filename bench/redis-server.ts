import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort } from "./free-port.js";

/** What the server has done since the last reading. */
export interface Meter {
  /** Commands that clients sent. */
  readonly sent: number;
  /** All commands carried out: those, and those that scripts ran. */
  readonly run: number;
  /** Processor time, in s. */
  readonly cpuS: number;
  /** Data, in bytes, as it stands. */
  readonly bytes: number;
}

/** What clients send here, and no script runs. */
const SENT = /^cmdstat_(eval|evalsha|subscribe|script\|load):calls=(\d+)/gm;
const RUN = /^cmdstat_[^:]+:calls=(\d+)/gm;
/** What reading the meter, connecting and looking at the server cost: not counted. */
const OWN = /^cmdstat_(info|config\|resetstat|config|ping|client\|setinfo|client|hello|command):calls=(\d+)/gm;

/** A `redis-server` of a benchmark's own, on a free port of the loopback interface; nothing is written to disk. */
export class RedisServer {
  readonly url: string;
  readonly version: string;
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #client: Redis;
  #cpuS = 0;

  private constructor(url: string, version: string, process: ChildProcess, folder: string, client: Redis) {
    this.url = url;
    this.version = version;
    this.#process = process;
    this.#folder = folder;
    this.#client = client;
  }

  /** @throws {Error} if there is no redis-server on this machine. */
  static async start(): Promise<RedisServer> {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-bench-"));
    const port = await freePort();
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"];
    const child = spawn("redis-server", args, { stdio: "ignore" });
    // However the benchmark ends, its server does not outlive it.
    process.once("exit", () => child.kill("SIGKILL"));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
    const failed = once(child, "error").then(([error]) => {
      rmSync(folder, { recursive: true, force: true });
      throw new Error("there is no redis-server here: install your system's package of Redis 6.2 or later", {
        cause: error,
      });
    });
    await Promise.race([failed, once(child, "spawn")]);
    const client = new Redis({ host: "127.0.0.1", port, maxRetriesPerRequest: null, retryStrategy: () => 20 });
    client.on("error", () => undefined);
    const info = await client.info("server");
    const version = /redis_version:(\S+)/.exec(info)?.[1] ?? "unknown";
    return new RedisServer(`redis://127.0.0.1:${port}`, version, child, folder, client);
  }

  /** Begins to count anew. */
  async reset(): Promise<void> {
    await this.#client.config("RESETSTAT");
    this.#cpuS = cpuOf(await this.#client.info("cpu"));
  }

  async read(): Promise<Meter> {
    const stats = await this.#client.info("commandstats");
    const own = sum(stats, OWN);
    const cpuS = cpuOf(await this.#client.info("cpu"));
    const bytes = Number(/used_memory:(\d+)/.exec(await this.#client.info("memory"))?.[1]);
    return { sent: sum(stats, SENT), run: sum(stats, RUN) - own, cpuS: cpuS - this.#cpuS, bytes };
  }

  async flush(): Promise<void> {
    await this.#client.flushall();
  }

  async stop(): Promise<void> {
    this.#client.disconnect();
    const closed = once(this.#process, "close");
    this.#process.kill("SIGKILL");
    await closed;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function sum(stats: string, what: RegExp): number {
  return [...stats.matchAll(what)].reduce((total, match) => total + Number(match.at(-1)), 0);
}

function cpuOf(info: string): number {
  return [...info.matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)].reduce(
    (total, [, seconds]) => total + Number(seconds),
    0,
  );
}
