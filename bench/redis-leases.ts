import { setTimeout as sleep } from "node:timers/promises";
import type { SharedLimiter, Tiers } from "tollkeeper";
import { createLimiter } from "./build.js";
import { type Contestant, denied } from "./contestants.js";

/** Long enough that a busy machine is no outage. */
const TIMEOUT_MS = 2000;
/** Keys asked for at once. */
const BATCH = 512;
const LOOK_AGAIN_MS = 50;

/** Leases taken of a real Redis: of a key that holds none, a call waits for its answer. */
export async function redisLeases(url: string, keys: number, tiers: Tiers): Promise<Contestant> {
  const limiter = createLimiter({
    tiers,
    maxKeys: keys,
    storage: { type: "redis", url, timeoutMs: TIMEOUT_MS, prefix: `bench-${process.pid}` },
  });
  await limiter.ready();
  return {
    limits: 2,
    ways: {
      consume: (keys) => async () => {
        for (const key of keys) {
          const decision = limiter.consume(key, "t");
          if (!(decision instanceof Promise ? await decision : decision).allowed) throw denied();
        }
      },
    },
    warm: (keys) => each(keys, (key) => limiter.peek(key, "t")),
    fill: (keys) => takeIn(limiter, keys),
    settle: async () => {
      while (limiter.stats().store.leaseOutstanding > 0) await sleep(LOOK_AGAIN_MS);
    },
  };
}

/** Has every key taken and used tokens, and hold more for as long as a lease lasts. */
async function takeIn(limiter: SharedLimiter, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += BATCH) {
    const batch = keys.slice(from, from + BATCH);
    // The first call tells the rate, by which the second takes some ahead.
    for (let call = 0; call < 2; call++) {
      const decisions = await Promise.all(batch.map((key) => limiter.consume(key, "t")));
      if (!decisions.every(({ allowed }) => allowed)) throw denied();
    }
  }
}

async function each(keys: readonly string[], ask: (key: string) => unknown): Promise<void> {
  for (let from = 0; from < keys.length; from += BATCH) await Promise.all(keys.slice(from, from + BATCH).map(ask));
}
