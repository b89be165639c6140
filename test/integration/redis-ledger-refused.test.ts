import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter } from "../../src/index.js";
import { type Division, type Ledger, openLedger } from "../../src/ledger/index.js";
import * as scripts from "../../src/store/lua/usage.js";
import { commandsOf } from "../../src/store/rights.js";
import { newPrefix } from "../redis/replicas.js";
import { forFile, RedisServer } from "../redis/server.js";

const SEEN = { timeout: 10_000, interval: 10 };
const FULL = ["~*", "&*", "+@all"];
const NOVEMBER = { from: "2026-11-01", to: "2026-12-01" } as const;
const redis = await forFile(RedisServer.start());
const admin = new Redis(redis.port);
await forFile(Promise.resolve({ stop: async () => admin.disconnect() }));
let users = 0;

/** A user of these rights. */
async function userOf(rights: readonly string[]): Promise<{ user: string; url: string }> {
  const user = `user${users++}`;
  await admin.call("ACL", "SETUSER", user, "reset", "on", ">right", ...rights);
  return { user, url: redis.url.replace("//", `//${user}:right@`) };
}

function open(url: string, prefix = newPrefix()): { ledger: Ledger; told: unknown[]; prefix: string } {
  const told: unknown[] = [];
  const limiter = createLimiter({
    tiers: { free: { limits: [] } },
    storage: { type: "redis", url, prefix, timeoutMs: 5000 },
    onStorageError: () => undefined,
  });
  const clock = () => Date.UTC(2026, 10, 10);
  const onError = (error: unknown) => told.push(error);
  const ledger = openLedger({ limiter, meters: ["identify"], clock, flushMs: 50, onError });
  onTestFinished(async () => {
    await ledger.close().catch(() => undefined);
    await limiter.close();
  });
  return { ledger, told, prefix };
}

function record(ledger: Ledger, account: string): void {
  ledger.record({ account, meter: "identify", plan: "free" });
}

/** All calls of an hourly, a daily and a monthly report. */
async function callsOf(ledger: Ledger): Promise<number[]> {
  const reports = (["hour", "day", "month"] as Division[]).map((by) => ledger.report({ ...NOVEMBER, by }));
  return (await Promise.all(reports)).map(({ rows }) => rows.reduce((sum, { calls }) => sum + calls, 0));
}

it("the rights that the docs name are enough", async () => {
  const prefix = newPrefix();
  const rights = [`~{${prefix}:*`, `~{${prefix}}:*`, `&{${prefix}}:*`, "+@all", "-@dangerous", "+info"];
  const { ledger } = open((await userOf(rights)).url, prefix);
  record(ledger, "acme");
  await vi.waitFor(() => ledger.flush(), SEEN);
  expect(await callsOf(ledger)).toEqual([1, 1, 1]);
  expect(await ledger.accounts()).toEqual({ accounts: ["acme"], next: null });
});

it.each([
  ["-hset", /HSET on .*\+hset/],
  ["-hmget", /HMGET on .*\+hmget/],
  ["-hkeys", /HKEYS on .*\+hkeys/],
  ["-pexpire", /PEXPIRE on .*\+pexpire/],
  ["-zrangebylex", /ZRANGEBYLEX on .*\+zrangebylex/],
  ["-evalsha", /'evalsha' command.*\+evalsha/],
  ["-info", /INFO\. .*\+info/],
  ["resetkeys", /HSET.* on .*~\{/],
])("a right that is missing is told, with what grants it, and counting goes on: %s", async (right, says) => {
  const { user, url } = await userOf([...FULL, right]);
  const { ledger, told } = open(url);
  record(ledger, "acme");
  const refused = { code: "ERR_STORE_REFUSED", message: expect.stringMatching(says) };
  await vi.waitFor(() => expect(told).toContainEqual(expect.objectContaining(refused)), SEEN);
  expect(ledger.stats().unwritten.calls).toBe(1);
  await admin.call("ACL", "SETUSER", user, ...FULL);
  await vi.waitFor(() => expect(ledger.stats().unwritten.calls).toBe(0), SEEN);
  expect(await callsOf(ledger)).toEqual([1, 1, 1]);
});

it.each(["-hset", "-hmget", "-pexpire", "-pttl", "-zadd", "-evalsha", "resetkeys"])(
  "a right that is withdrawn while it runs leaves nothing half-written: %s",
  async (right) => {
    const { user, url } = await userOf(FULL);
    const { ledger } = open(url);
    record(ledger, "acme");
    await vi.waitFor(() => ledger.flush(), SEEN);
    await admin.call("ACL", "SETUSER", user, right);
    for (const account of ["acme", "umbrella"]) record(ledger, account);
    await expect(ledger.flush()).rejects.toMatchObject({ code: "ERR_STORE_REFUSED" });
    await admin.call("ACL", "SETUSER", user, ...FULL);
    await vi.waitFor(() => ledger.flush(), SEEN);
    expect(await callsOf(ledger)).toEqual([3, 3, 3]);
  },
);

it("a server that is full, or a replica for a while, is told of, and is told all when it is neither", async () => {
  const server = await RedisServer.start();
  const control = new Redis(server.port);
  onTestFinished(async () => {
    control.disconnect();
    await server.stop();
  });
  const { ledger } = open(server.url);
  record(ledger, "acme");
  await vi.waitFor(() => ledger.flush(), SEEN);

  await control.config("SET", "maxmemory", "1");
  record(ledger, "acme");
  await expect(ledger.flush()).rejects.toMatchObject({
    code: "ERR_STORE_FAILED",
    message: expect.stringContaining("maxmemory"),
  });
  await control.config("SET", "maxmemory", "0");
  await ledger.flush();
  expect(await callsOf(ledger)).toEqual([2, 2, 2]);

  await control.call("REPLICAOF", "127.0.0.1", "1");
  record(ledger, "acme");
  await expect(ledger.flush()).rejects.toMatchObject({
    code: "ERR_STORE_FAILED",
    message: expect.stringContaining("replica"),
  });
  await control.call("REPLICAOF", "NO", "ONE");
  await vi.waitFor(() => ledger.flush(), SEEN);
  expect(await callsOf(ledger)).toEqual([3, 3, 3]);
});

it("every command of a script is one whose right is asked for", () => {
  for (const script of Object.values(scripts).filter((each): each is string => typeof each === "string")) {
    const called = [...script.matchAll(/p?call\('([A-Z]+)'/g)].map(([, command]) => command);
    expect([...commandsOf(script), "INFO"]).toEqual(expect.arrayContaining(called));
  }
});
