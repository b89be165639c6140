/**
 * What sharing costs: tollkeeper's ways beside the Redis stores of the peers, all on one Redis, in one run.
 *
 * Three parts. Direct calls: a hot key at 1,000 requests a second, and 64 callers as fast as they are answered; every
 * contestant is a process, and they take turns. An app: one route of Fastify, judged by the server's processor time, since
 * load and Redis share the machine. Many keys: four replicas, and what their keys cost Redis. Commands are counted by
 * Redis (`INFO commandstats`), those that clients send: what their scripts run inside stands beside it.
 */

import { BESIDE } from "./beside.js";
import { Child } from "./child.js";
import type { Outcome as LoadOutcome, Target } from "./children/load.js";
import type { ContestantName, Outcome, Stint } from "./children/redis.js";
import type { AppName } from "./children/shared-app.js";
import type { Options } from "./options.js";
import { type Meter, RedisServer } from "./redis-server.js";
import type { Result, Table } from "./report.js";
import { pairedRatios, rounded, shown, spread } from "./statistics.js";

const CONTESTANTS = [
  "local",
  "leased",
  "exact",
  "rate-limiter-flexible",
  "@fastify/rate-limit",
] as const satisfies ContestantName[];
const APPS = ["local", "leased", "exact", "@fastify/rate-limit"] as const satisfies AppName[];
const LOADS = { "hot key, 1,000 a second": "hot", "64 callers, 10,000 keys": "flat out" } as const;
const REPLICAS = 4;

/** Whose calls an app gets: the key of all of them, or undefined for a hundred that take turns. */
const CALLERS = { "one hot key": "hot", "100 keys": undefined } as const;

/** A contestant, or an app, of this build or of the one beside it. */
interface Entry<Name> {
  name: Name | typeof BESIDE;
  what: Name;
  build?: string;
}

type Load = keyof typeof LOADS;
type Callers = keyof typeof CALLERS;

interface Round {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Commands that were sent for one request, and all that were carried out. */
  sent: number;
  run: number;
}

interface AppRound {
  perSecond: number;
  /** Processor time of the server for one call, in µs. */
  cpuUs: number;
  p99Ms: number;
  /** Commands sent for one call; the heartbeats of the other apps, a few a second, are among them. */
  sent: number;
}

interface Lane<R> {
  name: string;
  load: string;
  rounds: R[];
}

/** What many keys cost. */
interface Crowd {
  keys: number;
  replicas: number;
  bytesPerKey: number;
  requestsPerSecond: number;
  commandsPerSecond: number;
  /** Share of one processor. */
  redisBusy: number;
  replicaBusy: number;
}

export async function redis({ quick, beside }: Options): Promise<Result> {
  const server = await RedisServer.start();
  try {
    const [rounds, seconds] = quick ? [1, 1] : [5, 2];
    const direct = await race(server, rounds, seconds, beside);
    const apps = await raceApps(server, rounds, seconds, beside);
    const crowd = await crowdOf(server, quick ? 5000 : 100_000, quick ? 2 : 10);
    return resultOf(server.version, direct, apps, crowd);
  } finally {
    await server.stop();
  }
}

/** All of them, and the leased one of the build beside. */
function entriesOf<Name>(names: readonly Name[], leased: Name, beside: string | undefined): Entry<Name>[] {
  const own = names.map((name) => ({ name, what: name }));
  return beside === undefined ? own : [...own, { name: BESIDE, what: leased, build: beside }];
}

async function race(
  server: RedisServer,
  rounds: number,
  seconds: number,
  beside: string | undefined,
): Promise<Lane<Round>[]> {
  const entries = entriesOf<ContestantName>(CONTESTANTS, "leased", beside);
  const contestants = entries.map(({ name, what, build }) => ({
    name,
    child: new Child<Stint, Outcome>("redis", { args: [what, server.url], processor: 0, build }),
  }));
  const lanes: Lane<Round>[] = [];
  try {
    for (const load of Object.keys(LOADS) as Load[]) {
      const here = contestants.map(({ name }) => ({ name, load, rounds: [] as Round[] }));
      lanes.push(...here);
      for (let round = -1; round < rounds; round++) {
        for (const [index, { child }] of contestants.entries()) {
          const measured = await turn(server, child, stintOf(load, round < 0 ? 1 : seconds, round));
          if (round >= 0) here[index]?.rounds.push(measured);
        }
      }
    }
  } finally {
    await Promise.all(contestants.map(({ child }) => child.stop()));
  }
  return lanes;
}

