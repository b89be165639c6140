import { createLimiter, TollkeeperError } from "tollkeeper";
import { LiveConfig } from "../config/live.js";
import { type Configuration, readConfiguration } from "../config/read.js";
import { tiersOf } from "../config/tiers.js";
import type { AccountPlaces } from "../management/account-changes.js";
import { openKeys, openLimiter } from "../storage.js";
import { CommandError } from "./exit.js";
import { type Output, patiently } from "./output.js";

/** How long, in ms, Redis may take to be there. */
const PATIENCE_MS = 5000;

/**
 * Manages keys and accounts where a service keeps them, without the service: it has to be stopped if that is a file.
 *
 * @throws {TollkeeperError} `ERR_CONFIG_INVALID`, `ERR_STORAGE_…`, `ERR_STORE_…`
 */
export async function withStored<T>(
  environment: NodeJS.ProcessEnv,
  output: Output,
  use: (places: AccountPlaces) => Promise<T>,
): Promise<T> {
  const configuration = readConfiguration(environment);
  const { config } = configuration;
  if (config.redisUrl === undefined && config.storage === "memory") {
    throw new CommandError(
      "ERR_CONFIG_INVALID",
      "RATE_LIMIT_STORAGE is memory, which ends with the process that holds the keys; ask that one with --url",
    );
  }
  const limiter = config.redisUrl === undefined ? openFile(configuration) : undefined;
  const reset = (key: string) => (limiter === undefined ? resetInRedis(environment, output, key) : limiter.reset(key));
  try {
    const directory = await openKeys(config, limiter?.records);
    try {
      await patiently(output, "waiting for Redis", directory.ready(PATIENCE_MS));
      return await use({ keys: directory.keys, tiers: tiersOf(config), reset });
    } finally {
      await directory.close();
    }
  } finally {
    await limiter?.close();
  }
}

function openFile({ config }: Configuration) {
  const { maxKeys, file } = config;
  try {
    return createLimiter({ tiers: tiersOf(config), maxKeys, storage: { type: "file", path: file } });
  } catch (cause) {
    if (!(cause instanceof TollkeeperError) || cause.code !== "ERR_STORAGE_LOCKED") throw cause;
    const hint = "a service that runs has it open; ask that one with --url and TOLLKEEPER_API_KEY, or stop it first";
    throw new CommandError(cause.code, `${cause.message}: ${hint}`, { cause });
  }
}

/** As one more replica, so that all others hear of it. */
async function resetInRedis(environment: NodeJS.ProcessEnv, output: Output, key: string): Promise<void> {
  const { limiter } = openLimiter(new LiveConfig(environment), () => undefined);
  try {
    await patiently(output, "waiting for Redis", limiter.ready(PATIENCE_MS));
    await limiter.reset(key);
  } finally {
    await limiter.close();
  }
}
