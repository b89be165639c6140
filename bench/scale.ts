/**
 * What sharing would cost past this machine, simulated: 100 replicas, 10 M keys by Zipf's law, 1 M requests a second.
 *
 * Real: the limiter with its leases, one for each replica, as it is shipped. Modelled: Redis (the arithmetic of the
 * protocol, no faults), the network (half a millisecond there and back), time, and which replica a request meets
 * (any, by chance). Keys are independent of each other, so of each doubling of ranks a few keys are simulated, each at
 * the mean rate of its ranks, and stand for all of them. Measured on a real redis-server here: the processor time of a
 * command and the bytes of a key, which say how many shards it takes.
 */

import type { Tiers } from "tollkeeper";
import { Child } from "./child.js";
import type { Outcome, Stint } from "./children/redis.js";
import { nameOf, random } from "./keys.js";
import { ModelRedis } from "./model-redis.js";
import type { Options } from "./options.js";
import { RedisServer } from "./redis-server.js";
import type { Result } from "./report.js";
import { SimulatedTime } from "./simulated-time.js";
import { rounded } from "./statistics.js";

interface Setup {
  replicas: number;
  keys: number;
  /** Requests a second. */
  traffic: number;
}

interface Finding extends Setup {
  tier: TierName;
  commandsPerSecond: number;
  commandsPerRequest: number;
  /** The part of the requests that are let in. */
  admitted: number;
  shards: number;
  /** Of all shards together, with every key there. */
  redisGb: number;
  /** Tokens that the worst key had too many, in its worst window, and may have. */
  over: number;
  bound: number;
}

/** What one shard can do. */
interface Shard {
  commandsPerSecond: number;
  bytesPerKey: number;
}

const BASE: Setup = { replicas: 100, keys: 10_000_000, traffic: 1_000_000 };
const GROWTH: Setup[] = [
  BASE,
  ...[10, 30, 300].map((replicas) => ({ ...BASE, replicas })),
  ...[100_000, 1_000_000, 100_000_000].map((keys) => ({ ...BASE, keys })),
  ...[30_000, 100_000, 300_000].map((traffic) => ({ ...BASE, traffic })),
];

const LEASE_MS = 1000;
const MINUTE = 1000;
/** Nobody reaches the first; the second, of which the most frequent keys want many times as much, denies. */
const TIERS = {
  ample: { limits: [{ name: "minute", type: "bucket", limit: 1e9, windowSeconds: 60, burst: 1 }] },
  [`${MINUTE}-a-minute`]: { limits: [{ name: "minute", type: "bucket", limit: MINUTE, windowSeconds: 60, burst: 1 }] },
} as const satisfies Tiers;
const TIER_NAMES = ["ample", `${MINUTE}-a-minute`] as const;
type TierName = (typeof TIER_NAMES)[number];

/** Share of a shard's processor that is planned with. */
const PLANNED = 0.7;
const EULER = 0.5772156649;

interface Effort {
  warmMs: number;
  ms: number;
  /** Calls that a doubling of ranks should be judged by. */
  calls: number;
  /** Keys simulated of it at most. */
  keys: number;
}

const FULL: Effort = { warmMs: 1500, ms: 2000, calls: 4000, keys: 2000 };
const QUICK: Effort = { warmMs: 1000, ms: 500, calls: 500, keys: 500 };

export async function scale({ quick }: Options): Promise<Result> {
  const shard = await measureShard(quick);
  const findings: Finding[] = [];
  for (const setup of quick ? [{ ...BASE, traffic: 100_000 }] : GROWTH) {
    for (const tier of TIER_NAMES) findings.push(await simulate(setup, tier, shard, quick ? QUICK : FULL));
  }
  return resultOf(findings, shard);
}

/** Two clients that ask for every call, and many keys; one at a time each, since in a Cluster a call carries one key. */
async function measureShard(quick: boolean): Promise<Shard> {
  const server = await RedisServer.start();
  const clients = [0, 1].map(() => new Child<Stint, Outcome>("redis", { args: ["exact", server.url] }));
  try {
    const keys = quick ? 2000 : 50_000;
    await Promise.all(clients.map((client) => client.ask({ what: "open" })));
    const before = await server.read();
    await clients[0]?.ask({ what: "each", from: 0, to: keys });
    const { bytes } = await server.read();
    await server.reset();
    const seconds = quick ? 1 : 5;
    await Promise.all(clients.map((client, seed) => client.ask({ what: "flat out", callers: 1, seconds, keys, seed })));
    const { sent, cpuS } = await server.read();
    await Promise.all(clients.map((client) => client.ask({ what: "close" })));
    return { commandsPerSecond: sent / cpuS, bytesPerKey: (bytes - before.bytes) / keys };
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
    await server.stop();
  }
}