function stintOf(load: Load, seconds: number, seed: number): Stint {
  return LOADS[load] === "hot"
    ? { what: "steady", perSecond: 1000, seconds, keys: 1, seed }
    : { what: "flat out", callers: 64, seconds, keys: 10_000, seed };
}

async function turn(server: RedisServer, child: Child<Stint, Outcome>, stint: Stint): Promise<Round> {
  await child.ask({ what: "open" });
  await server.reset();
  const { requests, seconds, p50Ms, p99Ms } = await child.ask(stint);
  // Gives back what is leased, which counts too.
  await child.ask({ what: "close" });
  const { sent, run } = await server.read();
  return { perSecond: requests / seconds, p50Ms, p99Ms, sent: sent / requests, run: run / requests };
}

async function raceApps(
  server: RedisServer,
  rounds: number,
  seconds: number,
  beside: string | undefined,
): Promise<Lane<AppRound>[]> {
  const load = new Child<Target, LoadOutcome>("load", { processor: 1 });
  const apps = entriesOf<AppName>(APPS, "leased", beside).map(({ name, what, build }) => ({
    name,
    child: new Child<"address" | "cpu", unknown>("shared-app", { args: [what, server.url], processor: 0, build }),
    lanes: (Object.keys(CALLERS) as Callers[]).map((load) => ({ name, load, rounds: [] as AppRound[] })),
  }));
  try {
    for (let round = -1; round < rounds; round++) {
      for (const { name, child, lanes } of apps) {
        for (const lane of lanes) {
          const url = String(await child.ask("address"));
          const key = CALLERS[lane.load];
          await server.reset();
          const before = Number(await child.ask("cpu"));
          const target = { url, key, body: undefined, seconds: round < 0 ? 1 : seconds };
          const { requests, failed, p99Ms, ...outcome } = await load.ask(target);
          const cpuUs = (Number(await child.ask("cpu")) - before) / requests;
          const sent = (await server.read()).sent / requests;
          if (failed > 0) throw new Error(`${name}: ${failed} calls failed`);
          if (round >= 0) lane.rounds.push({ perSecond: requests / outcome.seconds, cpuUs, p99Ms, sent });
        }
      }
    }
  } finally {
    await Promise.all([load, ...apps.map(({ child }) => child)].map((child) => child.stop()));
  }
  return apps.flatMap(({ lanes }) => lanes);
}

