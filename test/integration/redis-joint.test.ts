import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  createLimiter,
  type JointDecision,
  type RedisStorage,
  type SharedLimiter,
  type Tiers,
} from "../../src/index.js";
import { RedisServer, redisForFile } from "../redis/server.js";

const redis = await redisForFile();
let prefixes = 0;

const quota = (limit: number) => ({ name: "day", type: "quota", limit, period: "day" }) as const;
const bucket = (limit: number) => ({ name: "bucket", type: "bucket", limit, windowSeconds: 86_400, burst: 1 }) as const;
const TIERS: Tiers = {
  team: { limits: [quota(20)] },
  member: { limits: [bucket(10), quota(1000)] },
  api: { limits: [bucket(100)] },
  partner: { limits: [] },
};

/** Replicas that share one set of keys, ready, with a deadline that a busy machine keeps. */
async function replicas(count: number, storage: Partial<RedisStorage> = {}) {
  const prefix = `joint-test-${prefixes++}`;
  const limiters = Array.from({ length: count }, () =>
    createLimiter({
      tiers: TIERS,
      storage: { type: "redis", url: redis.url, prefix, timeoutMs: 5000, ...storage },
      onStorageError: () => undefined,
    }),
  );
  for (const limiter of limiters) onTestFinished(() => limiter.close());
  await Promise.all(limiters.map((limiter) => limiter.ready()));
  return limiters as [SharedLimiter, ...SharedLimiter[]];
}

const used = async (limiter: SharedLimiter, key: string, tier: string) => {
  const { limits } = await limiter.peek(key, tier, 0);
  return limits.map(({ limit, remaining }) => Math.round((limit - remaining) * 1000) / 1000);
};

