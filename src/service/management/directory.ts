import { openRecords, type RecordStore, type RedisStorage } from "tollkeeper";
import { ApiKeys } from "./api-keys.js";

/** The API keys and accounts of a service. */
export interface Directory {
  keys: ApiKeys;
  /** Where they are kept, and what else all replicas share. */
  records: RecordStore;
  /**
   * Resolves when the keys can be read and written.
   *
   * @throws {TollkeeperError} `ERR_STORE_…` if that takes longer than `patienceMs`
   */
  ready(patienceMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Where keys and accounts are kept, and how. */
export interface DirectoryOptions {
  /** The records of a limiter, which stays open; or a Redis, so that all replicas share them. */
  storage: RecordStore | RedisStorage;
  /** As {@link ApiKeys} takes it. */
  pepper?: string | undefined;
  takesDemo?: boolean;
}

/**
 * Opens the keys and accounts.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export async function openDirectory({ storage, ...options }: DirectoryOptions): Promise<Directory> {
  if (!("type" in storage)) {
    const nothing = async (): Promise<void> => undefined;
    return { keys: new ApiKeys({ records: storage, ...options }), records: storage, ready: nothing, close: nothing };
  }
  const records = await openRecords(storage);
  return {
    keys: new ApiKeys({ records, ...options }),
    records,
    ready: (patienceMs) => records.ready(patienceMs),
    close: () => records.close(),
  };
}
