import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { freePort } from "../../bench/free-port.js";
import { createLimiter, type TollkeeperError } from "../../src/index.js";
import type { RedisStorage } from "../../src/shared/storage-options.js";
import { nameOf } from "../../src/store/wire.js";
import { Certificates } from "../redis/certificates.js";
import { RedisCluster } from "../redis/cluster.js";
import { Relay } from "../redis/relay.js";
import { SentinelGroup } from "../redis/sentinels.js";
import { forFile, RedisServer } from "../redis/server.js";

const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: 100, period: "day" as const }] } };

const certificates = await forFile(Promise.resolve(new Certificates()));
const [plain, secret, secure, evicting, sentinels, cluster] = await Promise.all([
  forFile(RedisServer.start()),
  forFile(RedisServer.start("--requirepass", "secret")),
  forFile(RedisServer.startTls(certificates)),
  forFile(RedisServer.start("--maxmemory-policy", "allkeys-lru")),
  forFile(SentinelGroup.start()),
  forFile(RedisCluster.start()),
]);
const replica = await forFile(RedisServer.start("--replicaof", "127.0.0.1", String(plain.port)));
const nobody = await freePort();

interface Limited {
  limiter: ReturnType<typeof open>["limiter"];
  told: TollkeeperError[];
}

function open(storage: Omit<RedisStorage, "type">) {
  const told: TollkeeperError[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { ...storage, type: "redis" },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  return { limiter, told };
}

/**
 * Waits until something is told, and for what a call gets meanwhile: this replica's part of the limit where Redis is not
 * there, and none where it answers and refuses, since the part is then not known.
 */
async function tells({ limiter, told }: Limited, code: string, says: RegExp): Promise<void> {
  await vi.waitFor(() => expect(told.map((error) => `${error.code} ${error.message}`).join("\n")).toMatch(says), {
    timeout: 8000,
  });
  expect(told.find(({ message }) => says.test(message))?.code).toBe(code);
  if (code === "ERR_STORE_REFUSED" || (code === "ERR_STORE_UNSUITABLE" && !limiter.isReady)) {
    // Of a Cluster it may be a node that is told of first.
    const refused = () =>
      expect(() => limiter.consume("k", "t")).toThrow(expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" }));
    await vi.waitFor(refused, { timeout: 8000 });
    await expect(limiter.ready(1)).rejects.toThrow(expect.objectContaining({ code }));
  } else {
    expect((await limiter.consume("k", "t")).allowed).toBe(true);
  }
}

const local = (port: number) => `redis://127.0.0.1:${port}`;
const unusable = [
  {
    name: "nobody listens",
    storage: { url: local(nobody) },
    code: "ERR_STORE_UNAVAILABLE",
    says: /can't be reached: connect ECONNREFUSED/,
  },
  {
    name: "a host that is none",
    storage: { url: "redis://redis.invalid" },
    code: "ERR_STORE_UNAVAILABLE",
    says: /redis\.invalid can't be reached: getaddrinfo .* redis\.invalid.*check the host in the URL/,
  },
  {
    name: "no password where one is needed",
    storage: { url: secret.url },
    code: "ERR_STORE_REFUSED",
    says: /refuses the user or password \(NOAUTH.*correct them in the URL/,
  },
  {
    name: "a wrong password",
    storage: { url: `redis://:other@127.0.0.1:${secret.port}` },
    code: "ERR_STORE_REFUSED",
    says: /refuses the user or password \(WRONGPASS.*correct them in the URL/,
  },
  {
    name: "a user that is none",
    storage: { url: `redis://nobody:secret@127.0.0.1:${secret.port}` },
    code: "ERR_STORE_REFUSED",
    says: /refuses the user or password \(WRONGPASS.*correct them in the URL/,
  },
  {
    name: "a database that is none",
    storage: { url: `${plain.url}/99` },
    code: "ERR_STORE_FAILED",
    says: /answered: ERR DB index is out of range; correct the database in the URL/,
  },
  {
    name: "redis:// where TLS is spoken",
    storage: { url: local(secure.port) },
    code: "ERR_STORE_UNAVAILABLE",
    says: /can't be reached: .*if the server speaks TLS, the URL begins with rediss:/,
  },
  {
    name: "rediss:// where no TLS is spoken",
    storage: { url: `rediss://127.0.0.1:${plain.port}` },
    code: "ERR_STORE_UNAVAILABLE",
    says: /can't be reached: .*if the server speaks no TLS, the URL begins with redis:/,
  },
  {
    name: "a certificate of an unknown authority",
    storage: { url: `rediss://127.0.0.1:${secure.port}` },
    code: "ERR_STORE_REFUSED",
    says: /certificate.*give its authority as storage\.tls\.ca, or in NODE_EXTRA_CA_CERTS/,
  },
  {
    name: "a replica",
    storage: { url: replica.url },
    code: "ERR_STORE_UNSUITABLE",
    says: /is a replica, which can't be written to; give the address of its master, or of its Sentinels/,
  },
  {
    name: "a database of a Cluster",
    storage: { url: `${local(cluster.servers[0]?.port ?? 0)}/2` },
    code: "ERR_STORE_UNSUITABLE",
    says: /is a node of a Cluster, which has no databases but 0; leave the database out of its address/,
  },
  {
    name: "a list of nodes where there is no Cluster",
    storage: { url: `${plain.url},${evicting.url}` },
    code: "ERR_STORE_UNSUITABLE",
    says: /no Cluster.*give the address of one server/,
  },
  {
    name: "a Cluster of which no node is there",
    storage: { url: `${local(nobody)},${local(nobody)}` },
    code: "ERR_STORE_UNAVAILABLE",
    says: /can't be reached: .*ECONNREFUSED/,
  },
  {
    name: "a Sentinel",
    storage: { url: local(sentinels.ports[0] ?? 0) },
    code: "ERR_STORE_UNSUITABLE",
    says: /is a Sentinel; give its address as redis-sentinel:\/\/host:port\/master/,
  },
  {
    name: "Sentinels that know no such master",
    storage: { url: sentinels.url.replace("/main", "/other") },
    code: "ERR_STORE_UNSUITABLE",
    says: /know no such master .*; correct its name in the URL/,
  },
  {
    name: "Sentinels that are none",
    storage: { url: `redis-sentinel://127.0.0.1:${nobody}/main` },
    code: "ERR_STORE_UNAVAILABLE",
    says: /can't be reached: All sentinels are unreachable.*check their addresses in the URL/,
  },
];

it.each(unusable)(
  "says what mends it: $name",
  async ({ storage, code, says }) => {
    const limited = open(storage);
    await tells(limited, code, says);
    expect(limited.limiter.isReady).toBe(false);
    expect(limited.told.every(({ message }) => !message.includes("secret"))).toBe(true);
  },
  15_000,
);

it("says of a Redis that is too old that it be upgraded", async () => {
  const relay = await Relay.start(plain.port);
  onTestFinished(() => relay.stop());
  relay.edit = (text) => text.replace(/redis_version:\d\.\d\.\d\d/, "redis_version:6.0.16");
  await tells(open({ url: relay.url }), "ERR_STORE_UNSUITABLE", /is version 6\.0\.16; .*upgrade the server/);
});

const EVICTS = /maxmemory-policy allkeys-lru.*CONFIG SET maxmemory-policy noeviction.*storage\.allowEviction/;

it("refuses a maxmemory-policy that forgets", async () => {
  await tells(open({ url: evicting.url }), "ERR_STORE_UNSUITABLE", EVICTS);
});

it("warns of it if it is allowed, and works", async () => {
  const limited = open({ url: evicting.url, allowEviction: true });
  await limited.limiter.ready();
  await tells(limited, "ERR_STORE_UNSUITABLE", /maxmemory-policy allkeys-lru.*CONFIG SET/);
});

it("refuses one such node among the masters of a Cluster", async () => {
  const client = new Redis({ port: cluster.servers[2]?.port ?? 0, host: "127.0.0.1" });
  await client.config("SET", "maxmemory-policy", "volatile-ttl");
  await tells(open({ url: cluster.url }), "ERR_STORE_UNSUITABLE", /maxmemory-policy volatile-ttl/);
  await client.config("SET", "maxmemory-policy", "noeviction");
  client.disconnect();
});

it("says that a script was stopped for time, and goes on when the server is free", async () => {
  const client = new Redis({ port: plain.port, host: "127.0.0.1" });
  const other = new Redis({ port: plain.port, host: "127.0.0.1" });
  await client.config("SET", "busy-reply-threshold", "10");
  const limited = open({ url: plain.url, mode: "exact", timeoutMs: 500, prefix: "busy" });
  await limited.limiter.ready();
  const loop = other.eval("while true do end", 0).catch((error: Error) => error.message);
  await tells(limited, "ERR_STORE_FAILED", /\(BUSY .*raise busy-reply-threshold/);
  await client.script("KILL");
  expect(await loop).toMatch(/killed by user/i);
  await vi.waitFor(() => expect(limited.limiter.isReady).toBe(true), { timeout: 5000 });
  client.disconnect();
  other.disconnect();
}, 15_000);

it("does not read a hash with more fields than a key can have, however many", async () => {
  const client = new Redis({ port: plain.port, host: "127.0.0.1" });
  const prefix = "slow";
  const limited = open({ url: plain.url, mode: "exact", timeoutMs: 8000, prefix });
  await limited.limiter.ready();
  const fill =
    "for i = 1, 300000, 1000 do local f = {} for j = i, i + 999 do f[#f + 1] = '@' .. j f[#f + 1] = '' end redis.call('HSET', KEYS[1], unpack(f)) end";
  await client.config("SET", "busy-reply-threshold", "5000");
  await client.eval(fill, 1, nameOf(prefix, "k"));
  const monitor = await client.monitor();
  const read: string[] = [];
  monitor.on("monitor", (_time, [command, name]: string[]) => {
    if (name === nameOf(prefix, "k")) read.push(String(command).toUpperCase());
  });
  expect((await limited.limiter.consume("k", "t")).allowed).toBe(true); // By the outage policy.
  await tells(limited, "ERR_STORE_FOREIGN", /a hash of somebody else's/);
  await vi.waitFor(() => expect(read).toContain("HLEN"));
  monitor.disconnect();
  expect(read.filter((command) => command !== "HLEN" && command !== "TYPE")).toEqual([]);
  expect((await limited.limiter.consume("l", "t")).limits[0]?.remaining).toBe(99);
  expect(limited.limiter.isReady).toBe(true);
  client.disconnect();
}, 20_000);

it("takes up a server whose replication was turned round while it ran", async () => {
  const [old, next] = await Promise.all([RedisServer.start(), RedisServer.start()]);
  onTestFinished(() => Promise.all([old.stop(), next.stop()]).then(() => undefined));
  const client = new Redis({ port: old.port, host: "127.0.0.1" });
  const limited = open({ url: old.url, mode: "exact" });
  await limited.limiter.ready();
  await client.replicaof("127.0.0.1", next.port);
  await vi.waitFor(
    async () => {
      await limited.limiter.consume("k", "t");
      expect(limited.told.map(({ message }) => message).join()).toMatch(/is a replica/);
    },
    { timeout: 8000 },
  );
  await client.replicaof("NO", "ONE");
  client.disconnect();
  await vi.waitFor(() => expect(limited.limiter.isReady).toBe(true), { timeout: 8000 });
}, 20_000);
