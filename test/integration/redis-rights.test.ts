import fastify from "fastify";
import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import tollkeeper from "../../src/fastify/index.js";
import { createLimiter, type TollkeeperError } from "../../src/index.js";
import { SCRIPT } from "../../src/store/lua/keys.js";
import { READ, SCAN, WRITE } from "../../src/store/lua/records.js";
import { REGISTRY } from "../../src/store/lua/replicas.js";
import { RedisRecords } from "../../src/store/redis-records.js";
import { parseAddress } from "../../src/store/redis-url.js";
import { commandsOf, lineOf, needsOf, RIGHTS } from "../../src/store/rights.js";
import { RedisCluster } from "../redis/cluster.js";
import { forFile, RedisServer } from "../redis/server.js";

const LIMIT = 5;
const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: LIMIT, period: "day" as const }] } };
const SEEN = { timeout: 8000, interval: 10 };
const FULL = ["~*", "&*", "+@all"];

const [redis, cluster] = await Promise.all([forFile(RedisServer.start()), forFile(RedisCluster.start())]);
const admin = new Redis(redis.port);
await forFile(Promise.resolve({ stop: async () => admin.disconnect() }));
let users = 0;

/** The address as a user of these rights has it. */
async function urlFor(rights: readonly string[]): Promise<string> {
  const user = `user${users++}`;
  await admin.call("ACL", "SETUSER", user, "reset", "on", ">right", ...rights);
  return redis.url.replace("//", `//${user}:right@`);
}

function open(url: string, prefix: string) {
  const told: TollkeeperError[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", url, prefix, timeoutMs: 1000 },
    onStorageError: (error) => told.push(error as TollkeeperError),
  });
  onTestFinished(() => limiter.close());
  return { limiter, told };
}

function recordsAt(url: string, prefix: string): RedisRecords {
  const options = { address: parseAddress(url, "url"), url, prefix, tls: undefined, timeoutMs: 1000 };
  const records = new RedisRecords({ ...options, allowEviction: false });
  onTestFinished(() => records.close());
  return records;
}

/** Users of few rights, and what is said of each. */
const users7 = [
  { rights: ["~*", "+@all"], says: /PUBLISH, SUBSCRIBE on \{.*\}:\*.*&\{.*\}:\* .*\+publish \+subscribe/ },
  { rights: [...FULL, "-@dangerous"], says: /INFO\. .*\+info/ },
  { rights: [...FULL, "-info"], says: /INFO\. .*\+info/ },
  { rights: [...FULL, "-publish"], says: /PUBLISH on .*\+publish/ },
  { rights: [...FULL, "-subscribe"], says: /SUBSCRIBE on .*\+subscribe/ },
  { rights: [...FULL, "-eval"], says: /EVAL on .*\+eval|'eval' command.*\+eval/ },
  { rights: [...FULL, "-evalsha"], says: /'evalsha' command.*\+evalsha/ },
  { rights: [...FULL, "-@scripting"], says: /'evalsha' command.*\+evalsha/ },
  { rights: ["~app:*", "&*", "+@all"], says: /HSET.*~\{.*\}:\*/ },
  { rights: ["~*", "&app:*", "+@all"], says: /PUBLISH, SUBSCRIBE/ },
  { rights: ["%R~*", "&*", "+@all"], says: /HSET.* on .*\+hset/ },
  { rights: ["~*", "&*", "+@read"], says: /INFO|evalsha/ },
  { rights: [...FULL, "-hset"], says: /HSET on .*\+hset/ },
];
const ofLimiter = [
  { rights: [...FULL, "-pexpire"], says: /PEXPIRE on .*\+pexpire/ },
  { rights: [...FULL, "-hdel"], says: /HDEL on .*\+hdel/ },
  { rights: [...FULL, "-hgetall"], says: /HGETALL on .*\+hgetall/ },
  { rights: [...FULL, "-hincrby"], says: /HINCRBY on .*\+hincrby/ },
  { rights: [...FULL, "-del"], says: /DEL on .*\+del/ },
  { rights: [...FULL, "-type"], says: /TYPE on .*\+type/ },
  { rights: [...FULL, "-time"], says: /TIME.*\+time/ },
];
const ofRecords = [
  { rights: [...FULL, "-zadd"], says: /ZADD on .*\+zadd/ },
  { rights: [...FULL, "-zrangebyscore"], says: /ZRANGEBYSCORE on .*\+zrangebyscore/ },
  { rights: [...FULL, "-hget"], says: /HGET on .*\+hget/ },
];

