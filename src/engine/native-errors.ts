import { ERROR_CODES, type ErrorCode, TollkeeperError } from "../errors.js";

/** Calls the binding, and throws what it throws with a code, if it has one. */
export function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    return rethrow(error);
  }
}

/** Errors of the binding have their code at the beginning of the message. */
export function rethrow(error: unknown): never {
  throw errorOf((error as Error).message, error) ?? error;
}

/** The error that a text of the binding tells of; undefined if it has no code. */
export function errorOf(text: string, cause?: unknown): TollkeeperError | undefined {
  const [, code, message] = /^(ERR_[A-Z_]+): (.*)$/s.exec(text) ?? [];
  if (code === undefined || !(code in ERROR_CODES)) return undefined;
  return new TollkeeperError(code as ErrorCode, message ?? "", { cause });
}
