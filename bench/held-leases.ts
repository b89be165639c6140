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

/** The limiter over the leases and the store that it is given, and the leases; not public, and joined for this only. */
interface LeasesModule {
  SharedLimiter: new (settings: object) => LeasedLimiter & { ready(): Promise<void> };
  openNativeLeases(options: object): { engine?: LeaseEngine; reason?: string };
  PROCESS: object;
}

/** What a `SharedLimiter` is built on. */
export interface LeaseEngine {
  /** Numbers of a call, as `LEASE_FRAME` of `src/engine/lease-frame.ts` has them. */
  readonly frame: Float64Array;
  tierId(name: string): number;
  consume(key: string): void;
}

/** An hour: nothing expires, lies idle or is swept while it is measured. */
const LEASE_MS = 3_600_000;
const TIMEOUT_MS = 10_000;
/** Tokens that a key is seen to use at once, and how often, so that it is granted what it would use in an hour. */
const FIRST_COST = 1000;
const FIRST_CALLS = 3;
/** Thousandths of one grant, at most. */
const MOST_MILLI = 4e9;
/** Keys asked for at once. */
const BATCH = 1024;

/**
 * The shared limiter over a store in this process that grants all that is wanted, so that what is measured is a decision
 * from a lease that is held, and nothing of Redis; and the engine beneath it. Those of one name share their leases.
 */
export async function leasedLimiter(options: {
  name: string;
  tiers: object;
  maxKeys: number;
}): Promise<{ limiter: LeasedLimiter; engine: LeaseEngine }> {
  const { SharedLimiter, openNativeLeases, PROCESS } = await load<LeasesModule>("dist/bench/leases.js");
  const times = { leaseMs: LEASE_MS, timeoutMs: TIMEOUT_MS };
  const { engine, reason } = openNativeLeases({ ...options, ...times, agreement: "", replica: "bench" });
  if (engine === undefined) throw new Error(reason);
  const limiter = new SharedLimiter({
    ...times,
    engine,
    maxKeys: options.maxKeys,
    mode: "leased",
    policies: { bucket: "share", quota: "share" },
    clock: undefined,
    link: generousLink(),
    runtime: PROCESS,
  });
  await limiter.ready();
  return { limiter, engine };
}

/** Has every key hold a lease that lasts for as long as is measured. */
export async function hold(limiter: LeasedLimiter, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += BATCH) {
    const batch = keys.slice(from, from + BATCH);
    for (let call = 0; call < FIRST_CALLS; call++) {
      await Promise.all(batch.map((key) => limiter.consume(key, "t", FIRST_COST)));
    }
  }
}

function generousLink() {
  return {
    open: (events: { connected(server: string): void }) => void setImmediate(() => events.connected("generous")),
    send: async ({ tier, need = 0, want = 0 }: Command) => ({
      denied: 0,
      granted: Math.max(need, Math.min(want, MOST_MILLI)),
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
