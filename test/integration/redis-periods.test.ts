import { Redis } from "ioredis";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { type PeriodName, periodAt } from "../../src/engine/period.js";
import { createLimiter, type LimitSpec, type SharedLimiter } from "../../src/index.js";
import { CALENDAR } from "../../src/store/lua/calendar.js";
import { RULES } from "../../src/store/lua/rules.js";
import { nameOf } from "../../src/store/wire.js";
import { redisForFile } from "../redis/server.js";
import { PERIODS } from "../unit/limiter/period-cases.js";

const redis = await redisForFile();
const client = new Redis(redis.port);
afterAll(() => client.disconnect());

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NEVER = Number.POSITIVE_INFINITY;
let prefixes = 0;

interface Shared {
  limiter: SharedLimiter;
  clock: { now: number };
  prefix: string;
}

type Kind = { mode: "exact" | "leased"; engine: "native" | "js" };

async function open({ mode, engine }: Kind, limits: LimitSpec[], others = {}): Promise<Shared> {
  const clock = { now: Date.UTC(2026, 5, 15, 12) };
  const prefix = `periods-${prefixes++}`;
  const limiter = createLimiter({
    tiers: { t: { limits }, ...others },
    clock: () => clock.now,
    engine,
    storage: { type: "redis", url: redis.url, timeoutMs: 5000, prefix, mode },
  });
  onTestFinished(() => limiter.close());
  await limiter.ready();
  return { limiter, clock, prefix };
}

async function admitted({ limiter }: Shared, key: string, calls: number): Promise<number> {
  let allowed = 0;
  for (let call = 0; call < calls; call++) if ((await limiter.consume(key, "t")).allowed) allowed++;
  return allowed;
}

describe.each<Kind>([
  { mode: "exact", engine: "native" },
  { mode: "leased", engine: "native" },
  { mode: "leased", engine: "js" },
])("over Redis, $mode, $engine", (kind) => {
  it.each(PERIODS)(
    "a quota `q $written` of $title holds until its period ends, and is kept as long",
    async ({ written, period, startMs, endMs }) => {
      const shared = await open(kind, [{ name: "quota", type: "quota", limit: 3, ...period }]);
      const { limiter, clock, prefix } = shared;
      clock.now = startMs - 1;
      expect(await admitted(shared, "k", 5)).toBe(3);
      expect(await limiter.consume("k", "t")).toMatchObject({ deniedBy: "quota", retryAfterMs: 1 });
      clock.now = startMs;
      expect(await admitted(shared, "k", 5)).toBe(3);
      expect((await limiter.consume("k", "t")).retryAfterMs).toBe(endMs - startMs);
      expect(await client.hget(nameOf(prefix, "k"), "@r:quota")).toBe(`q 3000 ${written}`);
      const left = await client.pttl(nameOf(prefix, "k"));
      expect(left).toBeGreaterThan(endMs - startMs);
      expect(left).toBeLessThanOrEqual(endMs - startMs + DAY_MS);
      clock.now = endMs - 1;
      expect(await limiter.consume("k", "t")).toMatchObject({ allowed: false, retryAfterMs: 1 });
      clock.now = endMs;
      expect(await admitted(shared, "k", 5)).toBe(3);
    },
  );

  it("a quota once granted never begins anew, and outlives everybody", async () => {
    const shared = await open(kind, [{ name: "trial", type: "quota", limit: 3, period: "once" }]);
    const { limiter, clock, prefix } = shared;
    expect(await admitted(shared, "k", 5)).toBe(3);
    const denied = await limiter.consume("k", "t");
    expect(denied).toMatchObject({ deniedBy: "trial", retryAfterMs: NEVER, isProvisional: false });
    expect(denied.limits[0]).toMatchObject({ remaining: 0, resetMs: NEVER });
    expect(await client.hget(nameOf(prefix, "k"), "@r:trial")).toBe("q 3000 once");
    expect(await client.pttl(nameOf(prefix, "k"))).toBeGreaterThan(90 * 365 * DAY_MS);
    clock.now += 50 * 365 * DAY_MS;
    expect((await limiter.consume("k", "t")).allowed).toBe(false);
    await limiter.reset("k");
    expect(await admitted(shared, "k", 5)).toBe(3);
  });

  it("a limit of 0 denies for ever, spends nothing beside it, and leaves a bucket as a new key's", async () => {
    const minute = (limit: number): LimitSpec => ({
      name: "minute",
      type: "bucket",
      limit,
      windowSeconds: 60,
      burst: 1.5,
    });
    const day = (limit: number): LimitSpec => ({ name: "day", type: "quota", limit, period: "day" });
    const paid = { limits: [minute(100), day(1000)] };
    const shared = await open(kind, [minute(0), day(100)], { paid, none: { limits: [minute(100), day(0)] } });
    const { limiter, clock } = shared;
    await limiter.consume("k", "paid", 40);
    for (let call = 0; call < 3; call++) {
      expect(await limiter.consume("k", "t", 5)).toMatchObject({ deniedBy: "minute", retryAfterMs: NEVER });
      expect(await limiter.consume("l", "none", 5)).toMatchObject({ deniedBy: "day", retryAfterMs: NEVER });
      expect(await limiter.consume("l", "none", 0)).toMatchObject({ allowed: true });
      clock.now += HOUR_MS;
    }
    const left = async (key: string, tier: string) =>
      (await limiter.peek(key, tier, 0)).limits.map(({ remaining }) => remaining);
    expect(await left("l", "none")).toEqual([150, 0]);
    expect(await left("k", "t")).toEqual([0, 60]);
    expect(await left("k", "paid")).toEqual([100, 960]);
    await limiter.consume("k", "paid");
    expect(await left("k", "paid")).toEqual([99, 959]);
  });

  it("a burst below 1 is the most that passes at once, of a new key too", async () => {
    const shared = await open(kind, [{ name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 0.1 }]);
    expect(await admitted(shared, "k", 100)).toBe(10);
    expect(await shared.limiter.consume("k", "t")).toMatchObject({ deniedBy: "minute", retryAfterMs: 600 });
    shared.clock.now += HOUR_MS;
    expect(await admitted(shared, "k", 100)).toBe(10);
  });
});

