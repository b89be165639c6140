import { readFileSync } from "node:fs";
import { type RecordStore, TollkeeperError } from "tollkeeper";
import { RedisRecords } from "../../store/redis-records.js";
import { parseAddress } from "../../store/redis-url.js";
import type { Config } from "../config/schema.js";
import { ApiKeys } from "./api-keys.js";

/** The API keys and accounts of a service, opened where its configuration says. */
export interface Directory {
  keys: ApiKeys;
  /**
   * Resolves when the keys can be read and written.
   *
   * @throws {TollkeeperError} `ERR_STORE_…` if that takes longer than `patienceMs`
   */
  ready(patienceMs: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the keys and accounts in Redis if the configuration has one, so that all replicas share them.
 *
 * @param local The records of a limiter, which stays open; used if there is no Redis.
 * @throws {TollkeeperError} `ERR_CONFIG_INVALID`
 */
export async function openDirectory(config: Config, local?: RecordStore): Promise<Directory> {
  const { redisUrl, redisPrefix, redisTimeoutMs, redisAllowEviction, keyPepper: pepper } = config;
  const takesDemo = config.demoKeys !== "never";
  const nothing = async (): Promise<void> => undefined;
  if (local !== undefined)
    return { keys: new ApiKeys({ records: local, pepper, takesDemo }), ready: nothing, close: nothing };
  if (redisUrl === undefined) throw new TollkeeperError("ERR_CONFIG_INVALID", "the keys have no place to be kept in");
  const records = new RedisRecords({
    address: addressOf(redisUrl),
    url: redisUrl,
    prefix: redisPrefix,
    tls: undefined,
    timeoutMs: redisTimeoutMs,
    allowEviction: redisAllowEviction,
    credentials: credentialsOf(config),
  });
  await records.open();
  return {
    keys: new ApiKeys({ records, pepper, takesDemo }),
    ready: (patienceMs) => records.ready(patienceMs),
    close: () => records.close(),
  };
}

/** Gives the password that a file holds at the time, where there is one. */
export function credentialsOf({ redisPasswordFile: file }: Config): (() => { password: string }) | undefined {
  return file === undefined ? undefined : () => ({ password: readFileSync(file, "utf8").trim() });
}

/** @throws {TollkeeperError} `ERR_CONFIG_INVALID` */
export function addressOf(redisUrl: string): ReturnType<typeof parseAddress> {
  try {
    return parseAddress(redisUrl, "RATE_LIMIT_REDIS_URL");
  } catch (cause) {
    throw new TollkeeperError("ERR_CONFIG_INVALID", (cause as Error).message, { cause });
  }
}
