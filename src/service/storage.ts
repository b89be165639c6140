import { readFileSync } from "node:fs";
import {
  createLimiter,
  type Limiter,
  type RecordStore,
  type RedisStorage,
  redactedUrl,
  type SharedLimiter,
  type StorageOptions,
  TollkeeperError,
} from "tollkeeper";
import type { LiveConfig } from "./config/live.js";
import { type Config, SETTINGS } from "./config/schema.js";
import { tiersOf } from "./config/tiers.js";
import { ServiceError } from "./errors.js";
import { type Directory, openDirectory } from "./management/directory.js";

/** A limiter, and where it keeps what it counts, for people. */
export interface Opened {
  limiter: Limiter | SharedLimiter;
  storage: string;
}

/**
 * Opens the limiter, which all replicas share if there is a Redis.
 *
 * @throws {ServiceError} `ERR_CONFIG_INVALID`
 * @throws {TollkeeperError} as `createLimiter` does
 */
export function openLimiter(live: LiveConfig, onStorageError: (error: unknown) => void): Opened {
  const { config } = live;
  const storage = redisOf(config);
  if (storage === undefined) return openLocal(live, onStorageError);
  const { url, prefix, mode } = storage;
  try {
    const limiter = createLimiter({ tiers: tiersOf(config), maxKeys: config.maxKeys, onStorageError, storage });
    return { limiter, storage: `${redactedUrl(url)}, ${mode}, shared by all replicas with the prefix ${prefix}` };
  } catch (error) {
    throw bySetting(error);
  }
}

/** A default that can't be had is replaced, and what was asked for is not. */
function openLocal(live: LiveConfig, onStorageError: (error: unknown) => void): Opened {
  const { config } = live;
  const { engine, maxKeys, file, flushMs } = config;
  const open = (storage: StorageOptions): Limiter =>
    createLimiter({ tiers: tiersOf(config), engine, maxKeys, storage, onStorageError });
  if (config.storage === "memory") return { limiter: open({ type: "memory" }), storage: "memory" };
  try {
    return { limiter: open({ type: "file", path: file, flushMs }), storage: `file ${file}` };
  } catch (error) {
    const asked = live.isSet("storage") || live.isSet("file");
    if (asked || !(error instanceof TollkeeperError) || error.code !== "ERR_STORAGE_NEEDS_NATIVE") throw error;
    return {
      limiter: open({ type: "memory" }),
      storage: "memory: USAGE AND KEYS ARE NOT KEPT when this process ends, since file storage needs the native engine",
    };
  }
}

/**
 * Opens the accounts and API keys: in Redis if the configuration has one.
 *
 * @param local The records of the limiter, which stays open, if there is no Redis.
 * @throws {ServiceError} `ERR_CONFIG_INVALID`
 */
export async function openKeys(config: Config, local?: RecordStore): Promise<Directory> {
  const storage = local ?? redisOf(config);
  if (storage === undefined) throw new ServiceError("ERR_CONFIG_INVALID", "the keys have no place to be kept in");
  try {
    return await openDirectory({ storage, pepper: config.keyPepper, takesDemo: config.demoKeys !== "never" });
  } catch (error) {
    throw bySetting(error);
  }
}

/** The Redis that a configuration names, as the limiter and the keys take it. */
function redisOf(config: Config): (RedisStorage & { url: string }) | undefined {
  const { redisUrl, redisPrefix, redisTimeoutMs, redisAllowEviction, redisPasswordFile, mode, leaseMs, onOutage } =
    config;
  if (redisUrl === undefined) return undefined;
  // The password that the file holds at the time.
  const credentials = (file: string) => () => ({ password: readFileSync(file, "utf8").trim() });
  return {
    type: "redis",
    url: redisUrl,
    prefix: redisPrefix,
    mode,
    leaseMs,
    timeoutMs: redisTimeoutMs,
    onOutage,
    allowEviction: redisAllowEviction,
    ...(redisPasswordFile === undefined ? {} : { credentials: credentials(redisPasswordFile) }),
  };
}

/** What the library says of its option, told of the setting from which that comes. */
function bySetting(error: unknown): unknown {
  const isOfUrl = error instanceof TollkeeperError && error.message.startsWith("storage.url ");
  if (!isOfUrl || error.code !== "ERR_OPTION_INVALID") return error;
  const message = error.message.replace("storage.url", SETTINGS.redisUrl.variable);
  return new ServiceError("ERR_CONFIG_INVALID", message, { cause: error });
}
