import { loadBinding } from "../engine/binding.cjs";
import { TollkeeperError } from "../errors.js";

/** The fingerprint computations, in Rust: JSON text in, JSON text out. `docs/http.md` describes the shapes. */
export interface Fingerprint {
  /** The signals of a client to what they compute to and who it may be. Throws a {@link FingerprintError}. */
  identify(json: string): string;
  /** `{ a, b }`, the signals of two clients, to how alike they are. Throws a {@link FingerprintError}. */
  compare(json: string): string;
  /**
   * An array of JSON texts of `{ id, fingerprint }`, at most 100, to an array of `{ id, result }` or, where the signals
   * can't be used, `{ id, problem }`, in the same order. Works off the event loop, since a hundred take milliseconds.
   * Rejects with a {@link FingerprintError} if it is no such array.
   */
  batch(json: string): Promise<string>;
}

/** Input that can't be used. */
export class FingerprintError extends Error {
  /** Stable: `ERR_…`. */
  readonly code: string;
  /** JSON path of the field, such as `tls.client_hello`; empty for the whole input. */
  readonly path: string;

  constructor(code: string, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FingerprintError";
    this.code = code;
    this.path = path;
  }
}

/**
 * Loads the computations from the native binary.
 *
 * @throws {TollkeeperError} `ERR_NATIVE_MISSING`, with the reason.
 */
export function loadFingerprint(): Fingerprint {
  const { binding, reason } = loadBinding();
  if (binding === undefined) {
    throw new TollkeeperError("ERR_NATIVE_MISSING", `fingerprints need the native binary, and ${reason}`);
  }
  const { identify, compare, batch } = binding as Fingerprint;
  return {
    identify: (json) => {
      try {
        return identify(json);
      } catch (error) {
        throw explained(error);
      }
    },
    compare: (json) => {
      try {
        return compare(json);
      } catch (error) {
        throw explained(error);
      }
    },
    batch: (json) => batch(json).catch((error) => Promise.reject(explained(error))),
  };
}

/** What the computation refuses comes from Rust as JSON in the error's message. */
function explained(cause: unknown): FingerprintError {
  const { code, path, message } = JSON.parse((cause as Error).message) as FingerprintError;
  return new FingerprintError(code, path, message, { cause });
}
