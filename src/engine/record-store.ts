import type { TollkeeperError } from "../errors.js";

/** Is told of a record that was written, with its value, or deleted. */
export type RecordListener = (name: string, value: string | undefined) => void;

/** Named records, durable when the storage is. */
export interface RecordStore {
  /** The value of a record; `undefined` if there is none of that name. */
  get(name: string): string | undefined;
  /** Every record whose name begins with `prefix`, ordered by name. */
  list(prefix: string): [name: string, value: string][];
  /** At most `size` of them, after the one named `after`; no others are looked at. */
  page(prefix: string, size: number, after?: string): [name: string, value: string][];
  /** Has a listener told of every change from now on that this thread knows of. */
  watch(listener: RecordListener): void;
  /** Durable when it resolves; `undefined` deletes. */
  put(name: string, value: string | undefined): Promise<void>;
  /** Writes a record unless there is one of that name; gives the value that is there then. */
  putNew(name: string, value: string): Promise<string>;
  /** Whether what is read can be relied on; false where it was never read from where it is kept, or not for long. */
  readonly isFresh: boolean;
  /** `ERR_RECORDS_LOST` while some of them are known to be lost where they are kept; then none can be written. */
  readonly loss: TollkeeperError | undefined;
  /** Another number after every change that this thread knows of: what was read before may have changed. */
  readonly version: number;
}
