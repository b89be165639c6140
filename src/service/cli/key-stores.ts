import { createLimiter, TollkeeperError } from "tollkeeper";
import { type Configuration, readConfiguration } from "../config/read.js";
import { tiersOf } from "../config/tiers.js";
import { type ApiKeys, type KeyInfo, SCOPES } from "../management/api-keys.js";
import { openKeys } from "../storage.js";
import { CommandError } from "./exit.js";
import type { KeyStore, NewKey } from "./keys.js";
import { type Output, patiently } from "./output.js";
import type { ServiceClient } from "./service.js";

/** How long, in ms, Redis may take to be there. */
const PATIENCE_MS = 5000;
/** Keys of one page. */
const PAGE = 100;

/** The keys of a running service. */
export function keysOfService(service: ServiceClient): KeyStore {
  return {
    create: (key) => service.call("POST", "/api/v1/keys", key),
    list: (account) =>
      service.all("/api/v1/keys", account === undefined ? "" : `account=${encodeURIComponent(account)}`),
    revoke: (id) => service.call("DELETE", `/api/v1/keys/${encodeURIComponent(id)}`),
  };
}

/**
 * Manages keys where a service keeps them, without the service: it has to be stopped if that is a file.
 *
 * @throws {TollkeeperError} `ERR_CONFIG_INVALID`, `ERR_STORAGE_…`, `ERR_STORE_…`
 */
export async function withStoredKeys<T>(
  environment: NodeJS.ProcessEnv,
  output: Output,
  use: (keys: KeyStore) => Promise<T>,
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
  try {
    const directory = await openKeys(config, limiter?.records);
    try {
      await patiently(output, "waiting for Redis", directory.ready(PATIENCE_MS));
      return await use(storedKeys(directory.keys, configuration));
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

function storedKeys(keys: ApiKeys, { config }: Configuration): KeyStore {
  return {
    async create({ account, tier, scopes, environment }: NewKey) {
      const tiers = tiersOf(config);
      if (tier !== undefined && !Object.hasOwn(tiers, tier)) {
        const mayBe = Object.keys(tiers).join(", ");
        throw new CommandError("ERR_TIER_UNKNOWN", `tier is ${tier}; it may be one of ${mayBe}`);
      }
      const present = keys.accounts.get(account);
      if (tier !== undefined && present !== undefined && present.tier !== tier) {
        const instead = "a key does not change that, `tollkeeper quota set-tier` does";
        throw new CommandError("tier_contradicts", `account ${account} is of tier ${present.tier}; ${instead}`);
      }
      if (tier !== undefined && present === undefined) await keys.accounts.setTier(account, tier);
      return keys.create(environment, { account, scopes });
    },
    async list(account) {
      const found: KeyInfo[] = [];
      let after = "";
      for (;;) {
        const { items, next } = keys.list(PAGE, { after, account });
        found.push(...items);
        if (next === null) return found;
        after = next;
      }
    },
    async revoke(id) {
      const revoked = await keys.revoke(id);
      if (revoked === undefined) throw new CommandError("not_found", `there is no key ${id}`);
      return revoked;
    },
  };
}

/** The scopes that a key may have, for help. */
export const SCOPE_NAMES: readonly string[] = SCOPES;
