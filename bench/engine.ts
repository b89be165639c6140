/**
 * One decision over two limits, minute and month, on the native and on the JavaScript engine.
 *
 * Keys are uniform random, drawn before the clock starts, and of two kinds: *kept* strings that the caller holds on to,
 * whose hash V8 has cached, and *fresh* strings as a server makes of every request. Every key is in the table before the
 * clock starts, and every call is allowed. Samples of the two engines alternate, so that a change of the machine's
 * speed meets both.
 */

import { Bench } from "tinybench";
import { createLimiter, type Limiter } from "tollkeeper";
import { median, type Row, report, spread } from "./report.js";

const ENGINES = ["native", "js"] as const;
const CALLS = 1 << 14;

export async function engine({ quick }: { quick: boolean }): Promise<void> {
  const rows: Row[] = [];
  for (const keys of quick ? [100, 10_000] : [100, 10_000, 1_000_000]) {
    for (const strings of ["kept", "fresh"] as const) {
      rows.push(...(await compare(keys, strings, quick)));
    }
  }
  report("engine", "ns a decision over two limits", rows);
}

async function compare(keys: number, strings: "kept" | "fresh", quick: boolean): Promise<Row[]> {
  const limiters = ENGINES.map((engine) => filled(engine, keys));
  const names = Array.from({ length: keys }, (_, key) => nameOf(key));
  const samples = ENGINES.map((): number[] => []);
  const rounds = quick ? 3 : 15;
  for (let round = 0; round < rounds; round++) {
    for (const [index, limiter] of limiters.entries()) {
      const drawn = Array.from({ length: CALLS }, () => Math.floor(Math.random() * keys));
      const calls = drawn.map((key) => (strings === "kept" ? (names[key] ?? "") : flat(nameOf(key))));
      const bench = new Bench({ warmup: false, iterations: 1, time: 0, throws: true });
      bench.add("decide", () => decideAll(limiter, calls));
      const [task] = await bench.run();
      if (task?.result.state !== "completed") throw new Error("the benchmark did not run");
      samples[index]?.push((task.result.latency.mean * 1e6) / CALLS);
    }
  }
  await Promise.all(limiters.map((limiter) => limiter.close()));
  return ENGINES.map((engine, index) => {
    const sorted = samples[index] ?? [];
    return { keys, strings, engine, median: median(sorted), ...spread(sorted) };
  });
}

function filled(engine: "native" | "js", keys: number): Limiter {
  const limiter = createLimiter({
    engine,
    maxKeys: 2 * keys,
    tiers: {
      t: {
        limits: [
          { name: "minute", type: "bucket", limit: 1e6, windowSeconds: 60, burst: 1.5 },
          { name: "month", type: "quota", limit: 1e9, period: "month" },
        ],
      },
    },
  });
  for (let key = 0; key < keys; key++) limiter.consume(nameOf(key), "t");
  return limiter;
}

function decideAll(limiter: Limiter, keys: readonly string[]): void {
  for (const key of keys) if (!limiter.consume(key, "t").allowed) throw new Error("a call was denied");
}

/** 23 characters, as an account's key may have. */
function nameOf(key: number): string {
  return `acct:${String(key).padStart(18, "0")}`;
}

/** A string of one piece, as one that was read from a socket; a concatenation is flattened only when it is used. */
function flat(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
