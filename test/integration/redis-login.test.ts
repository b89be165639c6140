import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, openRecords, type TollkeeperError } from "../../src/index.js";
import { serve } from "../../src/service/serve.js";
import type { RedisStorage } from "../../src/shared/storage-options.js";
import { RedisRecords } from "../../src/store/redis-records.js";
import { parseAddress } from "../../src/store/redis-url.js";
import { Certificates } from "../redis/certificates.js";
import { RedisCluster } from "../redis/cluster.js";
import { newPrefix } from "../redis/replicas.js";
import { SentinelGroup } from "../redis/sentinels.js";
import { forFile, RedisServer } from "../redis/server.js";

const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: 100, period: "day" as const }] } };
const SEEN = { timeout: 10_000, interval: 20 };

const certificates = await forFile(Promise.resolve(new Certificates()));
const [redis, cluster, secure, sentinels, secureCluster] = await Promise.all([
  forFile(RedisServer.start()),
  forFile(RedisCluster.start()),
  forFile(RedisServer.startTls(certificates)),
  forFile(SentinelGroup.start()),
  forFile(RedisCluster.start(undefined, certificates)),
]);
const admin = new Redis(redis.port);
await forFile(Promise.resolve({ stop: async () => admin.disconnect() }));

function open(storage: Omit<RedisStorage, "type">) {
  const told: TollkeeperError[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", timeoutMs: 2000, ...storage },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  return { limiter, told };
}

function recordsAt(url: string, credentials?: () => { password: string }): RedisRecords {
  const options = { address: parseAddress(url, "url"), url, prefix: "login", tls: undefined, timeoutMs: 2000 };
  const records = new RedisRecords({ ...options, allowEviction: false, credentials });
  onTestFinished(() => records.close());
  return records;
}

/** A password that takes the place of another at once: connections of the old one end. */
async function rotate(user: string, password: string): Promise<void> {
  await admin.call("ACL", "SETUSER", user, "reset", "on", `>${password}`, "~*", "&*", "+@all");
  await admin.call("CLIENT", "KILL", "USER", user);
}

const port = () => cluster.servers[1]?.port ?? 0;

it.each([
  ["redis://", () => `redis://127.0.0.1:${port()}`],
  ["redis://…/0", () => `redis://127.0.0.1:${port()}/0`],
  ["redis-cluster://", () => `redis-cluster://127.0.0.1:${port()}`],
])(
  "one node of a Cluster is enough: %s",
  async (_scheme, url) => {
    const { limiter, told } = open({ url: url(), prefix: "one" });
    await limiter.ready(10_000);
    for (let key = 0; key < 20; key++) expect((await limiter.consume(`k${key}`, "t")).allowed).toBe(true);
    expect(told).toEqual([]);
    const records = recordsAt(url());
    await records.open();
    await records.ready(10_000);
    await records.put("a", "1");
    expect(records.get("a")).toBe("1");
  },
  30_000,
);

it.each(["at once", "later"])(
  "a password that changes is asked for anew (%s), with no restart",
  async (when) => {
    const user = when.replace(" ", "");
    let password = "first";
    await rotate(user, password);
    const credentials = () => {
      const present = { username: user, password };
      return when === "later" ? Promise.resolve(present) : present;
    };
    const { limiter } = open({ url: redis.url, prefix: user, credentials });
    const records = recordsAt(redis.url.replace("//", `//${user}@`), () => ({ password }));
    await records.open();
    await Promise.all([limiter.ready(8000), records.ready(8000)]);
    password = "second";
    await rotate(user, password);
    await vi.waitFor(() => records.put("a", "1"), SEEN);
    await limiter.ready(8000);
    expect((await limiter.consume("k", "t")).allowed).toBe(true);
    // The server has changed first: what is known is of yesterday for a while.
    await rotate(user, "third");
    await vi.waitFor(() => expect(limiter.isReady).toBe(false), SEEN);
    password = "third";
    await vi.waitFor(() => expect(limiter.isReady).toBe(true), SEEN);
    await vi.waitFor(() => records.put("a", "2"), SEEN);
    await admin.publish(`{${user}}:changes`, "");
    const listening = async () => (await admin.pubsub("NUMSUB", `{${user}}:changes`))[1];
    await vi.waitFor(async () => expect(await listening()).toBe(1), SEEN);
  },
  40_000,
);

it("a password of a Cluster may change too", async () => {
  const nodes = cluster.servers.map((server) => new Redis(server.port));
  onTestFinished(() => nodes.forEach((node) => void node.disconnect()));
  let password = "first";
  const change = () =>
    Promise.all(
      nodes.map(async (node) => {
        await node.call("ACL", "SETUSER", "rotating", "reset", "on", `>${password}`, "~*", "&*", "+@all");
        await node.call("CLIENT", "KILL", "USER", "rotating");
      }),
    );
  await change();
  const credentials = () => ({ username: "rotating", password });
  const { limiter } = open({ url: cluster.url, prefix: "rotating", credentials });
  await limiter.ready(10_000);
  password = "second";
  await change();
  await vi.waitFor(async () => {
    await limiter.consume("k", "t");
    const clients = await Promise.all(nodes.map((node) => node.call("CLIENT", "LIST")));
    expect(clients.join("\n")).toMatch(/user=rotating/);
  }, SEEN);
  await vi.waitFor(() => expect(limiter.isReady).toBe(true), SEEN);
}, 30_000);

/** Whose password it is that changes, on each of these servers. */
class Rotation {
  readonly user = newPrefix();
  readonly servers: readonly Redis[];
  password = "";
  /** Whether there is none to be had just now. */
  isAway = false;
  asked = 0;

  constructor(servers: readonly RedisServer[], tls: { ca: string } | undefined) {
    this.servers = servers.map(({ port }) => new Redis({ port, host: "127.0.0.1", ...(tls ? { tls } : {}) }));
    onTestFinished(() => this.servers.forEach((server) => void server.disconnect()));
  }

  readonly credentials = async () => {
    this.asked++;
    if (this.isAway) throw new Error("the token service is away");
    return { username: this.user, password: this.password };
  };

  /** Another password; connections that there are stay. */
  async change(): Promise<void> {
    this.password = newPrefix();
    const rights = ["reset", "on", `>${this.password}`, "~*", "&*", "+@all"];
    await Promise.all(this.servers.map((server) => server.call("ACL", "SETUSER", this.user, ...rights)));
  }

  async cut(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.call("CLIENT", "KILL", "USER", this.user)));
  }

  async ask(...words: [string, ...string[]]): Promise<string> {
    return (await Promise.all(this.servers.map((server) => server.call(...words)))).flat().join("\n");
  }
}

