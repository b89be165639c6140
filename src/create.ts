import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { isMainThread } from "node:worker_threads";
import type { Engine, EngineOptions } from "./engine/engine.js";
import { tellOfFallback } from "./engine/fallback.js";
import { JsEngine } from "./engine/js.js";
import { JsLeases } from "./engine/js-leases.js";
import type { LeaseEngine, LeaseEngineOptions } from "./engine/lease-engine.js";
import { maxKeysOf } from "./engine/max-keys.js";
import { openNative } from "./engine/native.js";
import { openNativeLeases } from "./engine/native-leases.js";
import { splitTiers } from "./engine/shadow-tiers.js";
import type { Tiers } from "./engine/spec.js";
import { checkTiers } from "./engine/tier.js";
import { optionInvalid, TollkeeperError } from "./errors.js";
import { guarded, oncePerMinute } from "./limiter/callback.js";
import { Limiter } from "./limiter/limiter.js";
import { checkedNow } from "./limiter/misuse.js";
import { PROCESS } from "./shared/runtime.js";
import { SharedLimiter } from "./shared/shared-limiter.js";
import { checkRedis, PREFIX, PREFIX_MAY_BE, placeOf, policiesOf, type RedisStorage } from "./shared/storage-options.js";
import { RedisLink } from "./store/redis-link.js";
import { redactedUrl } from "./store/redis-url.js";
import { UsageConnection } from "./store/usage-connection.js";

/** Where the state of keys is kept. */
export type StorageOptions =
  | {
      /** In this process, as long as it lives. */
      type: "memory";
    }
  | {
      /** In a file of this host, which one process at a time may open; needs the native engine. */
      type: "file";
      /** Where; it is made if it is not there. Its folder has to be. */
      path: string;
      /** How much usage, in ms, a crash may forget: 10 to 60,000, 1,000 by default. */
      flushMs?: number;
    };

/** How `createLimiter` makes a limiter. */
export interface LimiterOptions {
  /** What each plan allows. Over all tiers a limiter tells at most eight limits apart by name. */
  tiers: Tiers;
  /**
   * Limiters of one name share one table, in every thread of the process; with the JavaScript engine, which can't do that,
   * a worker thread may not open one. Left out, the table is this limiter's own.
   *
   * With Redis those of one name in a process are one replica to the others, with one table of what is leased; with the
   * JavaScript engine each is a replica of its own. It is also the `prefix` under which replicas share what they count, if
   * `storage` has none: those of another name count apart. It may then be 1 to 64 letters, digits, `_`, `-` and `.`, so that
   * no name of one limiter is one of another.
   */
  name?: string;
  /**
   * `"auto"`, the default, is native if its binary is there, and JavaScript otherwise, which a process warning tells once
   * with the reason; see {@link Limiter.engine} and {@link Limiter.fallbackReason}. With Redis it is what keeps the leases.
   */
  engine?: "auto" | "native" | "js";
  /** Memory by default. */
  storage?: StorageOptions;
  /** Keys held at once, 1 to 2^32 (native) or 16,000,000 (JavaScript); 1,000,000 by default. */
  maxKeys?: number;
  /** Milliseconds since the epoch, for tests and simulation; the system's clock by default. */
  clock?: () => number;
  /**
   * Told of each failed write to the storage file, which is tried again; of a file that was removed while open, and is
   * written anew (`ERR_STORAGE_REPLACED`), or that others could read (`ERR_STORAGE_EXPOSED`); and of what keeps Redis from deciding, each
   * matter once a minute; by default a process warning.
   */
  onStorageError?: (error: unknown) => void;
}

/** How `createLimiter` makes a limiter that shares what it counts with other replicas. */
export interface SharedLimiterOptions extends Omit<LimiterOptions, "storage"> {
  /** The Redis that they share. */
  storage: RedisStorage;
}

