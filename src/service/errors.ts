import { type ErrorCode, TollkeeperError } from "tollkeeper";

/**
 * Every code that a {@link ServiceError} can carry, with what it means: what only the service throws, beside the library's
 * codes. `docs/errors.md` explains each; a test holds the two together.
 */
export const SERVICE_ERROR_CODES = {
  ERR_ACCOUNT_INVALID: "no account can be so",
  ERR_ACCOUNT_UNKNOWN: "no account of that name",
  ERR_ACCOUNT_EXISTS: "there is an account of that name already",
  ERR_ACCOUNT_STATE: "the account is in a state in which that can't be done",
  ERR_EXTERNAL_ID_TAKEN: "another account has that external id",
  ERR_KEY_LIMIT: "the account has as many good API keys as it may have",
  ERR_EXPIRY_INVALID: "an API key can't expire then",
  ERR_WEBHOOK_INVALID: "no webhook can have that address",
  ERR_WEBHOOK_LIMIT: "there are as many webhooks as there may be",
  ERR_CONFIG_INVALID: "the configuration can't be used as it is",
  ERR_ADDRESS_IN_USE: "the port is taken",
  ERR_ADDRESS_UNAVAILABLE: "the address can't be listened on",
} as const;

/** A stable code of a {@link ServiceError}: its own, or the library's where it is of the same meaning. */
export type ServiceErrorCode = keyof typeof SERVICE_ERROR_CODES | ErrorCode;

/** Misuse of the service, or a fault; shaped as the library's `TollkeeperError`. `code` is stable, `message` is for people. */
export class ServiceError extends Error {
  readonly code: ServiceErrorCode;

  constructor(code: ServiceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ServiceError";
    this.code = code;
  }
}

/** Whether an error is one with a stable code, of the service or of the library, whose message explains it. */
export function isExplained(error: unknown): error is ServiceError | TollkeeperError {
  return error instanceof ServiceError || error instanceof TollkeeperError;
}