const tls = { ca: certificates.caText };
const places = [
  ["TLS", `rediss://127.0.0.1:${secure.port}`, tls, [secure]],
  ["Sentinels", sentinels.url, undefined, sentinels.servers],
  ["a Cluster", cluster.url, undefined, cluster.servers],
  ["a Cluster with TLS", secureCluster.url, tls, secureCluster.servers],
] as const;

it.each(places)(
  "a password that expires is asked for before each connection, with %s, for decisions, messages and records",
  async (_place, url, tls, servers) => {
    const rotation = new Rotation(servers, tls);
    const prefix = newPrefix();
    const { credentials } = rotation;
    const storage = { type: "redis" as const, url, prefix, credentials, timeoutMs: 2000, ...(tls ? { tls } : {}) };
    await rotation.change();
    const { limiter, told } = open(storage);
    const records = await openRecords(storage);
    onTestFinished(() => records.close());
    await Promise.all([limiter.ready(20_000), records.ready(20_000)]);
    for (let round = 0; round < 3; round++) {
      rotation.isAway = round === 1;
      await rotation.change();
      const before = rotation.asked;
      await rotation.cut();
      await vi.waitFor(() => expect(rotation.asked).toBeGreaterThan(before), SEEN);
      if (rotation.isAway) {
        const says = () => told.map(({ code, message }) => `${code} ${message}`).join("\n");
        await vi.waitFor(() => expect(says()).toMatch(/ERR_STORE_REFUSED .*the token service is away/), SEEN);
        rotation.isAway = false;
      }
      await vi.waitFor(() => records.put("round", String(round)), SEEN);
      await vi.waitFor(async () => {
        expect(limiter.isReady).toBe(true);
        const channels = await rotation.ask("PUBSUB", "CHANNELS", `{${prefix}}:*`);
        expect(channels).toContain(`{${prefix}}:changes`);
        expect(channels).toContain(`{${prefix}}:records-changes`);
      }, SEEN);
    }
  },
  90_000,
);

it("what a Cluster connects to by itself, long after, has a password that holds then", async () => {
  const rotation = new Rotation(cluster.servers, undefined);
  await rotation.change();
  const { limiter } = open({ url: cluster.url, prefix: newPrefix(), credentials: rotation.credentials });
  await limiter.ready(20_000);
  await rotation.change();
  await Promise.all(rotation.servers.map((server) => server.config("RESETSTAT")));
  await vi.waitFor(async () => {
    const stats = (await rotation.ask("INFO", "commandstats")).matchAll(
      /cmdstat_auth:calls=(\d+).*failed_calls=(\d+)/g,
    );
    const entered = [...stats].reduce((sum, [, calls, failed]) => sum + Number(calls) - Number(failed), 0);
    expect(entered).toBeGreaterThanOrEqual(2);
  }, SEEN);
  expect(limiter.isReady).toBe(true);
}, 40_000);

it("credentials that are none are told, and asked for again", async () => {
  let given: unknown = { password: undefined };
  const { limiter, told } = open({ url: redis.url, prefix: "none", credentials: () => given as { password: string } });
  await vi.waitFor(() => expect(told[0]).toMatchObject({ code: "ERR_STORE_REFUSED" }), SEEN);
  expect(told[0]?.message).toMatch(/no password for Redis: it gave a password of type undefined/);
  await rotate("none", "right");
  given = { username: "none", password: "right" };
  await limiter.ready(8000);
});

it("the service reads the password from its file for each connection", async () => {
  const file = join(redis.folder, "password");
  await rotate("service", "first");
  writeFileSync(file, "first\n");
  const environment = {
    PORT: "0",
    RATE_LIMIT_REDIS_URL: redis.url.replace("//", "//service@"),
    RATE_LIMIT_REDIS_PREFIX: "service",
    RATE_LIMIT_REDIS_PASSWORD_FILE: file,
    RATE_LIMIT_LOG_LEVEL: "silent",
    RATE_LIMIT_ON_OUTAGE: "closed",
    RATE_LIMIT_DEMO_KEYS: "never",
  };
  const service = await serve({ environment, print: () => undefined, logStream: { write: () => undefined } });
  onTestFinished(() => service.stop());
  const ready = async () => (await fetch(`${service.url}/ready`)).status;
  expect(await ready()).toBe(200);
  await rotate("service", "second");
  await vi.waitFor(async () => expect(await ready()).toBe(503), SEEN);
  writeFileSync(file, "second\n");
  await vi.waitFor(async () => expect(await ready()).toBe(200), SEEN);
}, 30_000);
