/**
 * How near replicas that share one Redis come to a single limiter.
 *
 * In every cell so many replicas, each with a connection of its own, get calls at instants drawn before, as often as the
 * cell says, in parts of the limits of all keys together; half of the keys have a bucket, half a quota. A replica is
 * drawn for each call, as a load balancer does. Judged by what was answered: what the replicas admitted together,
 * against one limiter that meets every call as it is made, and the most that any key had too much in any window.
 */

import { BUCKET_BOUND, type Event, idealOf, LEASE_MS, LIMIT, overOf, WINDOW_S } from "./accuracy-cell.js";
import { Child } from "./child.js";
import type { Call, Order, Played } from "./children/replicas.js";
import { type Distribution, random, uniform, zipf, zipfWeights } from "./keys.js";
import type { Options } from "./options.js";
import { RedisServer } from "./redis-server.js";
import type { Result } from "./report.js";

const TIERS = ["bucket", "quota"] as const;
const MODES = ["exact", "leased"] as const;
/** Keys of each tier. */
const KEYS = 8;
/** Processes among which the replicas are divided. */
const PROCESSES = 3;
/** The least that may be admitted of what one limiter would. */
const LEAST = 0.97;
/** How often a cell is played at most until no command has missed. */
const ATTEMPTS = 3;

interface Cell {
  mode: (typeof MODES)[number];
  replicas: number;
  load: number;
  distribution: Distribution;
}

interface Finding extends Cell {
  tier: (typeof TIERS)[number];
  calls: number;
  admitted: number;
  ideal: number;
  /** Whole calls of the key that had most too many, in its worst window. */
  over: number;
  bound: number;
  misses: number;
}

export async function accuracy({ quick }: Options): Promise<Result> {
  const replicas = quick ? [1, 3] : [1, 3, 5, 9];
  const loads = quick ? [2] : [0.9, 1.2, 2];
  const server = await RedisServer.start();
  const findings: Finding[] = [];
  let seed = 0;
  try {
    for (const count of replicas) {
      for (const mode of MODES) {
        await withReplicas(server.url, mode, count, async (children) => {
          for (const load of loads) {
            for (const distribution of ["uniform", "zipf"] as const) {
              const cell = { mode, replicas: count, load, distribution };
              findings.push(...(await settled(() => play(children, cell, ++seed))));
            }
          }
        });
      }
    }
  } finally {
    await server.stop();
  }
  return resultOf(findings, server.version);
}

type Children = readonly Child<Order, Played | null>[];