async function crowdOf(server: RedisServer, keys: number, seconds: number): Promise<Crowd> {
  await server.flush();
  const children = Array.from(
    { length: REPLICAS },
    () => new Child<Stint, Outcome>("redis", { args: ["leased", server.url] }),
  );
  try {
    await Promise.all(children.map((child) => child.ask({ what: "open" })));
    const before = await server.read();
    const part = Math.ceil(keys / REPLICAS);
    await Promise.all(
      children.map((child, index) =>
        child.ask({ what: "each", from: index * part, to: Math.min(keys, (index + 1) * part) }),
      ),
    );
    const filled: Meter = await server.read();
    await server.reset();
    const played = await Promise.all(
      children.map((child, seed) => child.ask({ what: "steady", perSecond: 500, seconds, keys, seed })),
    );
    const after = await server.read();
    const longest = Math.max(...played.map((outcome) => outcome.seconds));
    const requests = played.reduce((sum, outcome) => sum + outcome.requests, 0);
    const cpuS = played.reduce((sum, outcome) => sum + outcome.cpuS, 0);
    await Promise.all(children.map((child) => child.ask({ what: "close" })));
    return {
      keys,
      replicas: REPLICAS,
      bytesPerKey: (filled.bytes - before.bytes) / keys,
      requestsPerSecond: requests / longest,
      commandsPerSecond: after.sent / longest,
      redisBusy: after.cpuS / longest,
      replicaBusy: cpuS / longest / REPLICAS,
    };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

function resultOf(
  version: string,
  direct: readonly Lane<Round>[],
  apps: readonly Lane<AppRound>[],
  crowd: Crowd,
): Result {
  const cpuOf = (rounds: readonly AppRound[]) => rounds.map(({ cpuUs }) => cpuUs);
  const keptOf = ({ load, rounds }: Lane<AppRound>) => {
    const local = apps.find((lane) => lane.name === "local" && lane.load === load)?.rounds ?? [];
    return pairedRatios(cpuOf(local), cpuOf(rounds));
  };
  const timesBeside = (load: string) => {
    const rates = (name: string) =>
      of(direct.find((lane) => lane.name === name && lane.load === load)?.rounds ?? [], "perSecond");
    return pairedRatios(rates("leased"), rates(BESIDE));
  };
  const hasBeside = direct.some(({ name }) => name === BESIDE);
  const medianOf = (lane: Lane<Round>, figure: keyof Round) => rounded(spread(of(lane.rounds, figure)).median);
  const hot = direct.find(({ name, load }) => name === "leased" && LOADS[load as Load] === "hot");
  return {
    title: `limits shared over Redis ${version}; leased sends ${hot ? medianOf(hot, "sent") : "?"} commands a request for a hot key`,
    rows: [
      ...direct.map((lane) =>
        lane.name === "leased" && hasBeside ? { ...lane, callsOfBeside: timesBeside(lane.load) } : lane,
      ),
      ...apps.map((lane) => ({ ...lane, throughputOfLocal: keptOf(lane) })),
      crowd,
    ],
    tables: [
      ...(Object.keys(LOADS) as Load[]).map(
        (load): Table => ({
          title: `direct calls, ${load}: median (quarters)`,
          rows: Object.fromEntries(
            direct
              .filter((lane) => lane.load === load)
              .map((lane) => [
                lane.name,
                {
                  "requests a second": shown(spread(of(lane.rounds, "perSecond"))),
                  ...(hasBeside && { "× beside": lane.name === "leased" ? shown(timesBeside(load)) : "" }),
                  "p50, ms": medianOf(lane, "p50Ms"),
                  "p99, ms": shown(spread(of(lane.rounds, "p99Ms"))),
                  "commands a request": medianOf(lane, "sent"),
                  "with those in scripts": medianOf(lane, "run"),
                },
              ]),
          ),
        }),
      ),
      ...(Object.keys(CALLERS) as Callers[]).map(
        (load): Table => ({
          title: `one route of Fastify, 32 connections, ${load}: median (quarters)`,
          rows: Object.fromEntries(
            apps
              .filter((lane) => lane.load === load)
              .map((lane) => [
                lane.name,
                {
                  "calls a second": shown(spread(of(lane.rounds, "perSecond"))),
                  "server CPU, µs a call": shown(spread(cpuOf(lane.rounds))),
                  "throughput by CPU, × local": shown(keptOf(lane)),
                  "p99, ms": shown(spread(of(lane.rounds, "p99Ms"))),
                  "commands a call": rounded(spread(of(lane.rounds, "sent")).median),
                },
              ]),
          ),
        }),
      ),
      {
        title: `${crowd.keys.toLocaleString("en")} active keys, two limits each, over ${crowd.replicas} replicas, leased`,
        rows: { "": Object.fromEntries(Object.entries(crowd).map(([name, value]) => [name, rounded(value)])) },
      },
    ],
    panels: [
      ...(Object.keys(LOADS) as Load[]).flatMap((load) => {
        const lanes = direct.filter((lane) => lane.load === load);
        const panel = (title: string, unit: string, figure: keyof Round) => ({
          title: `${load}: ${title}`,
          unit,
          bars: lanes.map((lane) => barOf(lane.name, of(lane.rounds, figure))),
        });
        return [
          ...(LOADS[load] === "hot" ? [] : [panel("throughput", "decisions a second, more is better", "perSecond")]),
          panel("p99", "ms", "p99Ms"),
          panel("Redis", "commands sent a request, less is better", "sent"),
        ];
      }),
      ...(Object.keys(CALLERS) as Callers[]).map((load) => ({
        title: `one route of Fastify, ${load}`,
        unit: "µs of the server's processor time a call",
        bars: apps.filter((lane) => lane.load === load).map((lane) => barOf(lane.name, cpuOf(lane.rounds))),
      })),
    ],
  };
}

function of<R>(rounds: readonly R[], figure: keyof R): number[] {
  return rounds.map((round) => Number(round[figure]));
}

function barOf(name: string, samples: readonly number[]) {
  const { p25, median, p75 } = spread(samples);
  const isOurs = name === "local" || name === "leased" || name === "exact";
  return { column: "", name: isOurs ? `tollkeeper, ${name}` : name, value: median, low: p25, high: p75 };
}
