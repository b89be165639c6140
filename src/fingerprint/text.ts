import { loadBinding } from "../engine/binding.js";
import { TollkeeperError } from "../errors.js";
import { explained } from "./error.js";

/** The fingerprint computations as the binary has them: JSON text in, JSON text out, for those who pass it on as it is. */
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
  /** A batch as it comes over HTTP, without bytes yet. */
  rawBatch(): RawBatch;
}

/** The same, with what only this library needs. */
export interface LoadedText extends FingerprintText {
  /**
   * From items to an array of answers, on Node's thread pool; paths of problems count from `first`.
   *
   * @throws {FingerprintError} `ERR_INPUT_TOO_LARGE`, if there are more than 100.
   */
  batch(items: string[], first: number): Promise<string>;
}

/** A batch as it comes over HTTP. Its bytes are outside of V8's heap, and not counted for the collection of garbage. */
export interface RawBatch {
  /** Appends bytes. */
  push(chunk: Uint8Array): void;
  /**
   * Appends bytes that nobody else reads, and frees their memory at once: it has none then. Not for memory that is marked as
   * untransferable, as Node's pool of small buffers is: Node 24 would end the process.
   */
  take(memory: ArrayBuffer): void;
  /**
   * Reads the body on Node's thread pool; resolves to it with `null` for each item, of at most 101, and for each value that
   * is no part of a batch.
   *
   * @throws {FingerprintError} `ERR_INPUT_NOT_JSON`
   */
  outline(): Promise<string>;
  /**
   * The answers to the first `count` items of what was outlined, as the text of an array. They are computed on Node's thread
   * pool, a few at a time, so that other calls come in between.
   *
   * @throws {FingerprintError}
   */
  results(count: number): Promise<string>;
  /** Frees the bytes. Without it they are freed when V8 next collects garbage, which it has no reason to hurry with. */
  free(): void;
}

/**
 * Items that are computed at a time: between two parts of a batch the event loop is free. On a machine of one processor it
 * waits for the part that is computed.
 */
export const PART = 10;

/** What `crates/node` exports for the computations. */
interface Binding extends Pick<LoadedText, "identify" | "compare" | "batch"> {
  RawBatch: new () => Omit<RawBatch, "results"> & { part(first: number, count: number): Promise<string> };
}

/** @throws {TollkeeperError} `ERR_NATIVE_MISSING`, with the reason. */
export function loadText(): LoadedText {
  const { binding, reason } = loadBinding();
  if (binding === undefined) {
    throw new TollkeeperError("ERR_NATIVE_MISSING", `fingerprints need the native binary, and ${reason}`);
  }
  const { identify, compare, batch, RawBatch } = binding as Binding;
  return {
    identify: (signals) => computed(() => identify(signals)),
    compare: (pair) => computed(() => compare(pair)),
    batch: (items, first) => batch(items, first).catch(refused),
    rawBatch: () => {
      const raw = new RawBatch();
      return {
        push: (chunk) => raw.push(chunk),
        take: (memory) => raw.take(memory),
        outline: () => raw.outline().catch(refused),
        async results(count) {
          const parts: string[] = [];
          for (let first = 0; first < count; first += PART) {
            const array = await raw.part(first, Math.min(PART, count - first)).catch(refused);
            parts.push(array.slice(1, -1));
          }
          return `[${parts.join(",")}]`;
        },
        free: () => raw.free(),
      };
    },
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
