import { isOfCopy, TollkeeperError } from "../errors.js";

/** Signals that can't be used. */
export class FingerprintError extends Error {
  /** Stable: `ERR_…`. */
  readonly code: string;
  /** JSON path of the field, such as `tls.client_hello`; empty for the whole input. */
  readonly path: string;

  /** @param message What was wrong with the field, and what it may be. */
  constructor(code: string, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FingerprintError";
    this.code = code;
    this.path = path;
  }

  /** Whether it is one, of whichever copy of this package. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a class derived from this one asks for itself
    return isOfCopy(error, FingerprintError, this);
  }
}

/** What the computation refuses comes from Rust as an invalid argument, with JSON as its message. Anything else is a fault. */
export function explained(cause: unknown): FingerprintError | TollkeeperError {
  const { code: status, message: text } = cause as Error & { code?: string };
  if (status !== "InvalidArg") return new TollkeeperError("ERR_ENGINE_FAILED", text, { cause });
  const { code, path, message } = JSON.parse(text) as FingerprintError;
  return new FingerprintError(code, path, message, { cause });
}