/**
 * Opens a limiter. With Redis it begins to connect, and decides by the outage policy until it has; see
 * {@link SharedLimiter.ready}.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_TIERS_INVALID`, `ERR_NAME_CONFLICT`, `ERR_NATIVE_MISSING`,
 * `ERR_NAME_NEEDS_NATIVE`, or an `ERR_STORAGE_…` for a file that can't be used, which is then left as it was.
 *
 * @example
 * ```ts
 * import { createLimiter } from "tollkeeper";
 *
 * const limiter = createLimiter({
 *   tiers: {
 *     free: {
 *       limits: [
 *         { name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 },
 *         { name: "month", type: "quota", limit: 50_000, period: "month" },
 *       ],
 *     },
 *     partner: { limits: [] },
 *   },
 * });
 *
 * console.log(limiter.consume("acct:42", "free").allowed); // true
 * await limiter.close();
 * ```
 */
export function createLimiter(options: LimiterOptions): Limiter;
export function createLimiter(options: SharedLimiterOptions): SharedLimiter;
export function createLimiter(options: LimiterOptions | SharedLimiterOptions): Limiter | SharedLimiter {
  const { name = "", storage = { type: "memory" }, maxKeys = 1_000_000, clock } = checkOptions(options);
  const tiers = checkTiers(options.tiers);
  const onStorageError = guarded("onStorageError", options.onStorageError ?? warn);
  if (storage.type === "redis") return openShared({ ...options, tiers, storage, onStorageError }, maxKeys);
  const file = storage.type === "file" ? resolve(storage.path) : undefined;
  const opened = openEngine(options.engine ?? "auto", {
    name,
    tiers: splitTiers(tiers),
    maxKeys,
    file,
    onStorageNote: onStorageError,
  });
  return new Limiter({
    ...opened,
    clock,
    flushMs: storage.type === "file" ? (storage.flushMs ?? 1000) : undefined,
    onStorageError,
  });
}

function openShared(options: SharedLimiterOptions, maxKeys: number): SharedLimiter {
  const { tiers, name = "", storage, clock, onStorageError = warn } = options;
  const {
    prefix = name === "" ? "tollkeeper" : name,
    mode = "leased",
    leaseMs = 1000,
    timeoutMs = 50,
    tls,
    credentials,
    allowEviction = false,
  } = storage;
  const place = placeOf(storage);
  const opened = openLeases(options.engine ?? "auto", {
    name,
    agreement: JSON.stringify({ redis: redactedUrl(place.url), prefix, mode, leaseMs, timeoutMs }),
    tiers: splitTiers(tiers),
    maxKeys,
    leaseMs,
    timeoutMs,
    replica: randomBytes(6).toString("base64url"),
  });
  const reached = { ...place, prefix, tls, timeoutMs, allowEviction, credentials };
  const link = new RedisLink({
    ...reached,
    replica: opened.engine.replica,
    onProblem: oncePerMinute(onStorageError),
  });
  const given = clock === undefined ? undefined : () => checkedNow(clock());
  return new SharedLimiter({
    ...opened,
    maxKeys,
    isMortal: name !== "" && !isMainThread,
    outlives: name !== "" && opened.engine.kind === "native",
    prefix,
    mode,
    leaseMs,
    timeoutMs,
    policies: policiesOf(storage.onOutage),
    clock: given,
    link,
    openUsage: (retention) => new UsageConnection(reached, retention),
    runtime: given === undefined ? PROCESS : { ...PROCESS, now: forward(given) },
  });
}

/** A clock that never runs backwards, and goes on from where one that jumped ahead came back to. */
function forward(clock: () => number): () => number {
  let last = clock();
  let nowMs = last;
  return () => {
    const reading = clock();
    nowMs += Math.max(0, reading - last);
    last = reading;
    return nowMs;
  };
}

function openEngine(kind: EngineKind, options: EngineOptions): Opened<Engine> {
  return opened<Engine, EngineOptions>(kind, openNative, options, (why) => openJs(options, why));
}

/** Opens what keeps leases; without a binary every limiter is a replica of its own. */
function openLeases(kind: EngineKind, options: LeaseEngineOptions): Opened<LeaseEngine> {
  return opened<LeaseEngine, LeaseEngineOptions>(kind, openNativeLeases, options, () => JsLeases.open(options));
}

type EngineKind = "auto" | "native" | "js";

interface Opened<T> {
  readonly engine: T;
  readonly fallbackReason: string | undefined;
}

