import { Redis } from "ioredis";
import { expect, vi } from "vitest";
import { freePort } from "../../bench/free-port.js";
import type { Certificates } from "./certificates.js";
import { RedisServer } from "./server.js";

const SLOTS = 16_384;
const MASTERS = 3;

/** Three masters with a replica each, that take a node for dead after a second. */
export class RedisCluster {
  /** The masters, then in their order the replicas. */
  readonly servers: readonly RedisServer[];
  readonly #password: string | undefined;
  readonly #certificates: Certificates | undefined;

  private constructor(
    servers: readonly RedisServer[],
    password: string | undefined,
    certificates: Certificates | undefined,
  ) {
    this.servers = servers;
    this.#password = password;
    this.#certificates = certificates;
  }

  /** Starts all; `password` is that of every node, and with certificates all speak TLS. */
  static async start(password?: string, certificates?: Certificates): Promise<RedisCluster> {
    const login = password === undefined ? [] : ["--requirepass", password, "--masterauth", password];
    const common = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"];
    const servers: RedisServer[] = [];
    const buses: number[] = [];
    for (let node = 0; node < 2 * MASTERS; node++) {
      const bus = await freePort();
      buses.push(bus);
      const args = [...common, "--cluster-port", String(bus), ...login];
      servers.push(
        certificates === undefined
          ? await RedisServer.start(...args)
          : await RedisServer.startTls(certificates, "--tls-cluster", "yes", ...args),
      );
    }
    const cluster = new RedisCluster(servers, password, certificates);
    await cluster.#join(buses);
    return cluster;
  }

  /** The addresses of two nodes, which know the others. */
  get url(): string {
    const login = this.#password === undefined ? "" : `:${this.#password}@`;
    return this.servers
      .slice(0, 2)
      .map(({ port }) => `${this.#certificates ? "rediss" : "redis"}://${login}127.0.0.1:${port}`)
      .join(",");
  }

  /** The master that serves the slot of a key's name. */
  async masterOf(name: string): Promise<RedisServer> {
    const server = this.servers[Math.floor(((await this.#slotOf(name)) * MASTERS) / SLOTS)];
    if (server === undefined) throw new RangeError(`no master serves ${name}`);
    return server;
  }

  /**
   * Moves the slot of a key's name from its master to the next one, as an administrator would: first it is opened on both
   * sides, then `halfway`, then its keys move, and then all are told.
   */
  async migrate(name: string, halfway: () => Promise<unknown>): Promise<void> {
    const slot = await this.#slotOf(name);
    const source = Math.floor((slot * MASTERS) / SLOTS);
    const target = (source + 1) % MASTERS;
    const masters = this.servers.slice(0, MASTERS).map((_, node) => this.#client(node));
    const [from, to] = [masters[source], masters[target]];
    if (from === undefined || to === undefined) throw new RangeError(`slot ${slot}`);
    const [sourceId, targetId] = await Promise.all([from.call("CLUSTER", "MYID"), to.call("CLUSTER", "MYID")]);
    await to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", String(sourceId));
    await from.call("CLUSTER", "SETSLOT", slot, "MIGRATING", String(targetId));
    await halfway();
    const login = this.#password === undefined ? [] : ["AUTH", this.#password];
    const keys = (await from.call("CLUSTER", "GETKEYSINSLOT", slot, 1000)) as string[];
    const port = this.servers[target]?.port ?? 0;
    if (keys.length > 0) await from.call("MIGRATE", "127.0.0.1", port, "", 0, 5000, ...login, "KEYS", ...keys);
    await halfway();
    for (const master of [to, from, ...masters])
      await master.call("CLUSTER", "SETSLOT", slot, "NODE", String(targetId));
    for (const master of masters) master.disconnect();
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  async #slotOf(name: string): Promise<number> {
    const client = this.#client(0);
    const slot = Number(await client.call("CLUSTER", "KEYSLOT", name));
    client.disconnect();
    return slot;
  }

  async #join(buses: readonly number[]): Promise<void> {
    const clients = this.servers.map((_, node) => this.#client(node));
    const ids = await Promise.all(clients.map((client) => client.call("CLUSTER", "MYID") as Promise<string>));
    const edge = (node: number) => Math.ceil((node * SLOTS) / MASTERS);
    for (const [node, client] of clients.entries()) {
      const [{ port }, bus] = [this.servers[0] ?? { port: 0 }, buses[0] ?? 0];
      if (node > 0) await client.call("CLUSTER", "MEET", "127.0.0.1", port, bus);
      if (node < MASTERS) await client.call("CLUSTER", "ADDSLOTSRANGE", edge(node), edge(node + 1) - 1);
      await client.call("CLUSTER", "SET-CONFIG-EPOCH", node + 1).catch(() => undefined);
    }
    const settled = { timeout: 20_000, interval: 100 };
    await Promise.all(
      clients
        .slice(MASTERS)
        .map((client, node) => vi.waitFor(async () => client.call("CLUSTER", "REPLICATE", ids[node] ?? ""), settled)),
    );
    await Promise.all(
      clients.map((client) =>
        vi.waitFor(async () => {
          expect(await client.call("CLUSTER", "INFO")).toMatch(/cluster_state:ok.*cluster_known_nodes:6/s);
          expect(String(await client.call("CLUSTER", "NODES")).match(/slave /g)).toHaveLength(MASTERS);
        }, settled),
      ),
    );
    await Promise.all(
      clients
        .slice(MASTERS)
        .map((client) =>
          vi.waitFor(async () => expect(await client.info("replication")).toContain("master_link_status:up"), settled),
        ),
    );
    for (const client of clients) client.disconnect();
  }

  #client(node: number): Redis {
    const port = this.servers[node]?.port ?? 0;
    return new Redis({
      port,
      host: "127.0.0.1",
      ...(this.#password === undefined ? {} : { password: this.#password }),
      ...(this.#certificates === undefined ? {} : { tls: { ca: this.#certificates.caText } }),
    });
  }
}