/** The limiter under the clock and the store that it is given; not public. */
interface SharedModule {
  SharedLimiter: new (
    settings: object,
  ) => {
    consume(key: string, tier: string): { allowed: boolean } | Promise<{ allowed: boolean }>;
  };
}

/** Ranks that are alike: of each of `keys` keys comes `perSecond`. */
interface Stratum {
  keys: number;
  perSecond: number;
}

async function simulate(setup: Setup, tier: TierName, shard: Shard, effort: Effort): Promise<Finding> {
  const module: SharedModule = await import(new URL("../cjs/shared/shared-limiter.js", import.meta.url).href);
  const time = new SimulatedTime();
  const server = new ModelRedis(time, setup.replicas);
  const runtime = time.runtime();
  const limiters = Array.from({ length: setup.replicas }, () => {
    const policies = { bucket: "share", quota: "share" };
    const given = { mode: "leased", leaseMs: LEASE_MS, timeoutMs: 50, policies, clock: undefined, maxKeys: 1_000_000 };
    return new module.SharedLimiter({ tiers: TIERS, ...given, link: server.link(), runtime });
  });
  await time.runUntil(100);
  const startMs = time.nowMs + effort.warmMs;
  const endMs = startMs + effort.ms;
  const next = random(setup.replicas + setup.keys + setup.traffic);
  const groups = strataOf(setup).map((stratum, index) => {
    const wanted = Math.ceil(effort.calls / (stratum.perSecond * (effort.ms / 1000)));
    const count = Math.min(stratum.keys, effort.keys, Math.max(1, wanted));
    // Who always wants more than the limit has long spent all of it.
    const isExhausted = tier !== "ample" && stratum.perSecond > MINUTE / 60;
    const tallies = Array.from(
      { length: count },
      (_, key) => new Tally(nameOf(index * 1e6 + key), isExhausted ? MINUTE : 0),
    );
    if (isExhausted) for (const { key } of tallies) server.exhausted.add(key);
    return { stratum, tallies };
  });
  for (const { stratum, tallies } of groups) {
    for (const tally of tallies) {
      const meanMs = 1000 / stratum.perSecond;
      const arrive = (): void => {
        const limiter = limiters[Math.floor(next() * setup.replicas)];
        const decided = limiter?.consume(tally.key, tier);
        const finish = (decision: { allowed: boolean } | undefined): void => {
          if (time.nowMs >= startMs) tally.requests++;
          if (decision?.allowed) tally.admit(time.nowMs, time.nowMs >= startMs);
        };
        if (decided instanceof Promise) void decided.then(finish);
        else finish(decided);
        time.after(-Math.log(1 - next()) * meanMs, arrive);
      };
      time.after(-Math.log(1 - next()) * meanMs, arrive);
    }
  }
  await time.runUntil(startMs);
  server.reset();
  await time.runUntil(endMs);
  return findingOf(setup, tier, shard, effort, groups, server);
}

/** What became of the calls of one key. */
class Tally {
  readonly key: string;
  requests = 0;
  admitted = 0;
  /** Tokens that a window has had at most beyond what it refilled: the level of a bucket without a bottom. */
  most = 0;
  #level: number;
  #atMs = 0;

  constructor(key: string, level: number) {
    this.key = key;
    this.#level = level;
  }

