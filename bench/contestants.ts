import { createRequire } from "node:module";
import { MemoryStore, type Options } from "express-rate-limit";
import { RateLimiter } from "limiter";
import { RateLimiterMemory } from "rate-limiter-flexible";
import type { Tiers } from "tollkeeper";
import { createLimiter, load } from "./build.js";
import { hold, leasedLimiter } from "./held-leases.js";

/** How many limits one decision asks. */
export type Limits = 1 | 2;

/** Decides a number of calls that was made ready before the clock started; throws if one is denied. */
export type Work = () => void | Promise<void>;

/** What stores the keys and decides. */
export interface Contestant {
  readonly limits: Limits;
  /** The ways to call it, by name; the first one is that which an application uses. */
  readonly ways: Readonly<Record<string, (keys: readonly string[]) => Work>>;
  /** Has it take keys in, where a call of the first way is not enough. */
  readonly fill?: (keys: readonly string[]) => Promise<void>;
  /** Does all that taking keys in does, but take them in. */
  readonly warm?: (keys: readonly string[]) => Promise<void>;
  /** Resolves when what taking keys in has brought about is over. */
  readonly settle?: () => Promise<void>;
}

/** What the peers can do: each knows one limit, so for two there are two of it. */
export const PEERS = {
  "rate-limiter-flexible": rateLimiterFlexible,
  "@fastify/rate-limit": fastifyRateLimit,
  "express-rate-limit": expressRateLimit,
  limiter: limiterOfNpm,
} satisfies Record<string, (limits: Limits, keys: number) => Contestant>;

export type PeerName = keyof typeof PEERS;
export type ContestantName = "native" | "native, each limit" | "js" | "leased" | PeerName;

export const PEER_NAMES = Object.keys(PEERS) as PeerName[];
export const CONTESTANT_NAMES: readonly ContestantName[] = [
  "native",
  "native, each limit",
  "js",
  "leased",
  ...PEER_NAMES,
];

/**
 * One with room for so many keys. Tollkeeper has both limits of `tiers`; a peer has `limits` that nobody reaches. "leased" decides
 * from leases that all keys hold; with "each limit" a call has a cost for each.
 */
export async function contestant(
  name: ContestantName,
  keys: number,
  tiers: Tiers,
  limits: Limits = 1,
): Promise<Contestant> {
  if (name === "leased") return leased(keys, tiers);
  if (name === "native, each limit") return eachLimit(keys, tiers);
  return name === "native" || name === "js" ? tollkeeper(name, keys, tiers) : PEERS[name](limits, keys);
}

/** Two limits that nobody reaches. */
export const AMPLE: Tiers = tiersOf(1e9, 1e12);

/** The limits of the tier free, the default of `fingerprint-api`. */
export const FREE: Tiers = tiersOf(100, 50_000);

/** A minute that nobody reaches, and a month that ends after so many tokens. */
export function ending(limit: number): Tiers {
  return {
    t: {
      limits: [
        { name: "minute", type: "bucket", limit: 2 * limit, windowSeconds: 60, burst: 1 },
        { name: "month", type: "quota", limit, period: "month" },
      ],
    },
  };
}

/** The window of the peers: an hour, so that no key of theirs expires, and none of their timers fires, while measured. */
const WINDOW_S = 3600;
const POINTS = 1e9;

/** Keys of one `consumeMany`. */
const BATCH = 64;

function tiersOf(minute: number, month: number): Tiers {
  return {
    t: {
      limits: [
        { name: "minute", type: "bucket", limit: minute, windowSeconds: 60, burst: 1.5 },
        { name: "month", type: "quota", limit: month, period: "month" },
      ],
    },
  };
}

/** What the limiter is built on; not public, measured to tell what a `Decision` adds. */
interface Engine {
  /** Numbers of a call: tier, cost in thousandths, unused, now or -1, outcome. */
  readonly frame: Float64Array;
  tierId(name: string): number;
  consume(key: string): void;
}

async function tollkeeper(kind: "native" | "js", keys: number, tiers: Tiers): Promise<Contestant> {
  const options = { name: "bench", tiers, maxKeys: keys };
  const limiter = createLimiter({ ...options, engine: kind });
  const engine = await openEngine(kind, options);
  const tier = engine.tierId("t");
  return {
    limits: 2,
    ways: {
      consume: (keys) => () => {
        for (const key of keys) if (!limiter.consume(key, "t").allowed) throw denied();
      },
      [`consumeMany of ${BATCH}`]: (keys) => {
        const batches = batchesOf(keys);
        return () => {
          for (const batch of batches) {
            for (const decision of limiter.consumeMany(batch, "t")) if (!decision.allowed) throw denied();
          }
        };
      },
      "engine alone": (keys) => () => {
        const { frame } = engine;
        for (const key of keys) {
          frame[0] = tier;
          frame[1] = 1000;
          frame[3] = -1;
          engine.consume(key);
          if (frame[4] !== 0) throw denied();
        }
      },
      // Refused for its tier once the key was read: the floor under every call into Rust.
      ...(kind === "native" && {
        "crossing alone": (keys: readonly string[]) => () => {
          engine.frame[0] = -1;
          for (const key of keys) engine.consume(key);
        },
      }),
    },
  };
}

async function eachLimit(keys: number, tiers: Tiers): Promise<Contestant> {
  const limiter = createLimiter({ name: "bench", tiers, maxKeys: keys, engine: "native" });
  return {
    limits: 2,
    ways: {
      consume: (keys) => () => {
        for (const key of keys) if (!limiter.consume(key, "t", { minute: 1, month: 1 }).allowed) throw denied();
      },
      [`consumeMany of ${BATCH}`]: (keys) => {
        const batches = batchesOf(keys);
        return () => {
          for (const batch of batches) {
            for (const decision of limiter.consumeMany(batch, "t", { minute: 1, month: 1 }))
              if (!decision.allowed) throw denied();
          }
        };
      },
    },
  };
}

