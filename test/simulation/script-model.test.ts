import fc from "fast-check";
import { Redis } from "ioredis";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import { MAX_AMOUNT } from "../../src/engine/amount.js";
import { compileTiers, type Tier } from "../../src/engine/tier.js";
import type { TierSpec } from "../../src/index.js";
import { replyOf } from "../../src/store/answer.js";
import { SCRIPT } from "../../src/store/lua/keys.js";
import type { Command, Reply, Snapshot } from "../../src/store/protocol.js";
import { argumentsOf } from "../../src/store/wire.js";
import { DECEMBER_30_2026, tiers } from "../conformance/operations.js";
import { type RedisServer, redisForFile } from "../redis/server.js";
import { ScriptModel } from "./script-model.js";

let server: RedisServer;
beforeAll(async () => {
  server = await redisForFile();
});

/** Above the lanes of threads; a grant of as much again is the same, sent again. */
const GRANT_LANE = 2 ** 32;

const milli = fc.integer({ min: 0, max: 9000 });
const step = fc.record({
  advanceMs: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 0, max: 2000 }) },
    { weight: 1, arbitrary: fc.integer({ min: -5000, max: 86_400_000 }) },
    { weight: 1, arbitrary: fc.constantFrom(86_400_000, 31 * 86_400_000) },
  ),
  op: fc.oneof(
    { weight: 6, arbitrary: fc.constant("take" as const) },
    { weight: 4, arbitrary: fc.constant("adjust" as const) },
    { weight: 2, arbitrary: fc.constant("grant" as const) },
    { weight: 1, arbitrary: fc.constantFrom("release" as const, "hold" as const) },
    { weight: 1, arbitrary: fc.constantFrom("peek" as const, "reset" as const, "leave" as const) },
  ),
  key: fc.constantFrom("k", "l"),
  tier: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom("a", "b", "c") },
    { weight: 2, arbitrary: fc.constantFrom("d", "e") },
  ),
  server: fc.oneof({ weight: 9, arbitrary: fc.constant("one") }, { weight: 1, arbitrary: fc.constant("two") }),
  caller: fc.constantFrom("x", "y"),
  lane: fc.constantFrom(0, 1, 12),
  need: milli,
  /** What each limit needs, in place of that; or the same of all. */
  needs: fc.option(fc.array(fc.oneof(fc.constant(0), milli), { minLength: 4, maxLength: 4 }), {
    nil: undefined,
    freq: 3,
  }),
  want: milli,
  divisor: fc.integer({ min: 1, max: 6 }),
  outMs: fc.integer({ min: 0, max: 4000 }),
  isShared: fc.boolean(),
  keeps: fc.boolean(),
  delta: fc.integer({ min: -5000, max: 5000 }),
  agoMs: fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 0, max: 100 })),
  quotasOnly: fc.boolean(),
  isRetry: fc.boolean(),
  unused: fc.boolean(),
  duringOutage: fc.boolean(),
  /** Under which places are taken and given back. */
  place: fc.integer({ min: 1, max: 4 }),
  sequence: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
  /** Which earlier answer the caller still knows; none if there are fewer. */
  knows: fc.nat(12),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Under which name another app counts what this one does: each kind under that of another, but one bucket. */
const ELSEWHERE: Record<string, string> = { minute: "month", day: "minute", month: "parallel", parallel: "day" };

function elsewhere(tier: TierSpec = { limits: [] }): TierSpec {
  return { limits: tier.limits.map((limit) => ({ ...limit, name: ELSEWHERE[limit.name] ?? limit.name })) };
}

function commandOf(next: Step, tier: Tier, snapshot: Snapshot | undefined, nowMs: number): Command {
  const { op, key, lane, want, divisor, outMs, delta, quotasOnly, isRetry, unused, duringOutage } = next;
  const need = next.needs?.slice(0, tier.limits.length) ?? next.need;
  const { sequence, agoMs, isShared, keeps, place } = next;
  const about = { key, tier, lane, snapshot, nowMs };
  switch (op) {
    case "take":
      return { ...about, op, need, want, divisor, outMs, isShared, ...(tier.hasPlaces && { place }) };
    case "peek":
      return { ...about, op, need };
    case "grant": {
      const quota = tier.limits.findIndex(({ rule }) => rule.type === "quota");
      if (quota < 0) return { ...about, op: "peek", need };
      const milli = want === 9000 ? MAX_AMOUNT : want;
      return { ...about, op, lane: GRANT_LANE + want, limit: quota, milli, keeps };
    }
    case "release":
      return { ...about, op, place };
    case "hold":
      return { ...about, op, place, atMs: nowMs - agoMs };
    case "reset":
    case "leave":
      return { ...about, op };
    case "adjust":
      return {
        ...about,
        op,
        deltas: tier.limits.map(() => delta),
        atMs: nowMs - agoMs,
        quotasOnly,
        tell: true,
        sequence,
        isRetry,
        unused,
        duringOutage,
      };
  }
}

