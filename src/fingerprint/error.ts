/** Signals that can't be used. */
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

/** What the computation refuses comes from Rust as JSON in the error's message. */
export function explained(cause: unknown): FingerprintError {
  const { code, path, message } = JSON.parse((cause as Error).message) as FingerprintError;
  return new FingerprintError(code, path, message, { cause });
}