describe.each(["exact", "leased"] as const)("calls of several subjects over Redis, %s", (mode) => {
  it("spend of all, or of none", async () => {
    const [one, other] = await replicas(2, { mode });
    const call = (limiter: SharedLimiter | undefined, member: string) =>
      limiter?.consumeAll([
        { key: "team", tier: "team", cost: 4 },
        { key: member, tier: "member", cost: 2 },
        { key: "partner", tier: "partner", cost: 9 },
      ]);
    const allowed: (boolean | undefined)[] = [];
    for (let made = 0; made < 7; made++) allowed.push((await call(made % 2 ? one : other, `m${made % 2}`))?.allowed);
    expect(allowed.filter(Boolean)).toHaveLength(5);
    const denied = (await call(one, "m0")) as JointDecision;
    expect(denied).toMatchObject({ allowed: false, denied: { key: "team" }, deniedBy: "day" });
    expect(denied.refund()).toBe(false);
    expect(denied.decisions).toHaveLength(3);
    await vi.waitFor(async () => {
      expect(await used(one, "team", "team")).toEqual([20]);
      const [m0, m1] = [await used(one, "m0", "member"), await used(one, "m1", "member")];
      expect([m0[1], m1[1]]).toEqual([6, 4]);
    });
    expect(one.stats().tiers.find(({ tier }) => tier === "partner")?.allowed).toBeGreaterThan(0);
  });

  it("give back and settle of each", async () => {
    const [limiter] = await replicas(1, { mode });
    const subjects = [
      { key: "t", tier: "team", cost: 10 },
      { key: "m", tier: "member", cost: 4 },
    ];
    const decision = await limiter.consumeAll(subjects);
    expect([decision.settle([3, 5]), decision.refund()]).toEqual([true, false]);
    await vi.waitFor(async () => {
      expect(await used(limiter, "t", "team")).toEqual([3]);
      expect(await used(limiter, "m", "member")).toEqual([5, 5]);
    });
    expect((await limiter.consumeAll(subjects)).refund()).toBe(true);
    await vi.waitFor(async () => expect(await used(limiter, "t", "team")).toEqual([3]));
  });

  it("spend of each limit at its own cost, charge more, and give all of it back where one denies", async () => {
    const [limiter, other] = await replicas(2, { mode });
    const subjects = (cost: number) => [
      { key: "m", tier: "member", cost: { bucket: 1, day: cost } },
      { key: "t", tier: "team", cost: { day: cost } },
      { key: "t", tier: "team" },
    ];
    const decision = await limiter.consumeAll(subjects(4));
    expect(decision.decisions.map(({ cost }) => cost)).toEqual([{ bucket: 1, day: 4 }, { day: 5 }, { day: 5 }]);
    expect(decision.charge([{ day: 2 }, { day: 1 }, 0])).toBe(true);
    await vi.waitFor(async () => {
      expect(await used(other as SharedLimiter, "m", "member")).toEqual([1, 6]);
      expect(await used(other as SharedLimiter, "t", "team")).toEqual([6]);
    });
    const denied = (await other?.consumeAll(subjects(14))) as JointDecision;
    expect(denied).toMatchObject({ allowed: false, denied: { key: "t" }, deniedBy: "day" });
    expect(denied.decisions[0]?.limits.map(({ limit, remaining }) => Math.round(limit - remaining))).toEqual([1, 6]);
    await vi.waitFor(async () => expect(await used(limiter, "m", "member")).toEqual([1, 6]));
    expect((await limiter.consumeAll(subjects(13))).settle([{ bucket: 1 }, { day: 3 }, 0])).toBe(true);
    await vi.waitFor(async () => {
      expect(await used(limiter, "m", "member")).toEqual([2, 6]);
      expect(await used(limiter, "t", "team")).toEqual([9]);
    });
    expect(() => limiter.consumeAll([{ key: "t", tier: "team", cost: { bucket: 1 } }])).toThrow(
      "cost.bucket is of no limit",
    );
  });

  it("spend nothing of the others beside one that was denied before", async () => {
    const [limiter] = await replicas(1, { mode });
    await limiter.consume("spent", "team", 20);
    const call = () =>
      limiter.consumeAll([
        { key: "fresh", tier: "member" },
        { key: "spent", tier: "team" },
      ]);
    const first = await call();
    expect(first).toMatchObject({ allowed: false, denied: { key: "spent" } });
    expect(first.decisions[0]?.limits.map(({ remaining }) => remaining)).toEqual([10, 1000]);
    await vi.waitFor(async () => expect(await used(limiter, "fresh", "member")).toEqual([0, 0]));
    const { allowed } = limiter.stats().tiers.find(({ tier }) => tier === "member") ?? {};
    // At once, since the denial is believed.
    const decision = call() as JointDecision;
    expect(decision).toMatchObject({ allowed: false, denied: { key: "spent" } });
    expect(decision.decisions[0]).toMatchObject({ allowed: true, tier: "member", cost: 1 });
    expect(limiter.stats().tiers.find(({ tier }) => tier === "member")?.allowed).toBe(allowed);
    await limiter.reset("spent");
    await vi.waitFor(async () => expect(await call()).toMatchObject({ allowed: true }));
  });

  it("are refused where one key could never spend all that they cost under its tiers", async () => {
    const [limiter] = await replicas(1, { mode });
    const subjects = [
      { key: "t", tier: "team", cost: 15 },
      { key: "t", tier: "member", cost: { day: 990 } },
    ];
    const message = /^subjects\[0, 1\]: together they can never pass: day .* at most 1000 under tier member$/;
    const refused = expect.objectContaining({
      code: "ERR_COST_EXCEEDS_CAPACITY",
      message: expect.stringMatching(message),
    });
    expect(() => limiter.consumeAll(subjects)).toThrow(refused);
    expect(await used(limiter, "t", "team")).toEqual([0]);
  });

  it("leave nothing spent of what one denied after leaseMs, as another replica sees it", async () => {
    const leaseMs = 1000;
    const [one, other] = await replicas(2, { mode, leaseMs });
    for (let call = 0; call < 10; call++) {
      const [member, team] = [`m${call}`, `t${call}`];
      await one.consume(team, "team", 20);
      const subjects = [
        { key: member, tier: "member", cost: call % 2 === 0 ? 3 : { bucket: 1, day: 5 } },
        { key: "all", tier: "api" },
        { key: team, tier: "team" },
      ];
      expect((await one.consumeAll(subjects)).denied?.key).toBe(team);
      const ofOther = { timeout: leaseMs, interval: 5 };
      await vi.waitFor(async () => {
        expect(await used(other as SharedLimiter, member, "member")).toEqual([0, 0]);
        expect(await used(other as SharedLimiter, "all", "api")).toEqual([0]);
      }, ofOther);
    }
  });

  it("are misuse before anything is spent", async () => {
    const [limiter] = await replicas(1, { mode });
    const good = { key: "t", tier: "team" };
    expect(() => limiter.consumeAll([good, { key: "", tier: "member" }])).toThrow("key is a string of 0");
    expect(() => limiter.consumeAll([good, { key: "m", tier: "none" }])).toThrow("tier is none");
    expect(() => limiter.consumeAll([good, { key: "m", tier: "member", cost: 11 }])).toThrow("holds at most 10");
    expect(() =>
      limiter.consumeAll([
        { ...good, cost: 15 },
        { ...good, cost: 15 },
      ]),
    ).toThrow("cost is 30");
    expect(() => limiter.consumeAll([])).toThrow("subjects is 0 items long");
    expect(await used(limiter, "t", "team")).toEqual([0]);
  });

  it("keep nothing of what was denied, and admit no more than the limits, under 64 callers on shared subjects", async () => {
    const leaseMs = 500;
    const limiters = await replicas(3, { mode, leaseMs });
    const admitted = new Map<string, number>();
    let denials = 0;
    const caller = async (number: number) => {
      const subjects = [
        { key: `team${number % 4}`, tier: "team" },
        { key: `member${number % 16}`, tier: "member" },
        { key: "api", tier: "api" },
      ];
      for (let made = 0; made < 5; made++) {
        const decision = await limiters[(number + made) % 3]?.consumeAll(subjects);
        if (!decision?.allowed) denials++;
        else for (const { key } of subjects) admitted.set(key, (admitted.get(key) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 64 }, (_, number) => caller(number)));
    expect(denials).toBeGreaterThan(200);
    // The teams have 80 between them, and nobody else has less.
    const sum = admitted.get("api") ?? 0;
    expect(sum).toBeLessThanOrEqual(80);
    expect(sum).toBeGreaterThanOrEqual(40);
    for (let team = 0; team < 4; team++) expect(admitted.get(`team${team}`) ?? 0).toBeLessThanOrEqual(20);
    await vi.waitFor(
      async () => {
        for (const [key, count] of admitted) {
          const tier = key === "api" ? "api" : key.startsWith("team") ? "team" : "member";
          for (const spent of await used(limiters[0], key, tier)) {
            // Of a bucket what it has refilled meanwhile is not given back as well.
            expect(spent, key).toBeGreaterThanOrEqual(count);
            expect(spent, key).toBeLessThan(count + 0.01);
          }
        }
      },
      { timeout: 5 * leaseMs, interval: 20 },
    );
  });
});

it("throw while Redis is away and the policy is closed, and spend nothing of what is held", async () => {
  const server = await RedisServer.start();
  onTestFinished(() => server.stop());
  const [limiter] = await replicas(1, {
    url: server.url,
    onOutage: { bucket: "closed", quota: "open" },
    timeoutMs: 200,
  });
  await limiter.consume("t", "team");
  await server.stop();
  await vi.waitFor(() => expect(limiter.isReady).toBe(false), 10_000);
  const both = [
    { key: "t", tier: "team" },
    { key: "m", tier: "member" },
  ];
  const call = async () => limiter.consumeAll(both);
  await expect(call()).rejects.toThrow(expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" }));
  expect(limiter.stats().store.unreconciled).toBe(0);
  expect((await limiter.consumeAll([{ key: "t", tier: "team" }])).allowed).toBe(true);
});

it("are denied by a part of the limit while Redis is away, and then spend nothing of the others' parts", async () => {
  const server = await RedisServer.start();
  onTestFinished(() => server.stop());
  const [limiter] = await replicas(1, { url: server.url, timeoutMs: 200 });
  await server.stop();
  await vi.waitFor(() => expect(limiter.isReady).toBe(false), 10_000);
  const call = () =>
    limiter.consumeAll([
      { key: "m", tier: "member", cost: 2 },
      { key: "t", tier: "team", cost: 9 },
    ]) as JointDecision;
  expect([call(), call(), call(), call()].map(({ denied }) => denied?.key)).toEqual([undefined, undefined, "t", "t"]);
  expect(limiter.stats().tiers.find(({ tier }) => tier === "team")).toMatchObject({ allowed: 2, denied: { day: 2 } });
  expect(limiter.stats().store.unreconciled).toBe(4 + 18);
});