it.each([...users7, ...ofLimiter])(
  "a limiter tells what a user may not do, and no replica takes the whole limit: $rights",
  async ({ rights, says }) => {
    const url = await urlFor(rights);
    const prefix = `limiter${users}`;
    const opened = [open(url, prefix), open(url, prefix)];
    for (const { told } of opened) {
      await vi.waitFor(() => expect(told.map(({ message }) => message).join("\n")).toMatch(says), SEEN);
      expect(told.every(({ code }) => code === "ERR_STORE_REFUSED")).toBe(true);
    }
    expect(await admitted(opened)).toBeLessThanOrEqual(LIMIT);
    expect(await admin.exists(`{${prefix}:k}`)).toBe(0);
  },
  15_000,
);

it.each([...users7, ...ofRecords])(
  "records tell what a user may not do, and write nothing: $rights",
  async ({ rights, says }) => {
    const prefix = `records${users}`;
    const records = recordsAt(await urlFor(rights), prefix);
    await records.open();
    const refused = await records.ready(700).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "ERR_STORE_REFUSED", message: expect.stringMatching(says) });
    await expect(records.put("a", "b")).rejects.toThrow(expect.objectContaining({ code: "ERR_STORE_REFUSED" }));
    expect(await admin.keys(`*${prefix}*`)).toEqual([]);
  },
  15_000,
);

it("a limiter that is refused is not ready, and says why; once the right is granted it shares, without a restart", async () => {
  const url = await urlFor([...FULL, "-publish"]);
  const opened = [open(url, "granted"), open(url, "granted")];
  for (const { limiter } of opened) {
    const refused = expect.objectContaining({
      code: "ERR_STORE_REFUSED",
      message: expect.stringContaining("+publish"),
    });
    await vi.waitFor(() => expect(limiter.ready(1)).rejects.toEqual(refused), SEEN);
  }
  await admin.call("ACL", "SETUSER", `user${users - 1}`, "+publish");
  await Promise.all(opened.map(({ limiter }) => limiter.ready(8000)));
  expect(await admitted(opened)).toBe(LIMIT);
}, 15_000);

it.each(["-publish", "-hset", "-pexpire", "resetchannels", "resetkeys"])(
  "a right that is withdrawn while it runs (%s) is told, charges nobody twice, and may be given back",
  async (right) => {
    const url = await urlFor(FULL);
    const user = `user${users - 1}`;
    const prefix = `withdrawn${users}`;
    const opened = [open(url, prefix), open(url, prefix)];
    await Promise.all(opened.map(({ limiter }) => limiter.ready(8000)));
    await vi.waitFor(() => expect(opened.map(({ limiter }) => limiter.stats().store.replicas)).toEqual([2, 2]), SEEN);
    await opened[0]?.limiter.consume("k", "t");
    await admin.call("ACL", "SETUSER", user, right);
    for (const { told } of opened) {
      await vi.waitFor(() => expect(told.map(({ code }) => code)).toContain("ERR_STORE_REFUSED"), SEEN);
    }
    for (const { limiter } of opened) await vi.waitFor(() => expect(limiter.isReady).toBe(false), SEEN);
    // By its part of what was left: two of four for each.
    expect(await admitted(opened)).toBe(LIMIT - 1);
    await admin.call("ACL", "SETUSER", user, ...FULL);
    await Promise.all(opened.map(({ limiter }) => limiter.ready(8000)));
    await vi.waitFor(async () => expect((await opened[0]?.limiter.peek("k", "t"))?.limits[0]?.remaining).toBe(0), SEEN);
    expect(await admitted(opened)).toBe(0);
  },
  20_000,
);

it("records whose rights are withdrawn while they are used keep hash and log alike", async () => {
  const url = await urlFor(FULL);
  const user = `user${users - 1}`;
  const records = recordsAt(url, "half");
  await records.open();
  await records.ready(8000);
  await records.put("a", "1");
  for (const right of ["-zadd", "-hset", "-zrevrange", "-hlen"]) {
    await admin.call("ACL", "SETUSER", user, right);
    await expect(records.put("b", right)).rejects.toThrow(expect.objectContaining({ code: "ERR_STORE_REFUSED" }));
    expect([await admin.hlen("{half}:records"), await admin.zcard("{half}:records-log")]).toEqual([1, 1]);
    await admin.call("ACL", "SETUSER", user, ...FULL);
  }
  await admin.call("ACL", "SETUSER", user, "resetchannels");
  await records.put("b", "told to nobody");
  expect(records.get("b")).toBe("told to nobody");
}, 15_000);

