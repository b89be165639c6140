import { cpus } from "node:os";
import { createLimiter, nativeEngine, type Tiers } from "tollkeeper";
import { columns, type Output } from "./output.js";

/** Limits that nobody reaches. */
const AMPLE: Tiers = {
  t: {
    limits: [
      { name: "minute", type: "bucket", limit: 1e9, windowSeconds: 60, burst: 1.5 },
      { name: "month", type: "quota", limit: 1e12, period: "month" },
    ],
  },
};

const CALLS = 20_000;

/** What one engine took with one number of keys. */
interface Figure {
  engine: "native" | "js";
  keys: number;
  /** Median of the rounds. */
  nsPerDecision: number;
  decisionsPerSecond: number;
}

/** How thorough the measurement is. */
export interface BenchOptions {
  keys: number[];
  rounds: number;
}

/** Measures what a decision over two limits costs here, of each engine that there is. */
export async function bench({ keys, rounds }: BenchOptions, json: boolean, output: Output): Promise<void> {
  const { reason } = nativeEngine();
  if (reason !== undefined) output.note(`only the JavaScript engine is measured: ${reason}`);
  const figures: Figure[] = [];
  for (const engine of reason === undefined ? (["native", "js"] as const) : (["js"] as const)) {
    for (const count of keys) {
      output.note(`measuring engine ${engine}, ${count.toLocaleString("en")} keys …`);
      figures.push(await measure(engine, count, rounds));
    }
  }
  const machine = { node: process.version, cpu: cpus()[0]?.model.trim() ?? "unknown" };
  if (json) return output.print(JSON.stringify({ ...machine, figures }, undefined, 2));
  const rows = figures.map((figure) => [
    figure.engine,
    figure.keys.toLocaleString("en"),
    String(figure.nsPerDecision),
    figure.decisionsPerSecond.toLocaleString("en"),
  ]);
  output.print(`${machine.cpu}, Node ${machine.node}; a decision asks two limits, one thread`);
  for (const line of columns([["ENGINE", "KEYS", "NS A DECISION", "DECISIONS A SECOND"], ...rows])) output.print(line);
}

async function measure(engine: "native" | "js", count: number, rounds: number): Promise<Figure> {
  const limiter = createLimiter({ tiers: AMPLE, engine, maxKeys: Math.max(count, 1) });
  const keys = Array.from({ length: count }, (_, index) => `acct:${index}`);
  for (const key of keys) limiter.consume(key, "t");
  const samples: number[] = [];
  // The round before the first is thrown away: code is still being compiled.
  for (let round = -1; round < rounds; round++) {
    const drawn = Array.from({ length: CALLS }, () => keys[Math.floor(Math.random() * count)] ?? "acct:0");
    const start = performance.now();
    for (const key of drawn) limiter.consume(key, "t");
    if (round >= 0) samples.push(((performance.now() - start) * 1e6) / CALLS);
  }
  await limiter.close();
  const nsPerDecision = Math.round(samples.sort((a, b) => a - b)[samples.length >> 1] ?? 0);
  return { engine, keys: count, nsPerDecision, decisionsPerSecond: Math.round(1e9 / nsPerDecision) };
}
