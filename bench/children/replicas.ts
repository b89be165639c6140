/** Some replicas with a connection each, for the benchmark `accuracy`: plays its part of a cell when told to. */

import { createLimiter, type SharedLimiter } from "tollkeeper";
import { cellTiers, LEASE_MS } from "../accuracy-cell.js";
import { serve } from "../child.js";

/** What a process of replicas is told. */
export type Order =
  | { what: "open"; url: string; mode: "exact" | "leased"; replicas: number; of: number }
  | { what: "ready" }
  | { what: "play"; startMs: number; calls: readonly Call[] }
  | { what: "close" };

/** A call that falls due. */
export interface Call {
  /** After the start. */
  readonly dueMs: number;
  /** Which replica of this process takes it. */
  readonly replica: number;
  readonly key: string;
  readonly tier: "bucket" | "quota";
}

/** What came of the calls, in their order. */
export interface Played {
  readonly calledMs: Float64Array;
  readonly answeredMs: Float64Array;
  readonly allowed: Uint8Array;
  /** Commands that Redis has not answered in time or has failed. */
  readonly misses: number;
}

let limiters: SharedLimiter[] = [];

serve(async (order: Order): Promise<Played | null> => {
  switch (order.what) {
    case "open":
      return open(order);
    case "ready":
      await Promise.all(limiters.map((limiter) => limiter.ready()));
      return null;
    case "play":
      return await play(order.startMs, order.calls);
    case "close":
      await Promise.all(limiters.map((limiter) => limiter.close()));
      return null;
  }
});

async function open({ url, mode, replicas, of }: Extract<Order, { what: "open" }>): Promise<null> {
  // Long enough that a busy machine is no outage, whose policy would then decide and not what is measured.
  const storage = { type: "redis", url, mode, prefix: mode, leaseMs: LEASE_MS, timeoutMs: 2000 } as const;
  limiters = Array.from({ length: replicas }, () => createLimiter({ tiers: cellTiers(), storage }));
  await Promise.all(limiters.map((limiter) => limiter.ready()));
  // They hear of each other once a second.
  while (limiters.some((limiter) => limiter.stats().store.replicas !== of)) await pause(20);
  return null;
}

async function play(startMs: number, calls: readonly Call[]): Promise<Played> {
  const before = misses();
  const calledMs = new Float64Array(calls.length);
  const answeredMs = new Float64Array(calls.length);
  const allowed = new Uint8Array(calls.length);
  const answers: Promise<void>[] = [];
  let next = 0;
  while (next < calls.length) {
    for (let call = calls[next]; call !== undefined && startMs + call.dueMs <= hostMs(); call = calls[next]) {
      const index = next++;
      calledMs[index] = hostMs();
      const decided = limiters[call.replica]?.consume(call.key, call.tier);
      const finish = (decision: { allowed: boolean } | undefined): void => {
        answeredMs[index] = hostMs();
        allowed[index] = decision?.allowed ? 1 : 0;
      };
      if (decided instanceof Promise) answers.push(decided.then(finish));
      else finish(decided);
    }
    await pause(1);
  }
  await Promise.all(answers);
  return { calledMs, answeredMs, allowed, misses: misses() - before };
}

function misses(): number {
  return limiters
    .flatMap((limiter) => [...limiter.stats().store.commands])
    .reduce((sum, [name, count]) => sum + (name.endsWith(" ok") ? 0 : count), 0);
}

/** A clock that all processes of the host share. */
function hostMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