it("a server too old to say what is allowed is tried, and left as it was", async () => {
  const url = await urlFor([...FULL, "-hset", "-zadd", "resetchannels"]);
  const client = new Redis(url);
  onTestFinished(() => client.disconnect());
  const scripts = [[SCRIPT, "{old:}", "~{old:*"] as const, [WRITE, "{old}:scratch", "~{old}:*"] as const];
  const needs = needsOf({ scripts, channel: "{old}:changes", prefix: "old", isCluster: false });
  const line = lineOf(needs);
  const old = RIGHTS.replace("if redis.acl_check_cmd then", "if false then").replace(
    "if not redis.acl_check_cmd then",
    "if true then",
  );
  const missing = (await client.eval(old, 0, ...line)) as number[];
  expect(missing.map((place) => needs[place - 1]?.words[0])).toEqual(["PUBLISH", "HSET", "ZADD", "HSET"]);
  await admin.eval(old, 0, ...line);
  expect(await admin.keys("*old*")).toEqual([]);
});

it.each([
  ["-cluster", /cluster.*grant \+cluster|CLUSTER.*\+cluster/],
  ["-publish", /PUBLISH on .*\+publish/],
  ["resetchannels", /PUBLISH, SUBSCRIBE on /],
  ["resetkeys", /HSET.* on /],
])(
  "a node of a Cluster that allows less than the others is found (%s)",
  async (right, says) => {
    const nodes = cluster.servers.map((server) => new Redis(server.port));
    onTestFinished(() => nodes.forEach((node) => void node.disconnect()));
    await Promise.all(nodes.map((node) => node.call("ACL", "SETUSER", "app", "reset", "on", ">right", ...FULL)));
    const url = cluster.url.replaceAll("//", "//app:right@");
    const { limiter, told } = open(url, "nodes");
    await limiter.ready(10_000);
    await nodes[1]?.call("ACL", "SETUSER", "app", right);
    // One that is connected is told by a heartbeat, one that comes when it connects.
    const late = open(url, "nodes");
    for (const each of right === "-cluster" ? [late.told] : [told, late.told]) {
      await vi.waitFor(() => expect(each.map(({ message }) => message).join("\n")).toMatch(says), SEEN);
    }
    await nodes[1]?.call("ACL", "SETUSER", "app", ...FULL);
    await Promise.all([limiter.ready(10_000), late.limiter.ready(10_000)]);
  },
  40_000,
);

it("a call that a refusing Redis leaves undecided is 503, as under the policy closed", async () => {
  const app = fastify();
  onTestFinished(() => app.close());
  const { limiter, told } = open(await urlFor([...FULL, "-info"]), "plugin");
  await app.register(tollkeeper, { limiter, identify: () => ({ key: "k", tier: "t" }) });
  app.get("/", async () => "in");
  await vi.waitFor(() => expect(told).not.toEqual([]), SEEN);
  const { statusCode, headers } = await app.inject("/");
  expect([statusCode, headers["retry-after"]]).toEqual([503, "1"]);
});

it("every command of a script is one whose right is asked for", () => {
  for (const script of [SCRIPT, REGISTRY, WRITE, READ, SCAN]) {
    const called = [...script.matchAll(/(?:p?call|try)\('([A-Z]+)'/g)].map(([, command]) => command);
    const asked = [...commandsOf(script), "INFO", "PUBLISH", "CLUSTER"];
    expect(asked).toEqual(expect.arrayContaining(called));
  }
});

/** Calls that pass of twice the limit, by turns. */
async function admitted(opened: readonly { limiter: ReturnType<typeof open>["limiter"] }[]): Promise<number> {
  let passed = 0;
  for (let call = 0; call < 2 * LIMIT; call++) {
    const decided = Promise.resolve().then(() => opened[call % 2]?.limiter.consume("k", "t"));
    if ((await decided.catch(() => undefined))?.allowed) passed++;
  }
  return passed;
}
