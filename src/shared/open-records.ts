import type { RecordStore } from "../engine/record-store.js";
import { RedisRecords } from "../store/redis-records.js";
import { checkRedis, placeOf, type RedisStorage } from "./storage-options.js";

/** Records that all replicas share. */
export interface SharedRecords extends RecordStore {
  /**
   * Resolves when the records have been read.
   *
   * @throws {TollkeeperError} `ERR_STORE_…` or `ERR_RECORDS_LOST`, if that takes longer than `patienceMs`
   */
  ready(patienceMs: number): Promise<void>;
  /** Lets go of the connections. */
  close(): Promise<void>;
}

/**
 * Opens records in Redis, without a limiter: small texts by name, such as accounts and API keys. Each replica holds all of
 * them, so that a look-up asks nobody; a change is seen by the others within a second or two. It begins to connect, and
 * {@link SharedRecords.ready} waits for that.
 *
 * @param storage As for a limiter; `mode`, `leaseMs` and `onOutage` have no part in it. `prefix` is `tollkeeper` by default.
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export async function openRecords(storage: RedisStorage): Promise<SharedRecords> {
  checkRedis(storage);
  const { prefix = "tollkeeper", tls, timeoutMs = 50, allowEviction = false, credentials } = storage;
  const options = { ...placeOf(storage), prefix, tls, timeoutMs, allowEviction, credentials };
  const records = new RedisRecords(options);
  await records.open();
  return records;
}
