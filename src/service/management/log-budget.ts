/** Lines of one kind that are written in full in a minute. */
const LINES = 20;
const MINUTE_MS = 60_000;
/** Kinds told apart in a minute; what comes after that is one kind more. */
const MAX_KINDS = 100;

/** Lines that were not written. */
export interface Omitted {
  kind: string;
  count: number;
}

/**
 * Bounds what strangers can have written into a log: of each kind the first lines of a minute in full, and of the others
 * how many they were, all in one line at its end.
 */
export class LogBudget {
  readonly #tell: (omitted: Omitted[]) => void;
  readonly #counts = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param tell Writes what a minute has left out. */
  constructor(tell: (omitted: Omitted[]) => void) {
    this.#tell = tell;
  }

  /** Writes a line, or counts it. */
  write(kind: string, write: () => void): void {
    this.#timer ??= setTimeout(() => this.end(), MINUTE_MS).unref();
    const own = this.#counts.has(kind) || this.#counts.size < MAX_KINDS ? kind : "others";
    const count = (this.#counts.get(own) ?? 0) + 1;
    this.#counts.set(own, count);
    if (count <= LINES) write();
  }

  /** Ends the minute at once. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const omitted = [...this.#counts].flatMap(([kind, count]) =>
      count > LINES ? [{ kind, count: count - LINES }] : [],
    );
    this.#counts.clear();
    if (omitted.length > 0) this.#tell(omitted);
  }
}
