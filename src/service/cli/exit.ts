/** How the command line ends. */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

/** What was asked for can't be done; the message is all that is said. */
export class CommandError extends Error {
  /** Stable, for programs: an `ERR_…`, or the code of a problem document. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What was typed makes no command. */
export class UsageError extends Error {}
