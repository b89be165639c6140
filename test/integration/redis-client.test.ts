import { join } from "node:path";
import { Cluster as Cluster6, Redis as Redis6 } from "ioredis";
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import { afterAll, describe, expect, it, onTestFinished, vi } from "vitest";
import {
  createLimiter,
  openRecords,
  type RedisClient,
  type RedisStorage,
  type TollkeeperError,
} from "../../src/index.js";
import { serve } from "../../src/service/serve.js";
import { Certificates } from "../redis/certificates.js";
import { RedisCluster } from "../redis/cluster.js";
import { newPrefix } from "../redis/replicas.js";
import { SentinelGroup } from "../redis/sentinels.js";
import { forFile, RedisServer } from "../redis/server.js";

const LIMIT = 20;
const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: LIMIT, period: "day" as const }] } };
const SEEN = { timeout: 15_000, interval: 20 };

const certificates = await forFile(Promise.resolve(new Certificates()));
const socket = join(certificates.ca, "..", "redis.sock");
const [redis, secure, cluster, sentinels] = await Promise.all([
  forFile(RedisServer.start("--unixsocket", socket)),
  forFile(RedisServer.startTls(certificates)),
  forFile(RedisCluster.start()),
  forFile(SentinelGroup.start({ password: "secret" })),
]);
const admin = new Redis6(redis.port);
afterAll(() => admin.disconnect());

const host = "127.0.0.1";
const nodes = cluster.servers.map(({ port }) => ({ host, port }));
const watchers = sentinels.ports.map((port) => ({ host, port }));