/** Whether amounts are such as limits of a tier have; maybe they are of another. */
function mayBeOf({ limits }: Tier, { spent }: Snapshot): boolean {
  if (spent.length !== limits.length) return false;
  return limits.every(
    ({ rule }, index) => (spent[index] ?? 0) <= MAX_AMOUNT || (rule.type === "bucket" && rule.isBlocking),
  );
}

function answerOf(run: () => Reply): Reply | string {
  try {
    return run();
  } catch (error) {
    return (error as Error).message;
  }
}

it("the model of the script answers and publishes as the script does", async () => {
  const redis = new Redis({ host: "127.0.0.1", port: server.port, protocol: 2 });
  const subscriber = new Redis({ host: "127.0.0.1", port: server.port, protocol: 2 });
  onTestFinished(() => {
    redis.disconnect();
    subscriber.disconnect();
  });
  const published: string[] = [];
  subscriber.on("message", (_channel, message: string) => published.push(message));
  await subscriber.subscribe("channel");
  let steps = 0;
  let conflicts = 0;
  await fc.assert(
    fc.asyncProperty(tiers, fc.array(step, { minLength: 1, maxLength: 40, size: "max" }), async (specs, run) => {
      await redis.flushall();
      const others = { d: elsewhere(specs["a"]), e: elsewhere(specs["b"]) };
      const compiled = new Map([...compileTiers(specs, new Map(), 8), ...compileTiers(others, new Map(), 8)]);
      const model = new ScriptModel();
      const told: string[] = [];
      const snapshot: Snapshot[] = [];
      let nowMs = DECEMBER_30_2026;
      for (const next of run) {
        nowMs += next.advanceMs;
        const tier = compiled.get(next.tier) as Tier;
        if (tier.limits.length === 0) continue; // Of those the store is never asked.
        const knows = snapshot[snapshot.length - next.knows];
        const command = commandOf(next, tier, knows && mayBeOf(tier, knows) ? knows : undefined, nowMs);
        const { server, caller } = next;
        const publish = (key: string, reset: boolean) => told.push(`${caller} ${reset ? "reset" : "change"} ${key}`);
        const want = (key: string) => told.push(`${caller} return ${key}`);
        const expected = answerOf(() => model.run(command, { server, caller, nowMs, publish, want }));
        const args = argumentsOf([command], { server, channel: "channel", caller });
        const [reply] = (await redis.eval(SCRIPT, 1, next.key, ...args)) as (unknown[] | Error)[];
        const actual = reply instanceof Error ? reply.message : replyOf(reply, command);
        expect(actual, JSON.stringify(next)).toEqual(expected);
        if (typeof actual === "string") conflicts++;
        else if (actual.epoch !== "") snapshot.push({ epoch: actual.epoch, atMs: actual.nowMs, spent: actual.spent });
        steps++;
      }
      await subscriber.ping(); // What was published before this is here when it is answered.
      expect(published.splice(0)).toEqual(told);
    }),
    { numRuns: 300, endOnFailure: true },
  );
  expect(steps).toBeGreaterThan(3000);
  expect(conflicts).toBeGreaterThan(100);
}, 240_000);

it("keeps a bucket's fraction when a server that lost writes is told of it by a replica that knows another tier", () => {
  const { free, paid } = Object.fromEntries(
    compileTiers(
      {
        free: { limits: [{ name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1 }] },
        paid: { limits: [{ name: "minute", type: "bucket", limit: 1000, windowSeconds: 60, burst: 1 }] },
      },
      new Map(),
    ),
  ) as Record<"free" | "paid", Tier>;
  const model = new ScriptModel();
  const run = (server: string, command: Command) =>
    model.run(command, { server, caller: "x", nowMs: DECEMBER_30_2026, publish: () => undefined });
  const about = { key: "k", nowMs: DECEMBER_30_2026 };
  const take = { ...about, op: "take", want: 0, divisor: 1, outMs: 0 } as const;
  const { epoch, nowMs, spent } = run("one", { ...take, tier: paid, snapshot: undefined, need: 500_000 });
  run("one", { ...take, tier: free, snapshot: undefined, need: 0 });
  const told = run("two", {
    ...about,
    op: "adjust",
    tier: paid,
    snapshot: { epoch, atMs: nowMs, spent },
    deltas: [0],
    atMs: nowMs,
    quotasOnly: false,
    tell: false,
    sequence: undefined,
    isRetry: false,
    unused: false,
    duringOutage: false,
  });
  // Half of it, in the units of whoever asks.
  expect(told.spent).toEqual(spent);
  const { granted } = run("two", { ...take, tier: free, snapshot: undefined, need: 50_000 });
  expect(granted).toBe(50_000);
});
