import { load } from "./build.js";

/** A limiter over leases, called as the public one is. */
export interface LeasedLimiter {
  consume(key: string, tier: string, cost?: number): { allowed: boolean } | Promise<{ allowed: boolean }>;
  consumeMany(keys: readonly string[], tier: string): { allowed: boolean }[] | Promise<{ allowed: boolean }[]>;
}

/** What of the protocol's commands and their tiers is needed here. */
interface Command {
  readonly op: string;
  readonly tier: { readonly limits: readonly unknown[] };
  readonly need?: number;
  readonly want?: number;
}

/** The limiter under the store that it is given; not public. */
interface SharedModule {
  SharedLimiter: new (settings: object) => LeasedLimiter & { ready(): Promise<void> };
}

/** An hour: nothing expires, lies idle or is swept while it is measured. */
const LEASE_MS = 3_600_000;
/** Tokens that a key is seen to use at once, so that it is granted what it will use in an hour. */
const FIRST_COST = 50;
/** Keys asked for at once. */
const BATCH = 1024;

/**
 * The shared limiter over a store in this process that grants all that is wanted, so that what is measured is a decision
 * from a lease that is held, and nothing of Redis.
 */
export async function leasedLimiter(options: { name: string; tiers: object; maxKeys: number }): Promise<LeasedLimiter> {
  const { SharedLimiter } = await load<SharedModule>("dist/cjs/shared/shared-limiter.js");
  const { PROCESS } = await load<{ PROCESS: object }>("dist/cjs/shared/runtime.js");
  const limiter = new SharedLimiter({
    ...options,
    mode: "leased",
    leaseMs: LEASE_MS,
    timeoutMs: 10_000,
    policies: { bucket: "share", quota: "share" },
    clock: undefined,
    link: generousLink(),
    runtime: PROCESS,
  });
  await limiter.ready();
  return limiter;
}

/** Has every key hold a lease that lasts for as long as is measured. */
export async function hold(limiter: LeasedLimiter, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += BATCH) {
    const batch = keys.slice(from, from + BATCH);
    // The first call tells the rate; what it brings about is used by it, and the second is granted more.
    await Promise.all(batch.map((key) => limiter.consume(key, "t", FIRST_COST)));
    await Promise.all(batch.map((key) => limiter.consume(key, "t")));
  }
}

function generousLink() {
  return {
    open: (events: { connected(server: string): void }) => void setImmediate(() => events.connected("generous")),
    send: async ({ tier, need = 0, want = 0 }: Command) => ({
      denied: 0,
      granted: Math.max(need, want),
      nowMs: Date.now(),
      lagMs: 0,
      epoch: "generous:0",
      backMs: 0,
      spent: tier.limits.map(() => 0),
    }),
    heartbeat: async () => ({ replicas: ["bench"], recoveringMs: 0 }),
    close: async () => undefined,
  };
}
