import { onTestFinished } from "vitest";
import { createLimiter, type RedisStorage, type SharedLimiter, type Tiers } from "../../src/index.js";

/** How long, in ms, a call waits for Redis in tests, and they for a limiter: a busy machine keeps it. */
const TIMEOUT_MS = 5000;
const READY_MS = 60_000;
let prefixes = 0;

/** A prefix that no other test of the process uses. */
export function newPrefix(): string {
  return `test-${process.pid}-${prefixes++}`;
}

/** Replicas that share one set of keys, ready: one for each of `tiers`, as in the midst of a rollout. */
export async function openReplicas(
  url: string,
  tiers: readonly Tiers[],
  storage: Partial<RedisStorage> = {},
  told: unknown[] = [],
  engine: "auto" | "native" | "js" = "auto",
): Promise<[SharedLimiter, ...SharedLimiter[]]> {
  const shared = { type: "redis", url, prefix: newPrefix(), timeoutMs: TIMEOUT_MS, ...storage } as const;
  const limiters = tiers.map((tiers) =>
    createLimiter({ tiers, engine, storage: shared, onStorageError: (error) => told.push(error) }),
  );
  for (const limiter of limiters) onTestFinished(() => limiter.close());
  await Promise.all(limiters.map((limiter) => limiter.ready(READY_MS)));
  return limiters as [SharedLimiter, ...SharedLimiter[]];
}

/** The same tiers for so many replicas. */
export function times<T>(count: number, same: T): T[] {
  return Array.from({ length: count }, () => same);
}
