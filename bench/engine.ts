/**
 * What one decision costs, of tollkeeper's engines over two limits, alone and from a lease that is held over a store, and of
 * the peers' memory stores over one, which is all that they know, and over two, asked one after the other.
 *
 * Every contestant is a process of its own with all keys in its table, so that none lives in another's heap or sees
 * another's types; they take their samples in turn, so that a change of the machine's speed meets all. Keys are *kept*
 * strings, the very ones that the table was filled with, whose hash V8 has cached, or *fresh* ones, as a server makes
 * of every request. They are drawn before the clock starts, the same for all, and every call is allowed.
 */

import { BESIDE } from "./beside.js";
import { Child } from "./child.js";
import type { Profile, Sample } from "./children/contestant.js";
import { CONTESTANT_NAMES, type ContestantName, type Limits, PEER_NAMES } from "./contestants.js";
import type { Options } from "./options.js";
import type { Result, Table } from "./report.js";
import { pairedRatios, type Spread, shown, spread } from "./statistics.js";

const CASES = (["uniform", "zipf"] as const).flatMap((distribution) =>
  (["kept", "fresh"] as const).map((strings) => ({ distribution, strings })),
);

interface Effort {
  rounds: number;
  /** Decisions of one sample. */
  calls: number;
}

const FULL: Effort = { rounds: 21, calls: 1 << 14 };
const QUICK: Effort = { rounds: 3, calls: 1 << 11 };

/** With more, two stores of each peer do not fit into memory beside all others. */
const MOST_KEYS_TWICE = 1_000_000;

/** How the peers' own places are told from tollkeeper's. */
const PEERS: readonly string[] = PEER_NAMES;

/** One way to call one contestant, and its samples. */
interface Lane extends Omit<Sample, "seed" | "calls"> {
  contestant: ContestantName | typeof BESIDE;
  child: Child<Sample | "profile", Profile | number>;
  keys: number;
  limits: Limits;
  /** Ns a decision, one of each round. */
  samples: number[];
}

export async function engine({ quick, large, beside }: Options): Promise<Result> {
  const sizes = quick ? [100, 10_000] : [100, 10_000, 1_000_000, ...(large ? [10_000_000] : [])];
  const lanes: Lane[] = [];
  for (const keys of sizes) lanes.push(...(await race(keys, quick ? QUICK : FULL, beside)));
  return {
    title: "ns a decision; tollkeeper asks two limits, the peers one, or two by two calls",
    rows: [
      ...lanes.map(({ child: _, samples, ...lane }) => ({ ...lane, ns: spread(samples) })),
      ...sizes.flatMap((keys) => ratiosOf(lanes.filter((lane) => lane.keys === keys))),
    ],
    tables: sizes.flatMap((keys) => tablesOf(lanes.filter((lane) => lane.keys === keys))),
    panels: sizes.map((keys) => ({
      title: `${keys.toLocaleString("en")} keys`,
      unit: "ns a decision",
      bars: lanes
        .filter((lane) => lane.keys === keys)
        .map((lane) => {
          const { p25, median, p75 } = spread(lane.samples);
          return { column: caseOf(lane), name: nameOf(lane), value: median, low: p25, high: p75 };
        }),
    })),
  };
}

/** All contestants that can hold so many keys, each in all its ways. */
async function race(keys: number, { rounds, calls }: Effort, beside: string | undefined): Promise<Lane[]> {
  const start = (name: ContestantName, limits: Limits, build?: string): Lane["child"] =>
    new Child("contestant", { args: [name, String(keys), String(limits)], build });
  const children: Pick<Lane, "contestant" | "child">[] = [
    ...CONTESTANT_NAMES.map((contestant) => ({ contestant, child: start(contestant, 1) })),
    ...(beside === undefined ? [] : [{ contestant: BESIDE, child: start("leased", 1, beside) } as const]),
    ...(keys <= MOST_KEYS_TWICE ? PEER_NAMES : []).map((contestant) => ({ contestant, child: start(contestant, 2) })),
  ];
  try {
    const lanes = (await Promise.all(children.map(({ contestant, child }) => lanesOf(contestant, child, keys)))).flat();
    // The round before the first is thrown away: code is still being compiled.
    for (let round = -1; round < rounds; round++) {
      for (const kind of CASES) {
        for (const { child, way, samples } of lanes.filter((lane) => caseOf(lane) === caseOf(kind))) {
          const ns = (await child.ask({ way, ...kind, seed: round, calls })) as number;
          if (round >= 0) samples.push(ns);
        }
      }
    }
    return lanes;
  } finally {
    await Promise.all(children.map(({ child }) => child.stop()));
  }
}

