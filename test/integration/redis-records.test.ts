import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { RedisRecords } from "../../src/store/redis-records.js";
import { parseAddress } from "../../src/store/redis-url.js";
import { RedisCluster } from "../redis/cluster.js";
import { forFile, RedisServer } from "../redis/server.js";

const PATIENCE_MS = 10_000;
/** Two seconds are what is promised. */
const SEEN = { timeout: 5000, interval: 5 };

const redis = await forFile(RedisServer.start());
let prefixes = 0;

/** Replicas that share records under a prefix of their own. */
async function replicas(count: number, url = redis.url, prefix = `records-${prefixes++}`): Promise<RedisRecords[]> {
  const options = {
    address: parseAddress(url, "url"),
    url,
    prefix,
    tls: undefined,
    timeoutMs: 1000,
    allowEviction: false,
  };
  const opened = Array.from({ length: count }, () => new RedisRecords(options));
  for (const records of opened) {
    onTestFinished(() => records.close());
    await records.open();
    await records.ready(PATIENCE_MS);
  }
  return opened;
}

it("are read where they were written at once, and elsewhere as soon as it is told", async () => {
  const [first, second] = await replicas(2);
  await first?.put("key:1", "one");
  await first?.put("key:2", "two");
  await first?.put("key:2", undefined);
  await first?.put("other:1", "é + ~");
  expect(first?.list("key:")).toEqual([["key:1", "one"]]);
  await vi.waitFor(() => expect(second?.get("other:1")).toBe("é + ~"), SEEN);
  expect(second?.list("key:")).toEqual([["key:1", "one"]]);
  const before = second?.version;
  await first?.put("key:1", "more");
  await vi.waitFor(() => expect(second?.get("key:1")).toBe("more"), SEEN);
  expect(second?.version).not.toBe(before);
});

/** What somebody may have left in the log, or in what replicas tell of it. */
const POISONS: Record<string, (client: Redis, prefix: string) => Promise<unknown>> = {
  ...Object.fromEntries(
    ["inf", "1e300", "9007199254740992", "-inf"].map((position) => [
      `a position of ${position}`,
      (client: Redis, prefix: string) => client.zadd(`{${prefix}}:records-log`, position, "key:1"),
    ]),
  ),
  ...Object.fromEntries(
    ["inf", "nan", "abc", "1.5", ""].map((count) => [
      `${count || "nothing"} for a number`,
      (client: Redis, prefix: string) => client.hset(`{${prefix}}:replicas`, { records: count }),
    ]),
  ),
};

it.each(Object.entries(POISONS))("are heard of by all where somebody has written %s", async (_, poison) => {
  const prefix = `records-${prefixes++}`;
  const [first, second] = await replicas(2, redis.url, prefix);
  await first?.put("key:1", "one");
  await first?.put("key:2", "two");
  await vi.waitFor(() => expect(second?.get("key:2")).toBe("two"), SEEN);
  const client = new Redis({ host: "127.0.0.1", port: redis.port, protocol: 2 });
  onTestFinished(() => client.disconnect());
  await poison(client, prefix);
  // Both have read it.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await first?.put("key:2", undefined);
  await second?.put("key:3", "three");
  const [third] = await replicas(1, redis.url, prefix);
  for (const records of [first, second, third]) {
    await vi.waitFor(() => {
      expect(records?.list("key:")).toEqual([
        ["key:1", "one"],
        ["key:3", "three"],
      ]);
    }, SEEN);
    expect(records?.loss).toBe(undefined);
  }
});

it("made new by several replicas at once are those of one of them", async () => {
  const [first, second] = await replicas(2);
  const made = await Promise.all([first?.putNew("pepper", "a"), second?.putNew("pepper", "b")]);
  expect(new Set(made).size).toBe(1);
  expect(first?.get("pepper")).toBe(made[0]);
  await first?.put("pepper", undefined);
  expect(await second?.putNew("pepper", "c")).toBe("c");
});

