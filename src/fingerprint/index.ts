/**
 * JA3, JA4 and HTTP/2 fingerprints of a client, and who it may be.
 *
 * @module tollkeeper/fingerprint
 */
import { types } from "node:util";
import { FingerprintError } from "./error.js";
import { type FingerprintText, loadText, PART } from "./text.js";
import type { BatchAnswer, BatchItem, Comparison, Identification, Signals } from "./types.js";

export { FingerprintError } from "./error.js";
export type { FingerprintText, RawBatch } from "./text.js";
export type * from "./types.js";

/** The fingerprint computations, in Rust. They keep nothing and ask nobody. */
export interface Fingerprint {
  /**
   * What the signals of a client compute to, and who it may be. Takes tens of microseconds, 0.2 ms for one unlike any.
   *
   * @throws {FingerprintError} If a signal can't be read, or there is none.
   */
  identify(signals: Signals): Identification;
  /**
   * How alike two clients are, by the signals that both hold.
   *
   * @throws {FingerprintError} As `identify`, the path starting with `a` or `b`; `ERR_NOT_COMPARABLE` if they hold none in common.
   */
  compare(a: Signals, b: Signals): Comparison;
  /**
   * Identifies many clients on Node's thread pool, a few at a time, so that the event loop is held for no longer than it
   * takes to write a few items as text. Answers come in the order of the items; an item whose signals can't be used gets a
   * `problem`, and fails alone.
   *
   * @throws {FingerprintError} If the items are no array.
   */
  batch(items: readonly BatchItem[]): Promise<BatchAnswer[]>;
}

/** Stands for what is nested deeper than the stack reaches: refused as that would be, for its depth. */
const TOO_DEEP = "[".repeat(200);
/** Stands for what JSON can't hold, such as an object within itself: refused as no JSON. */
const NOT_JSON = "undefined";

/**
 * Loads the computations from the native binary.
 *
 * @throws {TollkeeperError} `ERR_NATIVE_MISSING`, with the reason.
 */
export function loadFingerprint(): Fingerprint {
  const { identify, compare, batch } = loadText();
  return {
    identify: (signals) => JSON.parse(identify(textOf(inText(signals)))) as Identification,
    compare: (a, b) => JSON.parse(compare(textOf({ a: inText(a), b: inText(b) }))) as Comparison,
    async batch(items) {
      if (!Array.isArray(items)) {
        const kind = items === null ? "null" : typeof items;
        throw new FingerprintError("ERR_SIGNAL_INVALID", "items", `is ${kind}; it may be an array`);
      }
      const answers: BatchAnswer[] = [];
      // Whoever calls has just read them, and held the event loop for as long.
      await nextTurn();
      for (let first = 0; first < items.length; first += PART) {
        const part = items.slice(first, first + PART).map(itemText);
        answers.push(...(JSON.parse(await batch(part, first)) as BatchAnswer[]));
      }
      return answers;
    },
  };
}

/**
 * Loads the same computations for those who have JSON text and pass on JSON text, such as a server: what goes in and out is not
 * made objects of in between.
 *
 * @throws {TollkeeperError} `ERR_NATIVE_MISSING`, with the reason.
 */
export function loadFingerprintText(): FingerprintText {
  return loadText();
}

/** After others' events were served: an immediate would still come before them, one set by an immediate does not. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}

/** Callers in plain JavaScript may give anything; Rust says what is wrong with it. */
function textOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch (error) {
    if (error instanceof RangeError) return TOO_DEEP;
    if (error instanceof TypeError) return NOT_JSON;
    throw error;
  }
}

/** Signals with the bytes of a hello, if it is bytes, in base64. */
function inText(signals: Signals): Signals {
  const hello = signals?.tls?.client_hello;
  if (!types.isUint8Array(hello)) return signals;
  const bytes = Buffer.from(hello.buffer, hello.byteOffset, hello.byteLength);
  return { ...signals, tls: { ...signals.tls, client_hello: bytes.toString("base64") } };
}

function itemText(item: BatchItem): string {
  const hello = item?.fingerprint?.tls?.client_hello;
  return textOf(types.isUint8Array(hello) ? { ...item, fingerprint: inText(item.fingerprint) } : item);
}