/** Opens an engine, and says why if it is not the one that `"auto"` would rather have. */
function opened<T, O>(
  kind: EngineKind,
  openNative: (options: O) => { engine: T } | { engine?: undefined; reason: string },
  options: O,
  openJs: (why: string) => T,
): Opened<T> {
  if (kind === "js") return { engine: openJs('engine is "js"'), fallbackReason: undefined };
  const native = openNative(options);
  if (native.engine !== undefined) return { engine: native.engine, fallbackReason: undefined };
  const { reason } = native as { reason: string };
  if (kind === "native") throw new TollkeeperError("ERR_NATIVE_MISSING", `engine is "native", but ${reason}`);
  const js = openJs(reason);
  tellOfFallback(reason);
  return { engine: js, fallbackReason: reason };
}

/** Opens the JavaScript engine, unless more is asked of it than it can hold. */
function openJs(options: EngineOptions, why: string): Engine {
  const { name, file } = options;
  if (file !== undefined) {
    const message = `storage ${file} needs the native engine, and ${why}; build or install the native binary, or use memory storage`;
    throw new TollkeeperError("ERR_STORAGE_NEEDS_NATIVE", message);
  }
  if (name !== "" && !isMainThread) {
    const message = `a limiter named ${name} shares its table with other threads, which needs the native engine, and ${why}`;
    const remedy = "build or install the native binary, or leave the name out: each thread then admits the whole limit";
    throw new TollkeeperError("ERR_NAME_NEEDS_NATIVE", `${message}; ${remedy}`);
  }
  return JsEngine.open(options);
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}

const OPTIONS = ["tiers", "name", "engine", "storage", "maxKeys", "clock", "onStorageError"];

function checkOptions<T extends LimiterOptions | SharedLimiterOptions>(options: T): T {
  if (typeof options !== "object" || options === null) throw optionInvalid("options", options, "an object");
  for (const option of Object.keys(options)) {
    if (!OPTIONS.includes(option)) throw optionInvalid(option, "unknown", `one of ${OPTIONS.join(", ")}`);
  }
  const { name, engine, storage, maxKeys, clock, onStorageError } = options;
  const isName = typeof name === "string" && name.length > 0 && name.length <= 128 && !/\p{Surrogate}/u.test(name);
  if (name !== undefined && !isName) {
    throw optionInvalid("name", name, "a string of 1 to 128 characters");
  }
  if (engine !== undefined && !["auto", "native", "js"].includes(engine)) {
    throw optionInvalid("engine", engine, '"auto", "native" or "js"');
  }
  if (maxKeys !== undefined && !(Number.isInteger(maxKeys) && maxKeys >= 1 && maxKeys <= maxKeysOf("native"))) {
    throw optionInvalid("maxKeys", maxKeys, "a whole number, 1 to 4294967296");
  }
  if (clock !== undefined && typeof clock !== "function") throw optionInvalid("clock", clock, "a function");
  if (onStorageError !== undefined && typeof onStorageError !== "function") {
    throw optionInvalid("onStorageError", onStorageError, "a function");
  }
  if (storage !== undefined) checkStorage(storage);
  if (storage?.type === "redis" && storage.prefix === undefined && name !== undefined && !PREFIX.test(name)) {
    throw optionInvalid(
      "name",
      name,
      `${PREFIX_MAY_BE}, as the prefix of names in Redis; or give another as storage.prefix`,
    );
  }
  return options;
}

function checkStorage(storage: StorageOptions | RedisStorage): void {
  if (storage?.type !== "memory" && storage?.type !== "file" && storage?.type !== "redis") {
    throw optionInvalid("storage.type", (storage as { type?: unknown } | null)?.type, '"memory", "file" or "redis"');
  }
  if (storage.type === "memory") return;
  if (storage.type === "redis") {
    checkRedis(storage);
    return;
  }
  if (typeof storage.path !== "string" || storage.path.length === 0 || storage.path.includes("\0")) {
    throw optionInvalid("storage.path", storage.path, "the path of a file");
  }
  const { flushMs } = storage;
  if (flushMs !== undefined && !(Number.isInteger(flushMs) && flushMs >= 10 && flushMs <= 60_000)) {
    throw optionInvalid("storage.flushMs", flushMs, "whole milliseconds, 10 to 60000");
  }
}