it("are all read by a replica that comes later, however many they are", async () => {
  const prefix = "many";
  const [first] = await replicas(1, redis.url, prefix);
  await Promise.all(Array.from({ length: 1200 }, (_, index) => first?.put(`key:${index}`, `${index}`)));
  const [second] = await replicas(1, redis.url, prefix);
  expect(second?.list("key:")).toEqual(first?.list("key:"));
  expect(second?.list("key:")).toHaveLength(1200);
});

it("are read on while the server is away, and told to one that came back empty; what was written meanwhile is not undone", async () => {
  const server = await RedisServer.start();
  onTestFinished(() => server.stop());
  const [first, second] = await replicas(2, server.url, "outage");
  await first?.put("key:1", "one");
  await first?.put("key:2", "two");
  await vi.waitFor(() => expect(second?.get("key:2")).toBe("two"), SEEN);
  await server.kill();
  await vi.waitFor(
    () =>
      expect(first?.put("key:3", "three")).rejects.toThrow(expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" })),
    SEEN,
  );
  expect([first?.isFresh, first?.get("key:1"), second?.get("key:2")]).toEqual([true, "one", "two"]);
  await server.run();
  await vi.waitFor(() => first?.put("key:1", "changed"), SEEN);
  const [third] = await replicas(1, server.url, "outage");
  await vi.waitFor(
    () =>
      expect(third?.list("key:")).toEqual([
        ["key:1", "changed"],
        ["key:2", "two"],
      ]),
    SEEN,
  );
  await vi.waitFor(() => expect(second?.get("key:1")).toBe("changed"), SEEN);
});

it("come back where a server was emptied while it runs, whatever was written since", async () => {
  const server = await RedisServer.start();
  onTestFinished(() => server.stop());
  const [first, second] = await replicas(2, server.url, "emptied");
  await first?.put("key:1", "one");
  await first?.put("key:2", undefined);
  await vi.waitFor(() => expect(second?.get("key:1")).toBe("one"), SEEN);
  const client = new Redis(server.port);
  onTestFinished(() => client.disconnect());
  await client.flushall();
  await second?.put("key:3", "three");
  const [third] = await replicas(1, server.url, "emptied");
  const expected = [
    ["key:1", "one"],
    ["key:3", "three"],
  ];
  for (const each of [first, second, third]) await vi.waitFor(() => expect(each?.list("key:")).toEqual(expected), SEEN);
});

it("never read are not relied on", async () => {
  const server = await RedisServer.start();
  await server.kill();
  onTestFinished(() => server.stop());
  const options = {
    address: parseAddress(server.url, "url"),
    url: server.url,
    prefix: "none",
    tls: undefined,
    timeoutMs: 50,
    allowEviction: false,
  };
  const records = new RedisRecords(options);
  onTestFinished(() => records.close());
  await records.open();
  await expect(records.ready(100)).rejects.toThrow(expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" }));
  expect(records.isFresh).toBe(false);
});

it("that can't be asked for say why: no server is there, or it refuses the password", async () => {
  const guarded = await RedisServer.start("--requirepass", "right");
  onTestFinished(() => guarded.stop());
  const nowhere = await RedisServer.start();
  await nowhere.stop();
  const failureAt = async (url: string): Promise<unknown> => {
    const options = {
      address: parseAddress(url, "url"),
      url,
      prefix: "unread",
      tls: undefined,
      timeoutMs: 1000,
      allowEviction: false,
    };
    const records = new RedisRecords(options);
    onTestFinished(() => records.close());
    await records.open();
    return records.ready(300).catch((error: unknown) => error);
  };
  expect(await failureAt(nowhere.url)).toMatchObject({
    code: "ERR_STORE_UNAVAILABLE",
    message: expect.stringContaining("can't be reached: connect ECONNREFUSED"),
  });
  expect(await failureAt(guarded.url.replace("//", "//:wrong@"))).toMatchObject({
    code: "ERR_STORE_REFUSED",
    message: expect.not.stringMatching(/right|:wrong/),
  });
});

it("are shared through a Cluster, in one slot", async () => {
  const cluster = await RedisCluster.start();
  onTestFinished(() => cluster.stop());
  const [first, second] = await replicas(2, cluster.url, "clustered");
  await first?.put("key:1", "one");
  await vi.waitFor(() => expect(second?.get("key:1")).toBe("one"), SEEN);
}, 20_000);
