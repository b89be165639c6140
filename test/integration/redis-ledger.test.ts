import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type RedisStorage } from "../../src/index.js";
import { type Ledger, type LedgerOptions, openLedger } from "../../src/ledger/index.js";
import { newPrefix } from "../redis/replicas.js";
import { forFile, RedisServer } from "../redis/server.js";
import { rowsOf } from "../unit/ledger/ledger.js";

const HOUR_MS = 3_600_000;
const METERS = ["identify", "compare"];
const redis = await forFile(RedisServer.start());
const admin = new Redis(redis.port);
await forFile(Promise.resolve({ stop: async () => admin.disconnect() }));

/** A ledger of a process of its own, as far as the store can tell, once it is connected. */
async function open(
  storage: Partial<RedisStorage> & { prefix: string },
  options: Partial<LedgerOptions> = {},
  clock = { now: Date.UTC(2026, 10, 10, 12, 34) },
): Promise<{ ledger: Ledger; clock: { now: number }; told: unknown[] }> {
  const told: unknown[] = [];
  const limiter = createLimiter({
    tiers: { free: { limits: [] } },
    storage: { type: "redis", url: redis.url, timeoutMs: 5000, ...storage },
    onStorageError: () => undefined,
  });
  const ledger = openLedger({
    limiter,
    meters: METERS,
    clock: () => clock.now,
    onError: (error) => told.push(error),
    ...options,
  });
  onTestFinished(async () => {
    await ledger.close().catch(() => undefined);
    await limiter.close();
  });
  await vi.waitFor(() => ledger.flush(), { timeout: 10_000, interval: 10 });
  told.length = 0;
  return { ledger, clock, told };
}

const NOVEMBER = { from: "2026-11-01", to: "2026-12-01" } as const;

it("what processes count is added up, by hour, day and month alike", async () => {
  const prefix = newPrefix();
  const clock = { now: Date.UTC(2026, 10, 10, 12, 34) };
  const [one, two] = [await open({ prefix }, {}, clock), await open({ prefix }, {}, clock)];
  for (let hour = 0; hour < 30; hour++) {
    one.ledger.record({ account: "acme", meter: "identify", plan: "free", units: 1.5 });
    two.ledger.record({ account: "acme", meter: "identify", plan: "free", refunded: 2, units: 0 });
    two.ledger.record({ account: "umbrella", meter: "compare", plan: "pro", denied: true });
    await Promise.all([one.ledger.flush(), two.ledger.flush()]);
    one.ledger.record({ account: "acme", meter: "compare", plan: "free" });
    clock.now += HOUR_MS;
  }
  const third = await open({ prefix }, { meters: ["batch"] }, clock);
  await one.ledger.flush();
  for (const by of ["hour", "day", "month"] as const) {
    const rows = await rowsOf(third.ledger, { ...NOVEMBER, by, group: ["account", "meter", "plan"], page: 7 });
    const sums = new Map<string, number[]>();
    for (const { account, meter, plan, calls, units, denied, refunded } of rows) {
      const sum = sums.get(`${account} ${meter} ${plan}`) ?? [0, 0, 0, 0];
      sums.set(
        `${account} ${meter} ${plan}`,
        [calls, units, denied, refunded].map((each, at) => each + (sum[at] ?? 0)),
      );
    }
    expect(Object.fromEntries(sums)).toEqual({
      "acme identify free": [30, 45, 0, 60],
      "acme compare free": [30, 30, 0, 0],
      "umbrella compare pro": [0, 0, 30, 0],
    });
  }
  expect((await third.ledger.top({ ...NOVEMBER, meter: "identify" })).rows).toMatchObject([
    { account: "acme", units: 45 },
  ]);
  expect(await third.ledger.accounts({ size: 1 })).toEqual({ accounts: ["acme"], next: "acme" });
  expect(await third.ledger.accounts({ after: "acme" })).toEqual({ accounts: ["umbrella"], next: null });
});

it("a report has all in it that was counted here before, and names of any text in the order of UTF-16 units", async () => {
  const { ledger } = await open({ prefix: newPrefix() });
  const accounts = ["a", "a}b", "\u{1F4A7}", "\uD83D", "\uD7FF", "\uE000", "\uE001", "\uFFFF", "z %1."].sort();
  for (const account of accounts) ledger.record({ account, meter: "identify", plan: `\u{1F4A7} \uD800 ${account}` });
  const { rows, bound } = await ledger.report({ ...NOVEMBER, by: "month", group: ["account", "plan"] });
  expect(rows.map(({ account, plan }) => [account, plan])).toEqual(
    accounts.map((account) => [account, `\u{1F4A7} \uD800 ${account}`]),
  );
  expect(bound).toEqual({ calls: 0, units: 0 });
  expect((await ledger.accounts()).accounts).toEqual(accounts);
});