function open(storage: Omit<RedisStorage, "type">) {
  const told: TollkeeperError[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", mode: "exact", timeoutMs: 5000, prefix: newPrefix(), ...storage },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  const says = () => told.map(({ code, message }) => `${code} ${message}`).join("\n");
  return { limiter, told, says };
}

/** A client as an app has it, with the listener for errors that every app needs. */
function ofApp<T extends NodeJS.EventEmitter & { disconnect(): void }>(client: T): T {
  client.on("error", () => undefined);
  onTestFinished(() => client.disconnect());
  return client;
}

/** Spends a quota over two limiters: exactly what it is, and no complaint. */
async function sharesExactly(client: RedisClient, other = client): Promise<void> {
  const prefix = newPrefix();
  const [first, second] = [open({ client, prefix }), open({ client: other, prefix })];
  await Promise.all([first, second].map(({ limiter }) => limiter.ready()));
  const calls = Array.from({ length: LIMIT }, () =>
    Promise.all([first, second].map(({ limiter }) => limiter.consume("k", "t"))),
  );
  const admitted = (await Promise.all(calls)).flat().filter(({ allowed }) => allowed);
  expect(admitted.length).toBe(LIMIT);
  // What is said on the channel comes to the other one.
  await first.limiter.reset("k");
  await vi.waitFor(async () => expect((await second.limiter.consume("k", "t")).allowed).toBe(true), SEEN);
  expect(first.says() + second.says()).toBe("");
}

/** Each option of ioredis that could bend what we send or read; no reply of ours would be right with any of them. */
const bent = [
  ["enableAutoPipelining", { enableAutoPipelining: true }],
  ["commandTimeout", { commandTimeout: 1, blockingTimeout: 1 }],
  ["maxRetriesPerRequest", { maxRetriesPerRequest: null }],
  ["stringNumbers", { stringNumbers: true }],
  ["RESP3", { protocol: 3, replyMapping: "resp3" }],
  ["showFriendlyErrorStack", { showFriendlyErrorStack: true }],
  ["lazyConnect", { lazyConnect: true }],
  ["enableOfflineQueue", { enableOfflineQueue: false }],
  ["retryStrategy", { retryStrategy: () => null }],
  ["readOnly", { readOnly: true }],
  ["scripts", { scripts: { info: { lua: "return 1" }, tollkeeperKeys: { lua: "return 1" } } }],
  ["db", { db: 3 }],
  ["connectionName", { connectionName: "app" }],
] as const;

describe.each([
  { version: 6, Redis: Redis6, Cluster: Cluster6 },
  { version: 5, Redis: Redis5 as unknown as typeof Redis6, Cluster: Cluster5 as unknown as typeof Cluster6 },
])("a client of ioredis $version", ({ Redis, Cluster }) => {
  const redisOf = (options: object = {}) => ofApp(new Redis({ host, port: redis.port, ...options }));

  it.each(bent)("whatever it makes of %s, limits are exact", (_option, options) => sharesExactly(redisOf(options)));

  it.each([
    ["of a Unix socket", () => new Redis({ path: socket })],
    ["with TLS", () => new Redis({ host, port: secure.port, tls: { ca: certificates.caText } })],
    ["of a master's Sentinels", () => new Redis({ sentinels: watchers, name: "main", password: "secret" })],
    [
      "that reads of a replica",
      () => new Redis({ sentinels: watchers, name: "main", password: "secret", role: "slave" }),
    ],
    ["of a Cluster", () => new Cluster(nodes.slice(0, 2))],
    ["of a Cluster that reads of replicas", () => new Cluster(nodes.slice(3), { scaleReads: "slave" })],
    ["of a Cluster that was never connected", () => new Cluster([nodes[0]?.port ?? 0], { lazyConnect: true })],
  ] as const)("%s is as good as a URL, for records too", async (_kind, make) => {
    const client = ofApp(make());
    await sharesExactly(client);
    const records = await openRecords({ type: "redis", client, timeoutMs: 5000, prefix: newPrefix() });
    onTestFinished(() => records.close());
    await records.ready(10_000);
    await records.put("a", "1");
    expect(records.get("a")).toBe("1");
  });

  it.each([
    ["in the midst of MULTI", (client: Redis6): unknown => client.multi({ pipeline: false })],
    ["that waits for a list", (client: Redis6): unknown => void client.blpop("nothing", 0).catch(() => undefined)],
    ["in subscriber mode", (client: Redis6): unknown => client.subscribe("news")],
    ["that has not connected yet", async () => undefined],
  ] as const)("one %s serves all the same", async (state, enter) => {
    const client: Redis6 = redisOf({ lazyConnect: true });
    if (!/not connected/.test(state)) await client.connect();
    await (enter as (client: Redis6) => unknown)(client);
    const status = client.status;
    await sharesExactly(client);
    expect(client.status).toBe(status);
  });

  it("one that monitors serves all the same", async () => {
    await sharesExactly(ofApp(await redisOf().monitor()));
  });

  it("it stays the app's own: nothing of it is changed, and no listener stays", async () => {
    const client = redisOf();
    await client.ping();
    const listeners = () => client.eventNames().map((name) => [name, client.listenerCount(name)]);
    const before = { options: { ...client.options }, listeners: listeners() };
    const { limiter } = open({ client });
    const records = await openRecords({ type: "redis", client, timeoutMs: 5000, prefix: newPrefix() });
    await Promise.all([limiter.ready(), records.ready(10_000)]);
    expect(listeners()).not.toEqual(before.listeners);
    // Node warns of more than ten.
    const others = Array.from({ length: 12 }, () => open({ client }).limiter);
    await Promise.all(others.map((other) => other.ready()));
    expect(client.listenerCount("end")).toBe(1);
    await Promise.all(others.map((other) => other.close()));
    await client.ping();
    expect(client.listenerCount("end")).toBe(1);
    await Promise.all([limiter.close(), records.close()]);
    expect({ options: { ...client.options }, listeners: listeners() }).toEqual(before);
    expect(client.status).toBe("ready");
    expect(await client.ping()).toBe("PONG");
  });

  it.each([
    ["disconnects", (client: Redis6 | Cluster6): unknown => client.disconnect()],
    ["quits", (client: Redis6 | Cluster6): unknown => client.quit()],
  ] as const)(
    "while the app %s it the outage policy decides, and says so, until it connects again",
    async (_way, end) => {
      for (const client of [redisOf(), ofApp(new Cluster(nodes))]) {
        const { limiter, says } = open({ client });
        await limiter.ready();
        await limiter.consume("k", "t");
        await end(client);
        await vi.waitFor(() => expect(limiter.isReady).toBe(false), SEEN);
        expect((await limiter.consume("k", "t")).allowed).toBe(true);
        await vi.waitFor(
          () => expect(says()).toMatch(/ERR_STORE_UNAVAILABLE the app has ended the Redis client/),
          SEEN,
        );
        await client.connect();
        await limiter.ready();
        await vi.waitFor(
          async () => expect((await limiter.consume("k", "t")).limits[0]?.remaining).toBeLessThan(LIMIT - 2),
          SEEN,
        );
      }
    },
    30_000,
  );

  it("one that was ended before waits for the app", async () => {
    const client = redisOf();
    await client.quit();
    await vi.waitFor(() => expect(client.status).toBe("end"), SEEN);
    const { limiter, says } = open({ client });
    await vi.waitFor(() => expect(says()).toMatch(/the app has ended the Redis client/), SEEN);
    expect(limiter.isReady).toBe(false);
    await client.connect();
    await limiter.ready();
  });

  it("connections that are cut are made anew", async () => {
    const client = redisOf();
    const { limiter } = open({ client });
    await limiter.ready();
    for (const type of ["normal", "pubsub", "normal"]) {
      const killed = await admin.call("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes");
      expect(killed).toBeGreaterThan(0);
      await vi.waitFor(async () => {
        expect(limiter.isReady).toBe(true);
        expect((await limiter.consume("k", "t")).isProvisional).toBe(false);
      }, SEEN);
    }
  }, 30_000);

  it("a password that the app sets on it holds for the next connection", async () => {
    const user = newPrefix();
    const become = (password: string) =>
      admin.call("ACL", "SETUSER", user, "reset", "on", `>${password}`, "~*", "&*", "+@all");
    await become("first");
    const client = redisOf({ username: user, password: "first" });
    const { limiter, says } = open({ client });
    await limiter.ready();
    await become("second");
    client.options.password = "second";
    await admin.call("CLIENT", "KILL", "USER", user);
    await vi.waitFor(() => expect(limiter.isReady).toBe(false), SEEN);
    await limiter.ready();
    expect(says()).not.toMatch(/ERR_STORE_REFUSED/);
  }, 20_000);

  it("the rights that a user needs are those told for a URL", async () => {
    const [user, prefix] = [newPrefix(), newPrefix()];
    const enough = [`~{${prefix}:*`, `~{${prefix}}:*`, `&{${prefix}}:*`, "+@all", "-@dangerous", "+info"];
    await admin.call("ACL", "SETUSER", user, "reset", "on", ">secret", ...enough, "-evalsha");
    const { limiter, says } = open({ client: redisOf({ username: user, password: "secret" }), prefix });
    await vi.waitFor(() => expect(says()).toMatch(/ERR_STORE_REFUSED .*evalsha/), SEEN);
    await admin.call("ACL", "SETUSER", user, "+evalsha");
    await limiter.ready();
    expect((await limiter.consume("k", "t")).allowed).toBe(true);
    await admin.call("ACL", "SETUSER", user, "-publish");
    await vi.waitFor(
      () => expect(says()).toMatch(new RegExp(`the user ${user} .*ACL SETUSER ${user} .*\\+publish`)),
      SEEN,
    );
  }, 20_000);

  it("a replica, and a node of a Cluster, are told for what they are", async () => {
    const follower = await RedisServer.start("--replicaof", host, String(redis.port));
    onTestFinished(() => follower.stop());
    const { says } = open({ client: ofApp(new Redis({ host, port: follower.port })) });
    await vi.waitFor(() => expect(says()).toMatch(/ERR_STORE_UNSUITABLE .* is a replica/), SEEN);
    const node = open({ client: ofApp(new Redis(nodes[0] ?? {})) });
    await vi.waitFor(
      () => expect(node.says()).toMatch(/ERR_STORE_UNSUITABLE .* is a node of a Cluster.*give an ioredis Cluster/),
      SEEN,
    );
    const alone = open({ client: ofApp(new Cluster([redis.port])) });
    await vi.waitFor(() => expect(alone.says()).toMatch(/ERR_STORE_UNSUITABLE .*is no Cluster/), SEEN);
  }, 20_000);

  it("replies that the app has transformed are not taken for others", async () => {
    const { Command } = Redis as unknown as typeof import("ioredis");
    const { reply } = (Command as unknown as { _transformer: { reply: Record<string, unknown> } })._transformer;
    onTestFinished(() => {
      delete reply["info"];
      delete reply["evalsha"];
    });
    Command.setReplyTransformer("info", () => ({ parsed: true }));
    await sharesExactly(redisOf());
    Command.setReplyTransformer("evalsha", () => "something else");
    const { says } = open({ client: redisOf() });
    await vi.waitFor(() => expect(says()).toMatch(/ERR_STORE_FAILED .*whether the app has ioredis transform/), SEEN);
  }, 20_000);

  it.each([
    ["Redis", () => new Redis({ keyPrefix: "app:", lazyConnect: true })],
    ["Cluster", () => new Cluster([1], { keyPrefix: "app:", lazyConnect: true })],
    ["Cluster's nodes", () => new Cluster([1], { redisOptions: { keyPrefix: "app:" }, lazyConnect: true })],
  ] as const)("a keyPrefix is refused: %s", (_kind, make) => {
    expect(() => open({ client: ofApp(make()) })).toThrow(
      /^storage\.client is a client with the keyPrefix app:, .*duplicate\(\{ keyPrefix: "", lazyConnect: true \}\)/,
    );
  });

  it("what the message advises serves", async () => {
    const client = ofApp(redisOf({ keyPrefix: "app:" }).duplicate({ keyPrefix: "", lazyConnect: true }));
    await sharesExactly(client);
    expect(client.status).toBe("wait");
  });
});

it("apps with one version and the other share one limit", () =>
  sharesExactly(ofApp(new Redis5(redis.port)), ofApp(new Redis6(redis.port))));

it("follows a failover with the app's own client", async () => {
  const client = ofApp(new Redis6({ sentinels: watchers, name: "main", password: "secret" }));
  const { limiter } = open({ client, prefix: "failover" });
  await limiter.ready();
  const spent = async () => LIMIT - ((await limiter.peek("k", "t")).limits[0]?.remaining ?? 0);
  for (let call = 0; call < 5; call++) await limiter.consume("k", "t");
  const watcher = new Redis6({ host, port: sentinels.ports[0] ?? 0 });
  onTestFinished(() => watcher.disconnect());
  const master = () => watcher.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main") as Promise<[string, string]>;
  const [, before] = await master();
  const old = sentinels.servers.find(({ port }) => String(port) === before);
  await old?.kill();
  await vi.waitFor(async () => expect((await master())[1]).not.toBe(before), { timeout: 30_000, interval: 100 });
  await limiter.ready(30_000);
  await vi.waitFor(async () => expect(await spent()).toBeGreaterThanOrEqual(5), SEEN);
  await vi.waitFor(() => expect(client.status).toBe("ready"), SEEN);
}, 90_000);

it.each([
  ["unix://", () => `unix://${socket}`],
  ["redis+unix://…?db=2", () => `redis+unix://${socket}?db=2`],
  ["valkey://", () => `valkey://${host}:${redis.port}/1`],
] as const)("%s is a URL too", async (_scheme, url) => {
  const { limiter, says } = open({ url: url() });
  await limiter.ready();
  expect((await limiter.consume("k", "t")).limits[0]?.remaining).toBe(LIMIT - 1);
  expect(says()).toBe("");
});

it("the service takes the URL of a socket, and shows no password of it", async () => {
  await admin.call("ACL", "SETUSER", "unix", "reset", "on", ">secret", "~*", "&*", "+@all");
  const printed: string[] = [];
  const environment = {
    PORT: "0",
    RATE_LIMIT_REDIS_URL: `unix://unix:secret@${socket}?db=3`,
    RATE_LIMIT_LOG_LEVEL: "silent",
    RATE_LIMIT_DEMO_KEYS: "never",
  };
  const print = (line: string) => void printed.push(line);
  const service = await serve({ environment, print, logStream: { write: () => undefined } });
  onTestFinished(() => service.stop());
  expect((await fetch(`${service.url}/ready`)).status).toBe(200);
  expect(printed.join("\n")).toContain(`unix://***@${socket}?db=3`);
  expect(printed.join("\n")).not.toContain("secret");
}, 20_000);

it("valkeys:// is a URL too", async () => {
  const { limiter } = open({ url: `valkeys://${host}:${secure.port}`, tls: { ca: certificates.caText } });
  await limiter.ready();
});

it("a socket that is none is told with what mends it", async () => {
  const { says } = open({ url: "unix:///nowhere/redis.sock" });
  await vi.waitFor(
    () => expect(says()).toMatch(/unix:\/\/\/nowhere\/redis\.sock can't be reached: .*ENOENT.*; check the path/),
    SEEN,
  );
});