/** One of the two modules; not public. */
interface EngineModule {
  openNative(options: object): { engine: Engine };
  JsEngine: { open(options: object): Engine };
}

/** The engine below the limiter of that name: engines of one name are one. */
async function openEngine(kind: "native" | "js", options: object): Promise<Engine> {
  const module = await load<EngineModule>(`dist/cjs/engine/${kind}.js`);
  return kind === "native" ? module.openNative(options).engine : module.JsEngine.open(options);
}

async function leased(keys: number, tiers: Tiers): Promise<Contestant> {
  const { limiter, engine } = await leasedLimiter({ name: "bench", tiers, maxKeys: keys });
  const tier = engine.tierId("t");
  return {
    limits: 2,
    fill: (keys) => hold(limiter, keys),
    ways: {
      consume: (keys) => () => {
        for (const key of keys) {
          const decision = limiter.consume(key, "t");
          if (decision instanceof Promise) throw notHeld();
          if (!decision.allowed) throw denied();
        }
      },
      [`consumeMany of ${BATCH}`]: (keys) => {
        const batches = batchesOf(keys);
        return () => {
          for (const batch of batches) {
            const decisions = limiter.consumeMany(batch, "t");
            if (decisions instanceof Promise) throw notHeld();
            for (const decision of decisions) if (!decision.allowed) throw denied();
          }
        };
      },
      "engine alone": (keys) => () => {
        const { frame } = engine;
        for (const key of keys) {
          frame[0] = tier;
          frame[1] = 1000;
          frame[3] = -1;
          frame[22] = -1;
          engine.consume(key);
          // Allowed, or allowed and told that more is to be asked for.
          if (frame[4] !== 0 && frame[4] !== 64) throw notHeld();
        }
      },
    },
  };
}

function rateLimiterFlexible(limits: Limits): Contestant {
  const [minute, month] = two(() => new RateLimiterMemory({ keyPrefix: "", points: POINTS, duration: WINDOW_S }));
  return peer(
    limits,
    "consume",
    (keys) => async () => {
      for (const key of keys) await minute.consume(key);
    },
    (keys) => async () => {
      for (const key of keys) {
        await minute.consume(key);
        await month.consume(key);
      }
    },
  );
}

interface LocalStore {
  incr(key: string, done: (error: unknown, state: { current: number }) => void, windowMs: number, max: number): void;
}

/** Its default of 5,000 keys is raised, or it would forget the rest. */
function fastifyRateLimit(limits: Limits, keys: number): Contestant {
  const Store = createRequire(import.meta.url)("@fastify/rate-limit/store/LocalStore.js") as new (
    continueExceeding: boolean,
    exponentialBackoff: boolean,
    cache: number,
  ) => LocalStore;
  const [minute, month] = two(() => new Store(false, false, keys));
  const check = (_error: unknown, { current }: { current: number }): void => {
    if (current > POINTS) throw denied();
  };
  return peer(
    limits,
    "LocalStore.incr",
    (keys) => () => {
      for (const key of keys) minute.incr(key, check, 1000 * WINDOW_S, POINTS);
    },
    (keys) => () => {
      for (const key of keys) {
        minute.incr(key, check, 1000 * WINDOW_S, POINTS);
        month.incr(key, check, 1000 * WINDOW_S, POINTS);
      }
    },
  );
}

function expressRateLimit(limits: Limits): Contestant {
  const [minute, month] = two(() => new MemoryStore());
  for (const store of [minute, month]) store.init({ windowMs: 1000 * WINDOW_S } as Options);
  return peer(
    limits,
    "MemoryStore.increment",
    (keys) => async () => {
      for (const key of keys) if ((await minute.increment(key)).totalHits > POINTS) throw denied();
    },
    (keys) => async () => {
      for (const key of keys) {
        if ((await minute.increment(key)).totalHits > POINTS) throw denied();
        if ((await month.increment(key)).totalHits > POINTS) throw denied();
      }
    },
  );
}

/** It limits one caller and knows no keys, so a `Map` holds one for each, of each limit. */
function limiterOfNpm(limits: Limits): Contestant {
  const [minutes, months] = two(() => new Map<string, RateLimiter>());
  const spend = (limiters: Map<string, RateLimiter>, key: string): void => {
    let limiter = limiters.get(key);
    if (limiter === undefined) {
      limiter = new RateLimiter({ tokensPerInterval: POINTS, interval: 1000 * WINDOW_S });
      limiters.set(key, limiter);
    }
    if (!limiter.tryRemoveTokens(1)) throw denied();
  };
  return peer(
    limits,
    "Map, tryRemoveTokens",
    (keys) => () => {
      for (const key of keys) spend(minutes, key);
    },
    (keys) => () => {
      for (const key of keys) {
        spend(minutes, key);
        spend(months, key);
      }
    },
  );
}

type Prepare = (keys: readonly string[]) => Work;

/** What asks one limit, or two of them one after the other. */
function peer(limits: Limits, way: string, one: Prepare, both: Prepare): Contestant {
  return { limits, ways: limits === 1 ? { [way]: one } : { [`${way}, twice`]: both } };
}

function two<T>(make: () => T): [T, T] {
  return [make(), make()];
}

function batchesOf(keys: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(keys.length / BATCH) }, (_, index) =>
    keys.slice(index * BATCH, (index + 1) * BATCH),
  );
}

/** What a benchmark fails with in which everybody has plenty. */
export function denied(): Error {
  return new Error("a call was denied, and none should be");
}

function notHeld(): Error {
  return new Error("the store was asked, and every key should hold a lease");
}