  admit(nowMs: number, counts: boolean): void {
    this.#level = Math.max(0, this.#level - ((nowMs - this.#atMs) * MINUTE) / 60_000) + 1;
    this.#atMs = nowMs;
    this.most = Math.max(this.most, this.#level);
    if (counts) this.admitted++;
  }
}

function findingOf(
  setup: Setup,
  tier: TierName,
  shard: Shard,
  { ms }: Effort,
  groups: readonly { stratum: Stratum; tallies: readonly Tally[] }[],
  server: ModelRedis,
): Finding {
  let commands = server.heartbeats;
  let requests = 0;
  let admitted = 0;
  for (const { stratum, tallies } of groups) {
    const weight = stratum.keys / tallies.length;
    for (const tally of tallies) {
      commands += weight * (server.commands.get(tally.key) ?? 0);
      requests += weight * tally.requests;
      admitted += weight * tally.admitted;
    }
  }
  const perSecond = (commands * 1000) / ms;
  const most = Math.max(...groups.flatMap(({ tallies }) => tallies.map((tally) => tally.most)));
  return {
    ...setup,
    tier,
    commandsPerSecond: perSecond,
    commandsPerRequest: commands / requests,
    admitted: admitted / requests,
    shards: Math.ceil(perSecond / (shard.commandsPerSecond * PLANNED)),
    redisGb: (setup.keys * shard.bytesPerKey) / 1e9,
    over: tier === "ample" ? 0 : Math.max(0, Math.floor(most - MINUTE)),
    bound: tier === "ample" ? 0 : (MINUTE / 60) * (LEASE_MS / 1000),
  };
}

/** Doublings of ranks by Zipf's law, each at its mean rate. */
function strataOf({ keys, traffic }: Setup): Stratum[] {
  const strata: Stratum[] = [];
  for (let first = 1; first <= keys; first *= 2) {
    const last = Math.min(keys, 2 * first - 1);
    const share = (harmonic(last) - harmonic(first - 1)) / harmonic(keys);
    strata.push({ keys: last - first + 1, perSecond: (traffic * share) / (last - first + 1) });
  }
  return strata;
}

/** The sum of 1/r for the ranks up to n. */
function harmonic(n: number): number {
  if (n > 1000) return Math.log(n) + EULER + 1 / (2 * n) - 1 / (12 * n * n);
  let sum = 0;
  for (let rank = 1; rank <= n; rank++) sum += 1 / rank;
  return sum;
}

function resultOf(findings: readonly Finding[], shard: Shard): Result {
  const limited = findings.filter(({ tier }) => tier !== "ample");
  const held = limited.filter(({ over, bound }) => over <= bound).length;
  const rate = rounded(shard.commandsPerSecond).toLocaleString("en");
  const growths = [
    ["replicas", ({ keys, traffic }: Setup) => keys === BASE.keys && traffic === BASE.traffic],
    ["keys", ({ replicas, traffic }: Setup) => replicas === BASE.replicas && traffic === BASE.traffic],
    ["traffic", ({ replicas, keys }: Setup) => replicas === BASE.replicas && keys === BASE.keys],
  ] as const;
  return {
    title: `sharing past this machine, simulated; the bound held in ${held} of ${limited.length} runs with a limit in reach`,
    rows: [{ shard, planned: PLANNED, leaseMs: LEASE_MS, base: BASE }, ...findings],
    tables: [
      {
        title: `a shard: ${rate} commands/s of processor time, planned to ${100 * PLANNED} %; ${rounded(shard.bytesPerKey)} bytes a key`,
        rows: Object.fromEntries(findings.map((finding) => [nameOfRun(finding), cellsOf(finding)])),
      },
    ],
    panels: growths.map(([by, isOf]) => ({
      title: `Redis commands as ${by} grow`,
      unit: `thousands a second; else ${growths
        .filter(([other]) => other !== by)
        .map(([other]) => `${BASE[other].toLocaleString("en")} ${other === "traffic" ? "requests a second" : other}`)
        .join(", ")}`,
      bars: findings
        .filter(isOf)
        .sort((a, b) => a[by] - b[by])
        .map((finding) => ({
          column: `tier: ${finding.tier}`,
          name: finding[by].toLocaleString("en"),
          value: finding.commandsPerSecond / 1000,
          note: `(${finding.commandsPerRequest.toFixed(2)} a request)`,
        })),
    })),
  };
}

function nameOfRun({ tier, replicas, keys, traffic }: Finding): string {
  return `${replicas} replicas, ${short(keys)} keys, ${short(traffic)}/s, ${tier}`;
}

function cellsOf(finding: Finding): Record<string, string | number> {
  return {
    "commands/s": rounded(finding.commandsPerSecond),
    "a request": rounded(finding.commandsPerRequest),
    shards: finding.shards,
    "Redis GB": rounded(finding.redisGb),
    "admitted, %": rounded(100 * finding.admitted),
    over: finding.tier === "ample" ? "none reached" : finding.over,
    bound: finding.tier === "ample" ? "" : rounded(finding.bound),
  };
}

function short(count: number): string {
  return count >= 1e6 ? `${count / 1e6} M` : `${count / 1e3} k`;
}
