import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { expect, vi } from "vitest";
import { freePort, killProcess, RedisServer, startProcess } from "./server.js";

const QUORUM = 2;

/** A master and its replica, watched by three Sentinels that take it for dead after half a second. */
export class SentinelGroup {
  readonly name = "main";
  readonly servers: readonly [RedisServer, RedisServer];
  readonly ports: readonly number[];
  readonly #password: string | undefined;
  readonly #processes: readonly ChildProcess[];

  private constructor(
    servers: readonly [RedisServer, RedisServer],
    ports: readonly number[],
    processes: readonly ChildProcess[],
    password: string | undefined,
  ) {
    this.servers = servers;
    this.ports = ports;
    this.#processes = processes;
    this.#password = password;
  }

  /** Starts all; `password` is that of the servers. */
  static async start(password?: string): Promise<SentinelGroup> {
    const login = password === undefined ? [] : ["--requirepass", password, "--masterauth", password];
    const quick = ["--repl-diskless-sync-delay", "0", ...login];
    const master = await RedisServer.start(...quick);
    const replica = await RedisServer.start("--replicaof", "127.0.0.1", String(master.port), ...quick);
    const ports = [await freePort(), await freePort(), await freePort()];
    const watch = [
      `sentinel monitor main 127.0.0.1 ${master.port} ${QUORUM}`,
      "sentinel down-after-milliseconds main 500",
      "sentinel failover-timeout main 3000",
      ...(password === undefined ? [] : [`sentinel auth-pass main ${password}`]),
    ];
    const processes = await Promise.all(
      ports.map((port) => {
        const path = join(master.folder, `sentinel-${port}.conf`);
        writeFileSync(path, [`port ${port}`, "bind 127.0.0.1", `dir ${master.folder}`, ...watch, ""].join("\n"));
        return startProcess("redis-sentinel", [path], port);
      }),
    );
    const group = new SentinelGroup([master, replica], ports, processes, password);
    await group.#settled();
    return group;
  }

  get url(): string {
    const login = this.#password === undefined ? "" : `:${this.#password}@`;
    return `redis-sentinel://${login}${this.ports.map((port) => `127.0.0.1:${port}`).join(",")}/${this.name}`;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map(killProcess));
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  /** Until every Sentinel knows the replica and the other Sentinels. */
  async #settled(): Promise<void> {
    for (const port of this.ports) {
      const client = new Redis({ port, host: "127.0.0.1" });
      await vi.waitFor(
        async () => {
          const facts = (await client.call("SENTINEL", "MASTER", this.name)) as string[];
          const fact = (name: string) => facts[facts.indexOf(name) + 1];
          expect([fact("num-slaves"), fact("num-other-sentinels")]).toEqual(["1", "2"]);
        },
        { timeout: 20_000, interval: 100 },
      );
      client.disconnect();
    }
  }
}
