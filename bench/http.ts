/**
 * What limiting costs an HTTP server: one route of Fastify, bare and with limiters before it, and the service itself.
 *
 * The servers run on the first processor, one at a time; the load, 32 connections of autocannon, is on the second. It may
 * not keep a server busy, so what limiting costs is told by the server's processor time a call; calls a second stand
 * beside it. Of each server there are several processes, since V8 compiles the same code better in one than in another.
 */

import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { CAN_PIN, Child } from "./child.js";
import type { Held } from "./children/holds.js";
import type { Outcome, Target } from "./children/load.js";
import type { Question } from "./children/server.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { BARE, SERVER_NAMES, type ServerName } from "./servers.js";
import { pairedRatios, quantile, rounded, type Spread, shown, spread } from "./statistics.js";

const SERVICE = "fingerprint-api";
const LANES: readonly Lane["server"][] = [...SERVER_NAMES, SERVICE];

/** A round of one process. */
interface Round {
  perSecond: number;
  /** Processor time of the server for one call, in µs. */
  cpuUs: number;
  /** Share of one processor that the server was busy. */
  busy: number;
  p50Ms: number;
  p99Ms: number;
}

/** One batch of 100, sent alone. */
interface Batch {
  /** Whether the service may run on one processor only; Node's thread pool then takes turns with the event loop. */
  pinned: boolean;
  /** The longest that the event loop of the service was held at a time, from when it was sent until it was answered. */
  held: Held;
  /** The same, of as many ms in which nobody asked for anything. */
  idle: Held;
  answeredMs: number;
}

/** One process of a server. */
interface Lane {
  server: ServerName | typeof SERVICE;
  child: Child<Question, unknown>;
  target: Omit<Target, "seconds">;
  rounds: Round[];
}

export async function http({ quick }: Options): Promise<Result> {
  const [processes, rounds, seconds] = quick ? [1, 2, 1] : [3, 5, 2];
  const load = new Child<Target, Outcome>("load", { processor: 1 });
  const lanes: Lane[] = [];
  const batches: Batch[] = [];
  try {
    for (let process = 0; process < processes; process++) {
      for (const server of LANES) lanes.push(await open(server));
    }
    for (let round = -1; round < rounds; round++) {
      for (const lane of lanes) {
        const measured = await measure(lane, load, seconds);
        if (round >= 0) lane.rounds.push(measured);
      }
    }
    for (const pinned of [false, true]) batches.push(...(await measureBatches(quick ? 10 : 200, pinned)));
  } finally {
    await Promise.all([load, ...lanes.map(({ child }) => child)].map((child) => child.stop()));
  }
  return resultOf(lanes, batches);
}

async function open(server: Lane["server"], pinned = true): Promise<Lane> {
  const child: Lane["child"] = new Child("server", { args: [server], ...(pinned && { processor: 0 }) });
  const { url, key } = (await child.ask("address")) as { url: string; key: string | undefined };
  const target =
    server === SERVICE ? { url: `${url}/v1/identify`, key, body: signals() } : { url, key, body: undefined };
  return { server, child, target, rounds: [] };
}

/** What a client of the service sends, of a connection captured from Chromium. */
function signals(): string {
  return JSON.stringify({ fingerprint: captured() });
}

function captured(): object {
  const file = new URL("../../crates/fingerprint/data/chromium.json", import.meta.url);
  const [capture] = JSON.parse(readFileSync(file, "utf8")) as [Capture];
  const { client_hello, akamai_h2, headers } = capture;
  return { tls: { client_hello }, http2: { akamai: akamai_h2 }, http: { headers } };
}

interface Capture {
  client_hello: string;
  akamai_h2: string;
  headers: [string, string][];
}

/** Sends batches of 100 to a service of their own, one at a time, while it watches its event loop. */
async function measureBatches(count: number, pinned: boolean): Promise<Batch[]> {
  const { child } = await open(SERVICE, pinned);
  try {
    const { url, key } = (await child.ask("address")) as { url: string; key: string };
    const items = Array.from({ length: 100 }, (_, index) => ({ id: String(index), fingerprint: captured() }));
    const call = {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": key },
      body: JSON.stringify({ items }),
    };
    const batches: Batch[] = [];
    // The first ones compile the code.
    for (let batch = -count; batch < count; batch++) {
      await child.ask("watch");
      const start = performance.now();
      const answer = await fetch(`${url}/v1/batch`, call);
      await answer.arrayBuffer();
      const answeredMs = performance.now() - start;
      const held = (await child.ask("longest")) as Held;
      if (!answer.ok) throw new Error(`a batch was answered with ${answer.status}`);
      await child.ask("watch");
      await setTimeout(answeredMs);
      const idle = (await child.ask("longest")) as Held;
      if (batch >= 0) batches.push({ pinned, held, idle, answeredMs });
    }
    return batches;
  } finally {
    await child.stop();
  }
}