/** None for a contestant that died of so many keys. */
async function lanesOf(contestant: Lane["contestant"], child: Lane["child"], keys: number): Promise<Lane[]> {
  try {
    const { limits, ways } = (await child.ask("profile")) as Profile;
    return ways.flatMap((way) => CASES.map((kind) => ({ contestant, way, ...kind, child, keys, limits, samples: [] })));
  } catch (error) {
    const { message } = error as Error;
    if (!message.startsWith("died: ")) throw error;
    console.log(`${contestant} with ${keys.toLocaleString("en")} keys ${message}`);
    return [];
  }
}

function caseOf({ distribution, strings }: Pick<Lane, "distribution" | "strings">): string {
  return `${distribution}, ${strings} strings`;
}

function nameOf({ contestant, way }: Lane): string {
  return `${contestant}: ${way}`;
}

function tablesOf(lanes: readonly Lane[]): Table[] {
  const title = `${lanes[0]?.keys.toLocaleString("en")} keys`;
  const rows: Record<string, Record<string, string | number>> = {};
  for (const lane of lanes) {
    const row = rows[nameOf(lane)] ?? { limits: lane.limits };
    row[caseOf(lane)] = shown(spread(lane.samples));
    rows[nameOf(lane)] = row;
  }
  const ratios: Record<string, Record<string, string>> = {};
  for (const { ratio, times, peer, ...kind } of ratiosOf(lanes)) {
    ratios[ratio] = { ...ratios[ratio], [caseOf(kind)]: `${shown(times)} ${peer}` };
  }
  return [
    { title: `${title}: ns a decision, median (quarters)`, rows },
    { title: `${title}: times faster, paired by round`, rows: ratios },
  ];
}

/** How much faster native is, round by round; below 1 it is slower. Left out where there is nothing to compare with. */
function ratiosOf(
  lanes: readonly Lane[],
): (Pick<Lane, "keys" | "distribution" | "strings"> & { ratio: string; times: Spread; peer?: string })[] {
  return CASES.flatMap((kind) => {
    const here = lanes.filter((lane) => caseOf(lane) === caseOf(kind));
    const ours = (contestant: string, way: string) =>
      here.find((lane) => nameOf(lane).startsWith(`${contestant}: ${way}`));
    const single = ours("native", "consume");
    if (single === undefined) throw new Error("the native engine is missing");
    const peers = here.filter(({ contestant }) => PEERS.includes(contestant));
    const fastest = (limits: Limits) =>
      peers
        .filter((peer) => peer.limits === limits)
        .toSorted((a, b) => spread(a.samples).median - spread(b.samples).median)[0];
    const compared = (ratio: string, slow: Lane | undefined, fast: Lane | undefined) =>
      slow && fast
        ? [
            {
              ratio,
              keys: single.keys,
              ...kind,
              times: pairedRatios(slow.samples, fast.samples),
              peer: slow.contestant,
            },
          ]
        : [];
    return [
      ...compared("native than js", ours("js", "consume"), single),
      ...compared("native than the fastest peer", fastest(1), single),
      ...compared("native than the fastest peer for two limits", fastest(2), single),
      ...compared("native than a held lease", ours("leased", "consume"), single),
      ...compared("native than a held lease, beside", ours(BESIDE, "consume"), single),
      ...compared("a held lease than beside", ours(BESIDE, "consume"), ours("leased", "consume")),
      ...compared("native than a cost for each limit", ours("native, each limit", "consume"), single),
      ...compared("native in batches than one by one", single, ours("native", "consumeMany")),
    ];
  });
}
