import fc from "fast-check";
import { Redis } from "ioredis";
import { beforeAll, expect, it, onTestFinished, vi } from "vitest";
import type { ProcessReport, StoredSum, WantedSums } from "../../src/engine/usage-store.js";
import { parseAddress } from "../../src/store/redis-url.js";
import { UsageConnection } from "../../src/store/usage-connection.js";
import { type RedisServer, redisForFile } from "../redis/server.js";
import { FOR_EVER, UsageModel } from "./usage-model.js";

const HOUR_MS = 3_600_000;
/** Midnight of 1 December. */
const DECEMBER = Date.UTC(2026, 11) / HOUR_MS;
const MAX = Number.MAX_SAFE_INTEGER;

let server: RedisServer;
beforeAll(async () => {
  server = await redisForFile();
});

const account = fc.constantFrom("acme", "a}b", "\u{1F4A7}", "\uD83D", "\uE000", "");
const hour = fc.integer({ min: DECEMBER - 26, max: DECEMBER + 1 });
const number = fc.oneof(
  { weight: 9, arbitrary: fc.nat(9) },
  { weight: 1, arbitrary: fc.constantFrom(10 ** 12, 2 ** 40 + 1) },
);
const cell = fc.record({
  meter: fc.constantFrom("identify", "compare"),
  plan: fc.constantFrom("free", "", "pro 2", "\u{1F4A7}"),
  process: fc.constantFrom("a.0", "a.1", "b.0"),
  served: fc.tuple(number, number, number, number),
  isKnown: fc.boolean(),
});
const told = fc.record({
  account,
  hour,
  // A process tells one cell of each place at a time.
  cells: fc.uniqueArray(cell, { selector: ({ meter, plan }) => `${meter} ${plan}`, minLength: 1, maxLength: 6 }),
});
const process = fc.constantFrom("a", "b");
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant("write" as const), told: fc.array(told, { maxLength: 40 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("index" as const),
      month: fc.constantFrom(DECEMBER, DECEMBER - 720),
      accounts: fc.uniqueArray(account, { minLength: 1 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("report" as const),
      process,
      isRight: fc.boolean(),
      joins: fc.boolean(),
      plans: fc.array(fc.constantFrom("free", "\u{1F4A7}", "pro 2")),
      knownNames: fc.nat(4),
      pastHour: hour,
      unwrittenCalls: fc.nat(5),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("leave" as const), process }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("forget" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("accounts" as const),
      after: fc.option(account, { nil: undefined }),
      max: fc.integer({ min: 1, max: 8 }),
    }),
  },
);

const ordered = (sums: readonly StoredSum[]) => sums.map((sum) => JSON.stringify(sum)).sort();

it("the model of the scripts answers as these do, and keeps the same sums", async () => {
  const redis = new Redis(server.port);
  const options = { address: parseAddress(server.url, "url"), url: server.url, prefix: "toll", tls: undefined };
  const store = new UsageConnection({ ...options, timeoutMs: 5000, allowEviction: false }, FOR_EVER);
  onTestFinished(() => {
    redis.disconnect();
    store.close();
  });
  store.open();
  await vi.waitFor(() => store.others(""), { timeout: 10_000, interval: 10 });
  const run = /run_id:(\w+)/.exec(await redis.info("server"))?.[1] ?? "";
  let cells = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20, size: "max" }), fc.nat(30 * 24), async (steps, laterHours) => {
      await redis.flushall();
      const model = new UsageModel(run);
      const nowMs = (DECEMBER + laterHours) * HOUR_MS;
      for (const next of steps) {
        switch (next.op) {
          case "write":
            expect(await store.write(next.told, nowMs)).toEqual(model.write(next.told, nowMs));
            cells += next.told.reduce((sum, { cells }) => sum + cells.length, 0);
            break;
          case "index":
            await store.index(next.month, next.accounts, nowMs);
            model.addToIndex(next.month, next.accounts);
            break;
          case "report": {
            const { isRight, op: _, ...about } = next;
            const report: ProcessReport = {
              ...about,
              server: isRight ? run : "",
              meters: ["identify"],
              unwrittenMilli: 7,
            };
            const [actual, expected] = [await store.report(report), model.report(report, 0)];
            expect({ ...actual, names: setsOf(actual.names) }).toEqual({ ...expected, names: setsOf(expected.names) });
            break;
          }
          case "leave":
            await store.leave(next.process);
            model.processes.delete(next.process);
            break;
          case "forget":
            await redis.flushall();
            model.clear();
            break;
          case "accounts": {
            const months = [DECEMBER, DECEMBER - 720];
            const { after, max } = next;
            expect(await store.accounts(months, after, max)).toEqual(model.accountsIn(months, after, max));
            break;
          }
        }
      }
      const others = (await store.others("b")).map(({ writtenMs: _, ...other }) => other);
      expect(others).toEqual(model.others("b", 0).map(({ writtenMs: _, ...other }) => other));
      const accounts = ["acme", "a}b", "\u{1F4A7}", "\uD83D", "\uE000", ""];
      const spans = [
        ["months", 0],
        ["days", DECEMBER],
        ["days", DECEMBER - 720],
        ["hours", DECEMBER],
        ["hours", DECEMBER - 24],
        ["hours", DECEMBER - 48],
      ] as const;
      const wanted = accounts.flatMap((account) => spans.map(([of, hour]): WantedSums => ({ account, of, hour })));
      const kept = model.read(wanted);
      for (const [index, sums] of (await store.read(wanted)).entries()) {
        expect(ordered(sums as StoredSum[]), JSON.stringify(wanted[index])).toEqual(ordered(kept[index] ?? []));
      }
      expect(model.disagreements()).toEqual([]);
    }),
    { numRuns: 200, endOnFailure: true },
  );
  expect(cells).toBeGreaterThan(10_000);
}, 240_000);

it("what is more than can be counted is kept as the most that can be", async () => {
  const options = { address: parseAddress(server.url, "url"), url: server.url, prefix: "most", tls: undefined };
  const store = new UsageConnection({ ...options, timeoutMs: 5000, allowEviction: false }, FOR_EVER);
  onTestFinished(() => store.close());
  store.open();
  await vi.waitFor(() => store.others(""), { timeout: 10_000, interval: 10 });
  const cell = { meter: "identify", plan: "free", process: "a.0", isKnown: false, served: [1, MAX, 0, 0] as const };
  for (const process of ["a.0", "b.0"]) {
    await store.write([{ account: "acme", hour: DECEMBER, cells: [{ ...cell, process }] }], DECEMBER * HOUR_MS);
  }
  const [days] = await store.read([{ account: "acme", of: "days", hour: DECEMBER }]);
  expect(days).toMatchObject([{ served: [2, MAX, 0, 0] }]);
});

function setsOf(names: object | undefined): unknown {
  return names && Object.fromEntries(Object.entries(names).map(([kind, all]) => [kind, new Set(all)]));
}