it("Lua finds the periods that JavaScript finds", async () => {
  const spans: [span: string, period: PeriodName, anchor: number][] = [
    ["hour", "hour", 1],
    ["0", "day", 1],
    ["once", "once", 1],
    ...Array.from({ length: 7 }, (_, day): [string, PeriodName, number] => [`week:${day + 1}`, "week", day + 1]),
    ...Array.from({ length: 31 }, (_, day): [string, PeriodName, number] => [String(day + 1), "month", day + 1]),
    ...Array.from({ length: 12 }, (_, month): [string, PeriodName, number] => [`year:${month + 1}`, "year", month + 1]),
  ];
  const instants = [0, 1, 3 * DAY_MS, 4 * DAY_MS, Date.UTC(2028, 1, 29), Date.UTC(2100, 1, 28, 23, 59, 59, 999)];
  for (let at = 0; at < 2 ** 43; at += 2 ** 43 / 200 + 12_345_678)
    instants.push(Math.floor(at), Math.floor(at / DAY_MS) * DAY_MS);
  const script = `
    local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
    ${RULES}
    ${CALENDAR}
    local found = {}
    for i = 2, #ARGV do
      local start, finish = periodOf(tonumber(ARGV[i]), ruleOf('q 1 ' .. ARGV[1]))
      found[i - 1] = string.format('%.0f', start) .. ' ' .. (finish == math.huge and 'Infinity' or string.format('%.0f', finish))
    end
    return found
  `;
  for (const [span, period, anchor] of spans) {
    const found = await client.eval(script, 0, span, ...instants.map(String));
    const expected = instants.map((at) => {
      const { startMs, endMs } = periodAt(at, period, anchor);
      return `${startMs} ${endMs}`;
    });
    expect(found, span).toEqual(expected);
  }
});

it.each([
  "q 1 week:0",
  "q 1 week:8",
  "q 1 32",
  "q 1 year:13",
  "q 1 fortnight",
  "q 1 hour:1",
  "q 1 once:1",
  "q 1",
  "b 0 5 1",
  "b 5 0 1",
  "b 0 0 0",
])("a rule %j in a key is none of ours, and the key is left alone", async (rule) => {
  const { limiter, prefix } = await open({ mode: "exact", engine: "js" }, [
    { name: "quota", type: "quota", limit: 3, period: "day" },
  ]);
  await client.hset(nameOf(prefix, "k"), { "@t": "1", "@e": "x:1", other: "1", "@r:other": rule });
  await limiter.consume("k", "t");
  expect(await client.hget(nameOf(prefix, "k"), "@t")).toBe("1");
});
