/**
 * What limiting costs an HTTP server: one route of Fastify, bare and with limiters before it, and the service itself.
 *
 * Each server is a process of its own on the first processor; the load, 32 connections of autocannon, is one on the
 * second. The servers take turns. Beside calls a second stands the server's processor time per call, which tells the
 * cost also where the load is what can't keep up.
 */

import { readFileSync } from "node:fs";
import { CAN_PIN, Child } from "./child.js";
import type { Outcome, Target } from "./children/load.js";
import type { ServerName } from "./children/server.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { pairedRatios, rounded, shown, spread } from "./statistics.js";

const BARE = "bare Fastify";
const SERVICE = "fingerprint-api";
const SERVERS = [
  BARE,
  "tollkeeper, two fields",
  "tollkeeper, all fields",
  "@fastify/rate-limit",
  "rate-limiter-flexible",
  SERVICE,
] as const satisfies readonly (ServerName | typeof SERVICE)[];

/** A round of one server. */
interface Round {
  perSecond: number;
  /** Processor time of the server for one call, in µs. */
  cpuUs: number;
  /** Share of one processor that the server was busy. */
  busy: number;
  p50Ms: number;
  p99Ms: number;
}

interface Lane {
  server: (typeof SERVERS)[number];
  child: Child<"address" | "cpu", unknown>;
  target: Omit<Target, "seconds">;
  rounds: Round[];
}

export async function http({ quick }: Options): Promise<Result> {
  const [rounds, seconds] = quick ? [2, 1] : [7, 3];
  const load = new Child<Target, Outcome>("load", { processor: 1 });
  const lanes: Lane[] = [];
  try {
    for (const server of SERVERS) lanes.push(await open(server));
    for (let round = -1; round < rounds; round++) {
      for (const lane of lanes) {
        const measured = await measure(lane, load, round < 0 ? 1 : seconds);
        if (round >= 0) lane.rounds.push(measured);
      }
    }
  } finally {
    await Promise.all([load, ...lanes.map(({ child }) => child)].map((child) => child.stop()));
  }
  return resultOf(lanes);
}

async function open(server: Lane["server"]): Promise<Lane> {
  const child: Lane["child"] = new Child("server", { args: [server], processor: 0 });
  const { url, key } = (await child.ask("address")) as { url: string; key: string | undefined };
  const target =
    server === SERVICE ? { url: `${url}/v1/identify`, key, body: signals() } : { url, key, body: undefined };
  return { server, child, target, rounds: [] };
}

/** What a client of the service sends, of a connection captured from Chromium. */
function signals(): string {
  const file = new URL("../../crates/fingerprint/data/chromium.json", import.meta.url);
  const [capture] = JSON.parse(readFileSync(file, "utf8")) as [{ client_hello: string; akamai_h2: string }];
  const { client_hello, akamai_h2 } = capture;
  return JSON.stringify({ fingerprint: { tls: { client_hello }, http2: { akamai: akamai_h2 } } });
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

function resultOf(lanes: readonly Lane[]): Result {
  const bare = lanes.find(({ server }) => server === BARE)?.rounds ?? [];
  const of = (rounds: readonly Round[], figure: keyof Round) => rounds.map((round) => round[figure]);
  const ratioOf = ({ server, rounds }: Lane) =>
    server === SERVICE ? undefined : pairedRatios(of(rounds, "perSecond"), of(bare, "perSecond"));
  const barsOf = (shown: readonly Lane[], figure: keyof Round) =>
    shown.map(({ server, rounds }) => {
      const { p25, median, p75 } = spread(of(rounds, figure));
      return { column: "", name: server, value: median, low: p25, high: p75 };
    });
  const route = lanes.filter(({ server }) => server !== SERVICE);
  const service = lanes.filter(({ server }) => server === SERVICE);
  return {
    title: `HTTP calls a second with and without limits, 32 connections${CAN_PIN ? "" : "; not kept to a processor each"}`,
    rows: lanes.map((lane) => ({ server: lane.server, ratioToBare: ratioOf(lane), rounds: lane.rounds })),
    tables: [
      {
        title: "median (quarters)",
        rows: Object.fromEntries(
          lanes.map((lane) => {
            const ratio = ratioOf(lane);
            const median = (figure: keyof Round) => rounded(spread(of(lane.rounds, figure)).median);
            const cells = {
              "calls a second": shown(spread(of(lane.rounds, "perSecond"))),
              "× bare": ratio ? shown(ratio) : "another route",
              "server CPU, µs a call": shown(spread(of(lane.rounds, "cpuUs"))),
              "server busy": median("busy"),
              "p50, ms": median("p50Ms"),
              "p99, ms": median("p99Ms"),
            };
            return [lane.server === SERVICE ? `${SERVICE}, POST /v1/identify` : lane.server, cells];
          }),
        ),
      },
    ],
    panels: [
      { title: "GET of one small object", unit: "calls a second, more is better", bars: barsOf(route, "perSecond") },
      {
        title: "GET of one small object",
        unit: "µs of the server's processor time a call",
        bars: barsOf(route, "cpuUs"),
      },
      {
        title: `${SERVICE}, POST /v1/identify`,
        unit: "calls a second, more is better",
        bars: barsOf(service, "perSecond"),
      },
      { title: `${SERVICE}, POST /v1/identify`, unit: "ms until answered, p99", bars: barsOf(service, "p99Ms") },
    ],
  };
}