async function withReplicas(
  url: string,
  mode: Cell["mode"],
  count: number,
  use: (children: Children) => Promise<void>,
): Promise<void> {
  const processes = Math.min(PROCESSES, count);
  const children = Array.from({ length: processes }, () => new Child<Order, Played | null>("replicas"));
  try {
    await Promise.all(
      children.map((child, index) =>
        child.ask({ what: "open", url, mode, replicas: Math.ceil((count - index) / processes), of: count }),
      ),
    );
    await use(children);
    await Promise.all(children.map((child) => child.ask({ what: "close" })));
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

/** A cell in which Redis was not heard of in time tells of the outage policy: then it is played again. */
async function settled(play: () => Promise<Finding[]>): Promise<Finding[]> {
  let findings = await play();
  for (let again = 1; again < ATTEMPTS && findings.some(({ misses }) => misses > 0); again++) findings = await play();
  return findings;
}

async function play(children: Children, cell: Cell, seed: number): Promise<Finding[]> {
  await Promise.all(children.map((child) => child.ask({ what: "ready" })));
  const parts = drawn(cell, seed, children.length);
  const startMs = Number(process.hrtime.bigint()) / 1e6 + 50;
  const played = await Promise.all(
    children.map((child, index) => child.ask({ what: "play", startMs, calls: parts[index] ?? [] })),
  );
  const events = new Map<string, Event[]>();
  played.forEach((part, index) => {
    parts[index]?.forEach(({ key }, call) => {
      const ofKey = events.get(key) ?? [];
      events.set(key, ofKey);
      ofKey.push({
        calledMs: part?.calledMs[call] ?? Number.NaN,
        answeredMs: part?.answeredMs[call] ?? Number.NaN,
        allowed: part?.allowed[call] === 1,
      });
    });
  });
  const misses = played.reduce((sum, part) => sum + (part?.misses ?? 0), 0);
  return TIERS.map((tier) => {
    const keys = [...events].flatMap(([key, ofKey]) => (key.startsWith(tier) ? [ofKey] : []));
    return {
      ...cell,
      tier,
      calls: sum(keys.map(({ length }) => length)),
      admitted: sum(keys.map((ofKey) => ofKey.filter(({ allowed }) => allowed).length)),
      ideal: sum(keys.map((ofKey) => idealOf(ofKey, tier))),
      over: Math.max(...keys.map((ofKey) => overOf(ofKey, tier))),
      bound: cell.mode === "leased" && tier === "bucket" ? BUCKET_BOUND : 0,
      misses,
    };
  });
}

/** The calls of a cell by process, at instants spread evenly by chance. */
function drawn({ replicas, load, distribution }: Cell, seed: number, processes: number): Call[][] {
  const next = random(seed);
  const draw = distribution === "uniform" ? uniform(KEYS, next) : zipf(zipfWeights(KEYS), next);
  const parts: Call[][] = Array.from({ length: processes }, () => []);
  for (const tier of TIERS) {
    for (let call = 0; call < load * LIMIT * KEYS; call++) {
      const replica = Math.floor(next() * replicas);
      parts[replica % processes]?.push({
        dueMs: next() * WINDOW_S * 1000,
        replica: Math.floor(replica / processes),
        key: `${tier} ${seed} ${draw()}`,
        tier,
      });
    }
  }
  for (const part of parts) part.sort((a, b) => a.dueMs - b.dueMs);
  return parts;
}

function resultOf(findings: readonly Finding[], version: string): Result {
  const broken = findings.filter(({ over, bound }) => over > bound).length;
  const short = findings.filter(({ admitted, ideal }) => admitted < LEAST * ideal).length;
  const cells = findings.length;
  const verdict = `${cells - broken} of ${cells} within the bound, ${cells - short} of ${cells} at ${100 * LEAST} % or more`;
  return {
    title: `replicas on one Redis ${version} against one limiter: ${verdict}`,
    rows: [
      { keys: KEYS, limit: LIMIT, windowSeconds: WINDOW_S, leaseMs: LEASE_MS, cells, broken, short },
      ...findings.map((finding) => ({ ...finding, ofIdeal: finding.admitted / finding.ideal })),
    ],
    tables: [
      {
        title: `${LIMIT} in ${WINDOW_S} s (bucket) or in all (quota), ${KEYS} keys of each, leaseMs ${LEASE_MS}; bound: bucket exact 0, leased ${BUCKET_BOUND}; quota 0`,
        rows: Object.fromEntries(
          findings.filter(({ tier }) => tier === "bucket").map((f) => [nameOf(f), cellsOf(findings, f)]),
        ),
      },
    ],
    panels: TIERS.flatMap((tier) => [
      {
        title: `${tier}: admitted`,
        unit: "% of what one limiter admits",
        bars: findings
          .filter((finding) => finding.tier === tier)
          .map(({ mode, replicas, load, distribution, admitted, ideal }) => ({
            column: `${distribution}, load ${load}`,
            name: `${mode}, ${replicas}`,
            value: (100 * admitted) / ideal,
          })),
      },
      {
        title: `${tier}: too many in the worst window of the worst key`,
        unit: `calls; the bound is ${tier === "bucket" ? `${BUCKET_BOUND} in leased, 0 in exact` : "0"}`,
        bars: findings
          .filter((finding) => finding.tier === tier)
          .map(({ mode, replicas, load, distribution, over }) => ({
            column: `${distribution}, load ${load}`,
            name: `${mode}, ${replicas}`,
            value: over,
          })),
      },
    ]),
  };
}

function nameOf({ mode, replicas, load, distribution }: Cell): string {
  return `${mode}, ${replicas} × ${load.toFixed(1)} ${distribution}`;
}

function cellsOf(findings: readonly Finding[], cell: Cell): Record<string, string | number> {
  const here = findings.filter((finding) => nameOf(finding) === nameOf(cell));
  return Object.fromEntries([
    ...here.flatMap(({ tier, calls, admitted, ideal, over }) => [
      [`${tier}: calls`, calls],
      [`${tier}: admitted`, admitted],
      [`${tier}: ideal`, ideal],
      [`${tier}: %`, ((100 * admitted) / ideal).toFixed(1)],
      [`${tier}: over`, over],
    ]),
    ["misses", here[0]?.misses ?? 0],
  ]);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
