import { loadBinding } from "../engine/binding.cjs";
import { TollkeeperError } from "../errors.js";
import { explained } from "./error.js";

/** The fingerprint computations as the binary has them: JSON text in, JSON text out. */
export interface FingerprintText {
  /**
   * From a fingerprint to its identification.
   *
   * @throws {FingerprintError}
   */
  identify(signals: string): string;
  /**
   * From `{ a, b }` to their comparison.
   *
   * @throws {FingerprintError}
   */
  compare(pair: string): string;
  /**
   * From items to an array of answers, on Node's thread pool; paths of problems count from `first`.
   *
   * @throws {FingerprintError} `ERR_INPUT_TOO_LARGE`, if there are more than 100.
   */
  batch(items: string[], first: number): Promise<string>;
  /**
   * What is to be known of the body of a batch before its items are read, on Node's thread pool. The body must stay as it is
   * until then.
   *
   * @throws {FingerprintError} `ERR_INPUT_NOT_JSON`
   */
  batchBodyOutline(body: Buffer): Promise<BatchBodyOutline>;
  /** As `batch`, of items as they stand in a body, with the commas between them; the array as bytes. */
  batchPart(items: Buffer, first: number): Promise<Buffer>;
}

/** What is to be known of the body of a batch before its items are read. */
export interface BatchBodyOutline {
  /** The body with `null` for each item, of at most 101, and for each value that is no part of a batch. */
  text: string;
  /** The bytes at which each item starts and ends, one after another. */
  items: number[];
  /** The body with U+FFFD in place of what is not UTF-8, if there is such: the items are in this one then. */
  body?: Buffer;
}

/**
 * Items that are computed at a time: between two parts of a batch the event loop is free. On a machine of one processor it
 * waits for the part that is computed.
 */
export const PART = 10;

/**
 * Loads the computations from the native binary.
 *
 * @throws {TollkeeperError} `ERR_NATIVE_MISSING`, with the reason.
 */
export function loadFingerprintText(): FingerprintText {
  const { binding, reason } = loadBinding();
  if (binding === undefined) {
    throw new TollkeeperError("ERR_NATIVE_MISSING", `fingerprints need the native binary, and ${reason}`);
  }
  const { identify, compare, batch, batchBodyOutline, batchPart } = binding as FingerprintText;
  return {
    identify: (signals) => computed(() => identify(signals)),
    compare: (pair) => computed(() => compare(pair)),
    batch: (items, first) => batch(items, first).catch(refused),
    batchBodyOutline: (body) => batchBodyOutline(body).catch(refused),
    batchPart: (items, first) => batchPart(items, first).catch(refused),
  };
}

function computed(compute: () => string): string {
  try {
    return compute();
  } catch (error) {
    throw explained(error);
  }
}

function refused(error: unknown): never {
  throw explained(error);
}