async function measure({ server, child, target }: Lane, load: Child<Target, Outcome>, seconds: number): Promise<Round> {
  const before = Number(await child.ask("cpu"));
  const outcome = await load.ask({ ...target, seconds });
  const cpu = Number(await child.ask("cpu")) - before;
  if (outcome.failed > 0) throw new Error(`${server}: ${outcome.failed} calls failed`);
  const { requests, p50Ms, p99Ms } = outcome;
  return {
    perSecond: requests / outcome.seconds,
    cpuUs: cpu / requests,
    busy: cpu / outcome.seconds / 1e6,
    p50Ms,
    p99Ms,
  };
}

function resultOf(lanes: readonly Lane[], batches: readonly Batch[]): Result {
  const of = (server: Lane["server"], figure: keyof Round) =>
    lanes.filter((lane) => lane.server === server).flatMap(({ rounds }) => rounds.map((round) => round[figure]));
  const spreadOf = (server: Lane["server"], figure: keyof Round) => spread(of(server, figure));
  const ratioOf = (server: Lane["server"]) => (server === SERVICE ? undefined : ratioToBare(lanes, server));
  const barsOf = (servers: readonly Lane["server"][], figure: keyof Round) =>
    servers.map((name) => {
      const { p25, median, p75 } = spreadOf(name, figure);
      return { column: "", name, value: median, low: p25, high: p75 };
    });
  return {
    title: `what a call costs an HTTP server with and without limits, 32 connections${CAN_PIN ? "" : "; not kept to a processor each"}`,
    rows: [
      ...LANES.map((server) => ({
        server,
        ratioToBare: ratioOf(server),
        processes: lanes.filter((lane) => lane.server === server).map(({ rounds }) => ({ rounds })),
      })),
      { batchesOf100: batches },
    ],
    tables: [
      {
        title: "median (quarters)",
        rows: Object.fromEntries(
          LANES.map((server) => {
            const ratio = ratioOf(server);
            const median = (figure: keyof Round) => rounded(spreadOf(server, figure).median);
            const cells = {
              "× bare, by processor time": ratio ? shown(ratio) : "another route",
              "server CPU, µs a call": shown(spreadOf(server, "cpuUs")),
              "calls a second": shown(spreadOf(server, "perSecond")),
              "server busy": median("busy"),
              "p50, ms": median("p50Ms"),
              "p99, ms": median("p99Ms"),
            };
            return [server === SERVICE ? `${SERVICE}, POST /v1/identify` : server, cells];
          }),
        ),
      },
      {
        title: "POST /v1/batch of 100, one at a time",
        rows: Object.fromEntries(
          [false, true].flatMap((pinned) => {
            const here = batches.filter((batch) => batch.pinned === pinned);
            const where = pinned ? "one processor for all threads" : "all processors";
            const running = here.flatMap(({ held }) => held.runningMs ?? []);
            return [
              [`${where}: event loop held, ms, the longest of each`, percentiles(here.map(({ held }) => held.ms))],
              ...(running.length > 0
                ? [[`${where}: the same without its waiting for a processor`, percentiles(running)] as const]
                : []),
              [`${where}: held while nobody asks, as long`, percentiles(here.map(({ idle }) => idle.ms))],
              [`${where}: answered, ms`, percentiles(here.map(({ answeredMs }) => answeredMs))],
            ];
          }),
        ),
      },
    ],
    panels: [
      {
        title: "GET of one small object",
        unit: "µs of the server's processor time a call, less is better",
        bars: barsOf(SERVER_NAMES, "cpuUs"),
      },
      {
        title: "GET of one small object",
        unit: "calls a second, more is better",
        bars: barsOf(SERVER_NAMES, "perSecond"),
      },
      {
        title: `${SERVICE}, POST /v1/identify`,
        unit: "calls a second, more is better",
        bars: barsOf([SERVICE], "perSecond"),
      },
      { title: `${SERVICE}, POST /v1/identify`, unit: "ms until answered, p99", bars: barsOf([SERVICE], "p99Ms") },
    ],
  };
}

function percentiles(samples: readonly number[]): Record<string, number> {
  const sorted = Float64Array.from(samples).sort();
  const at = (share: number): number => rounded(quantile(sorted, share));
  return { median: at(0.5), p90: at(0.9), p99: at(0.99), most: at(1) };
}

/** How many calls a server could answer in the processor time in which the bare one of the same round answers one. */
function ratioToBare(lanes: readonly Lane[], server: Lane["server"]): Spread {
  const timesOf = (server: Lane["server"]) =>
    lanes.filter((lane) => lane.server === server).map(({ rounds }) => rounds.map(({ cpuUs }) => cpuUs));
  const bare = timesOf(BARE);
  const times = timesOf(server);
  const means =
    bare[0]?.map((_, round) => bare.reduce((sum, times) => sum + (times[round] ?? 0), 0) / bare.length) ?? [];
  return pairedRatios(
    times.flatMap(() => means),
    times.flat(),
  );
}