it("what comes after its day was closed raises the revision, of the hour, the day and the month", async () => {
  const prefix = newPrefix();
  const late = await open({ prefix }, { flushMs: 60_000 });
  late.ledger.record({ account: "acme", meter: "identify", plan: "free" });
  await late.ledger.flush();
  late.ledger.record({ account: "acme", meter: "identify", plan: "free" });
  late.clock.now += 24 * HOUR_MS;
  for (const by of ["hour", "day", "month"] as const) {
    const { rows } = await late.ledger.report({ ...NOVEMBER, by, account: "acme" });
    expect(rows).toMatchObject([{ calls: 2, revision: 1 }]);
  }
});

it("a report is complete once every process has written the hours that are over; one that has ended is not waited for", async () => {
  const prefix = newPrefix();
  const [one, two, three] = [
    await open({ prefix }),
    await open({ prefix }, { flushMs: 60_000 }),
    await open({ prefix }),
  ];
  await three.ledger.close();
  const asked = { from: "2026-11-10", to: "2026-11-10T13:00Z", by: "day" } as const;
  one.clock.now += HOUR_MS;
  const waiting = await one.ledger.report(asked);
  expect(waiting).toMatchObject({
    complete: false,
    waitingFor: [{ process: expect.any(String), since: expect.any(String) }],
  });
  two.clock.now += HOUR_MS;
  await two.ledger.flush();
  expect(await one.ledger.report(asked)).toMatchObject({ complete: true, waitingFor: [] });
});

it("an account whose name in Redis is somebody else's stops no other, and is told of", async () => {
  const prefix = newPrefix();
  const { ledger } = await open({ prefix }, { flushMs: 60_000 });
  await admin.set(`{${prefix}:usage:foreign}:20261110`, "mine");
  for (const account of ["foreign", "acme"]) ledger.record({ account, meter: "identify", plan: "free" });
  await expect(ledger.flush()).rejects.toMatchObject({ code: "ERR_STORE_FOREIGN" });
  const asked = { ...NOVEMBER, by: "month", account: "acme" } as const;
  expect(await ledger.report(asked)).toMatchObject({ rows: [{ calls: 1 }], bound: { calls: 1, units: 1 } });
  await admin.del(`{${prefix}:usage:foreign}:20261110`);
  await ledger.flush();
  const { rows, bound } = await ledger.report({ ...asked, account: "foreign" });
  expect([rows[0]?.calls, bound]).toEqual([1, { calls: 0, units: 0 }]);
});

it("everything that is still known is told to a server that has forgotten it, once", async () => {
  const prefix = newPrefix();
  const [one, two] = [await open({ prefix }), await open({ prefix })];
  for (const { ledger } of [one, two]) ledger.record({ account: "acme", meter: "identify", plan: "free" });
  await Promise.all([one.ledger.flush(), two.ledger.flush()]);
  await admin.flushall();
  one.ledger.record({ account: "umbrella", meter: "identify", plan: "free" });
  await Promise.all([one.ledger.flush(), two.ledger.flush()]);
  const { rows } = await one.ledger.report({ ...NOVEMBER, by: "month", group: ["account"] });
  expect(rows.map(({ account, calls }) => [account, calls])).toEqual([
    ["acme", 2],
    ["umbrella", 1],
  ]);
});

