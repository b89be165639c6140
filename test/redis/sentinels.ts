import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { expect, vi } from "vitest";
import { freePort } from "../../bench/free-port.js";
import type { Certificates } from "./certificates.js";
import { killProcess, RedisServer, startProcess, tlsOptions } from "./server.js";

const QUORUM = 2;

/** How one gets in: passwords of the servers and of the Sentinels; with certificates all of them speak TLS. */
interface Secrets {
  readonly password?: string;
  readonly sentinelPassword?: string;
  readonly certificates?: Certificates;
}

/** A master and its replica, watched by three Sentinels that take it for dead after half a second. */
export class SentinelGroup {
  readonly name = "main";
  readonly servers: readonly [RedisServer, RedisServer];
  readonly ports: readonly number[];
  readonly #secrets: Secrets;
  readonly #processes: readonly ChildProcess[];

  private constructor(
    servers: readonly [RedisServer, RedisServer],
    ports: readonly number[],
    processes: readonly ChildProcess[],
    secrets: Secrets,
  ) {
    this.servers = servers;
    this.ports = ports;
    this.#processes = processes;
    this.#secrets = secrets;
  }

  static async start(secrets: Secrets = {}): Promise<SentinelGroup> {
    const { password, sentinelPassword, certificates } = secrets;
    const login = password === undefined ? [] : ["--requirepass", password, "--masterauth", password];
    const quick = ["--repl-diskless-sync-delay", "0", ...login];
    const start = (...args: string[]) =>
      certificates === undefined ? RedisServer.start(...args) : RedisServer.startTls(certificates, ...args);
    const master = await start(...quick);
    const replica = await start("--replicaof", "127.0.0.1", String(master.port), ...quick);
    const ports = [await freePort(), await freePort(), await freePort()];
    const watch = [
      `sentinel monitor main 127.0.0.1 ${master.port} ${QUORUM}`,
      "sentinel down-after-milliseconds main 500",
      "sentinel failover-timeout main 3000",
      ...(password === undefined ? [] : [`sentinel auth-pass main ${password}`]),
      ...(sentinelPassword === undefined
        ? []
        : [`requirepass ${sentinelPassword}`, `sentinel sentinel-pass ${sentinelPassword}`]),
    ];
    const processes = await Promise.all(
      ports.map((port) => {
        const path = join(master.folder, `sentinel-${port}.conf`);
        const listen =
          certificates === undefined
            ? [`port ${port}`]
            : tlsOptions(certificates, port).map((option) => option.join(" "));
        writeFileSync(path, [...listen, "bind 127.0.0.1", `dir ${master.folder}`, ...watch, ""].join("\n"));
        return startProcess("redis-sentinel", [path], port);
      }),
    );
    const group = new SentinelGroup([master, replica], ports, processes, secrets);
    await group.#settled();
    return group;
  }

  get url(): string {
    const { password, sentinelPassword, certificates } = this.#secrets;
    const login = password === undefined ? "" : `:${password}@`;
    const nodes = this.ports.map((port) => `127.0.0.1:${port}`).join(",");
    const query = sentinelPassword === undefined ? "" : `?sentinelPassword=${sentinelPassword}`;
    return `${certificates ? "rediss" : "redis"}-sentinel://${login}${nodes}/${this.name}${query}`;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map(killProcess));
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  /** Until every Sentinel knows the replica and the other Sentinels. */
  async #settled(): Promise<void> {
    for (const port of this.ports) {
      const { sentinelPassword, certificates } = this.#secrets;
      const client = new Redis({
        port,
        host: "127.0.0.1",
        ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
        ...(certificates === undefined ? {} : { tls: { ca: certificates.caText } }),
      });
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
