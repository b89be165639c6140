import Fastify from "fastify";
import { expect, it, onTestFinished } from "vitest";
import tollkeeper from "../../src/fastify/index.js";
import type { SharedLimiter } from "../../src/index.js";
import { openReplicas, times } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";
import { Random } from "../simulation/random.js";

const redis = await redisForFile();
const QUOTA = 500;
const LEASE_MS = 200;
const TIMEOUT_MS = 1000;
/** A wait, in ms, above which nothing but the period's end can be meant. */
const FINAL_MS = 60_000;
const tiers = { t: { limits: [{ name: "month", type: "quota" as const, limit: QUOTA, period: "month" as const }] } };
const storage = { leaseMs: LEASE_MS, timeoutMs: TIMEOUT_MS } as const;

/** Which replica, of so many, the next call goes to. */
type Route = (call: number, replicas: number, sinceMs: number) => number;

const random = new Random(1);
const ROUTES: Record<string, Route> = {
  "by 1": (call, replicas) => call % replicas,
  "by 10": (call, replicas) => Math.floor(call / 10) % replicas,
  "by 100": (call, replicas) => Math.floor(call / 100) % replicas,
  "every two leases": (_, replicas, sinceMs) => Math.floor(sinceMs / (2 * LEASE_MS)) % replicas,
  "at random": (_, replicas) => random.whole(0, replicas - 1),
};

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Callers that call until they are told that the month is over, and wait for as long as they are told before. */
async function callers(count: number, replicas: readonly SharedLimiter[], key: string, route: Route, paceMs: number) {
  const start = performance.now();
  const seen = { served: 0, calls: 0, waits: 0, longestMs: 0, final: 0 };
  const caller = async () => {
    for (;;) {
      const place = route(seen.calls++, replicas.length, performance.now() - start);
      const decision = await (replicas[place] as SharedLimiter).consume(key, "t");
      const { allowed, retryAfterMs } = decision;
      if (allowed) seen.served++;
      else if (retryAfterMs > FINAL_MS) break;
      else {
        seen.waits++;
        seen.longestMs = Math.max(seen.longestMs, retryAfterMs);
        await pause(retryAfterMs);
      }
      await pause(paceMs * random.next());
    }
    seen.final++;
  };
  await Promise.all(times(count, undefined).map(caller));
  return seen;
}

it.each([2, 3, 9])(
  "whoever follows Retry-After is served exactly the quota, whatever the routing, over %i replicas",
  async (count) => {
    const replicas = await openReplicas(redis.url, times(count, tiers), storage);
    const rows = await Promise.all(
      Object.entries(ROUTES).flatMap(([how, route]) =>
        [1, 4].map(async (people) => {
          const seen = await callers(people, replicas, `acct:${how}:${people}`, route, 8);
          return { how, people, ...seen };
        }),
      ),
    );
    const text = JSON.stringify(rows);
    for (const { served, people, final, longestMs, waits } of rows) {
      expect(served, text).toBe(QUOTA);
      expect(final, text).toBe(people);
      // What a replica holds it has given back when that has expired, and its answer is here.
      expect(longestMs, text).toBeLessThanOrEqual(2 * LEASE_MS + TIMEOUT_MS);
      expect(waits, text).toBeLessThan(100 * people);
    }
  },
  120_000,
);

it("bursts on one replica after another get all of the quota", async () => {
  const large = { t: { limits: [{ ...tiers.t.limits[0], limit: 1000 }] } } as typeof tiers;
  const replicas = await openReplicas(redis.url, times(2, large), { ...storage, leaseMs: 500 });
  const counts = { allowed: 0, provisional: 0 };
  for (let burst = 0; ; burst++) {
    const replica = replicas[burst % 2] as SharedLimiter;
    const decisions = await Promise.all(times(300, "acct:1").map((key) => replica.consume(key, "t")));
    const denied = decisions.filter(({ allowed }) => !allowed);
    counts.allowed += decisions.length - denied.length;
    const waits = denied.map(({ retryAfterMs }) => retryAfterMs);
    if (Math.max(0, ...waits) > FINAL_MS) break;
    counts.provisional += denied.length;
    await pause(Math.max(20, ...waits));
  }
  expect(counts, JSON.stringify(counts)).toMatchObject({ allowed: 1000 });
}, 60_000);

it("a caller hears that the month is used up once it is, and before that when to come again", async () => {
  const apps = await Promise.all(
    (await openReplicas(redis.url, times(2, tiers), storage)).map(async (limiter) => {
      const app = Fastify();
      onTestFinished(() => app.close());
      await app.register(tollkeeper, { limiter, identify: () => ({ key: "acct:1", tier: "t" }) });
      app.get("/", async () => "in");
      return app;
    }),
  );
  const start = performance.now();
  const early: object[] = [];
  let served = 0;
  for (;;) {
    const place = ROUTES["every two leases"]?.(0, 2, performance.now() - start) ?? 0;
    const answer = await (apps[place] as (typeof apps)[number]).inject("/");
    if (answer.statusCode === 200) {
      served++;
      await pause(3);
      continue;
    }
    const { "retry-after": seconds, "x-should-retry": retry } = answer.headers;
    const said = { status: answer.statusCode, code: answer.json().code, retry, served };
    if (Number(seconds) > 60) {
      expect({ early, ...said }).toMatchObject({
        status: 429,
        code: "monthly_quota_exceeded",
        retry: "false",
        served: QUOTA,
      });
      break;
    }
    early.push(said);
    expect(said).toEqual({ status: 429, code: "rate_limit_exceeded", retry: undefined, served });
    await pause(1000 * Number(seconds));
  }
}, 60_000);

it("serves calls that cost more than a lease can hold, to the last token", async () => {
  const large = {
    t: { limits: [{ name: "month", type: "quota" as const, limit: 50_000_000, period: "month" as const }] },
  };
  const replicas = await openReplicas(redis.url, times(2, large), storage);
  const [one, other] = replicas as [SharedLimiter, SharedLimiter];

  // Some of it is held when the first of them comes.
  expect((await one.consume("large", "t", 1_000_000)).allowed).toBe(true);
  for (const replica of [one, one, other]) {
    expect(await replica.consume("large", "t", 10_000_000)).toMatchObject({ allowed: true });
  }
  const waiting = [5_000_000, 1, 4_294_967.296, 5_000_000].map((cost) => one.consume("large", "t", cost));
  expect(await Promise.all(waiting)).toMatchObject(times(4, { allowed: true }));
  await pause(2 * LEASE_MS);
  const left = (await one.peek("large", "t", 0)).limits[0]?.remaining ?? 0;
  expect(left).toBeCloseTo(50_000_000 - 31_000_000 - 14_294_968.296, 3);
  expect((await other.consume("large", "t", left)).allowed).toBe(true);
  expect((await one.consume("large", "t", 0.001)).retryAfterMs).toBeGreaterThan(FINAL_MS);
});