it("while Redis is away calls are counted in memory, and a report fails with what is wrong", async () => {
  const server = await RedisServer.start("--appendonly", "yes", "--appendfsync", "always");
  onTestFinished(() => server.stop());
  const { ledger, told } = await open({ prefix: newPrefix(), url: server.url }, { flushMs: 20 });
  ledger.record({ account: "acme", meter: "identify", plan: "free" });
  await ledger.flush();
  await server.kill();
  ledger.record({ account: "acme", meter: "identify", plan: "free" });
  await expect(ledger.report({ ...NOVEMBER, by: "month" })).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
  await vi.waitFor(() => expect(told).toContainEqual(expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" })));
  expect(ledger.stats().unwritten).toEqual({ calls: 1, units: 1 });
  await server.run();
  await vi.waitFor(() => expect(ledger.stats().unwritten).toEqual({ calls: 0, units: 0 }), { timeout: 10_000 });
  expect((await ledger.report({ ...NOVEMBER, by: "month" })).rows).toMatchObject([{ calls: 2 }]);
});

it("hours, days, months and the index of accounts end when they are no longer kept", async () => {
  const prefix = newPrefix();
  const { ledger } = await open({ prefix }, { retention: { hourDays: 2, dayDays: 40, months: 3 } });
  ledger.record({ account: "acme", meter: "identify", plan: "free" });
  await ledger.flush();
  const daysOf = async (suffix: string) => Math.floor((await admin.pttl(`{${prefix}:usage${suffix}`)) / (24 * HOUR_MS));
  // From 10 November, 12:34: to the end of the 12th and an hour, of 9 January, and of February.
  expect(await daysOf(":acme}:20261110")).toBe(2);
  expect(await daysOf(":acme}:202611")).toBe(60);
  expect(await daysOf(":acme}:months")).toBe(110);
  expect(await daysOf("}:accounts:202611")).toBe(110);
});

it("hours that are merged into a day are told as that, in a day as in an hour's report", async () => {
  const prefix = newPrefix();
  const { ledger } = await open({ prefix });
  ledger.record({ account: "acme", meter: "identify", plan: "free" });
  await ledger.flush();
  await admin.del(`{${prefix}:usage:acme}:20261110`);
  const asked = { ...NOVEMBER, account: "acme", by: "hour" } as const;
  expect((await ledger.report(asked)).rows).toMatchObject([
    { from: "2026-11-10T00:00:00.000Z", to: "2026-11-11T00:00:00.000Z", calls: 1 },
  ]);
  await admin.del(`{${prefix}:usage:acme}:202611`);
  expect((await ledger.report(asked)).rows).toMatchObject([
    { from: "2026-11-01T00:00:00.000Z", to: "2026-12-01T00:00:00.000Z", calls: 1 },
  ]);
});

it("two ledgers of one limiter are one process, which ends with the last", async () => {
  const prefix = newPrefix();
  const limiter = createLimiter({
    tiers: { free: { limits: [] } },
    storage: { type: "redis", url: redis.url, prefix },
  });
  onTestFinished(() => limiter.close());
  const [one, two] = [openLedger({ limiter, meters: METERS }), openLedger({ limiter, meters: ["batch"] })];
  one.record({ account: "acme", meter: "identify", plan: "free" });
  two.record({ account: "acme", meter: "batch", plan: "free" });
  await vi.waitFor(() => one.flush(), { timeout: 10_000, interval: 10 });
  expect(await admin.hlen(`{${prefix}:usage}:processes`)).toBe(1);
  expect(two.stats().unwritten.calls).toBe(0);
  await one.close();
  expect(await admin.hlen(`{${prefix}:usage}:processes`)).toBe(1);
  await two.close();
  expect(await admin.exists(`{${prefix}:usage}:processes`)).toBe(0);
});

it("each thread is a process of its own to the ledger, also where they share a limiter by its name", async () => {
  const prefix = newPrefix();
  const program = `
    const { workerData } = require("node:worker_threads");
    const { createLimiter } = require("tollkeeper");
    const { openLedger } = require("tollkeeper/ledger");
    const { url, prefix, now } = workerData;
    const storage = { type: "redis", url, prefix };
    const limiter = createLimiter({ name: "shared", tiers: { free: { limits: [] } }, storage, onStorageError() {} });
    const ledger = openLedger({ limiter, meters: ["identify"], clock: () => now, onError() {} });
    for (let call = 0; call < 10; call++) ledger.record({ account: "acme", meter: "identify", plan: "free" });
    const close = () => ledger.close().then(() => limiter.close(), () => setTimeout(close, 10));
    close();
  `;
  const { ledger, clock } = await open({ prefix });
  const workerData = { url: redis.url, prefix, now: clock.now };
  const workers = Array.from({ length: 3 }, () => new Worker(program, { eval: true, workerData }));
  await Promise.all(workers.map((worker) => once(worker, "exit")));
  const { rows, waitingFor } = await ledger.report({ ...NOVEMBER, by: "month" });
  expect([rows[0]?.calls, waitingFor]).toEqual([30, []]);
});
