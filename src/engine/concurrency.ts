/** Milliseconds up to which an amount can tell how long a place lasts. */
const SPAN_MS = 2 ** 32;

/** The most places that a limit has. */
export const MAX_PLACES = 10_000;
/** The longest that a place can be held, in ms. */
export const MAX_TIMEOUT_MS = SPAN_MS - 1;

/**
 * So many calls at the same time, each for so long at most.
 *
 * How one stands is told as one amount, as of the other limits: the places that are taken × 2^32, and the milliseconds until
 * the first of them is over. It is below 2^52.
 */
export class Concurrency {
  readonly type = "concurrency";
  readonly initial = 0;
  /** Whatever it costs, a call takes one place. */
  readonly maxCostMilli = Number.POSITIVE_INFINITY;
  /** Places. */
  readonly limit: number;
  /** How long, in ms, a place is held at most. */
  readonly timeoutMs: number;

  constructor(limit: number, timeoutMs: number) {
    this.limit = limit;
    this.timeoutMs = timeoutMs;
  }

  /** How it stands where so many places are taken, of which the first is over in `firstMs`. */
  static amount(taken: number, firstMs: number): number {
    return taken * SPAN_MS + Math.min(firstMs, MAX_TIMEOUT_MS);
  }

  /** Places that are taken. */
  taken(amount: number): number {
    return Math.floor(amount / SPAN_MS);
  }

  /** How it stood before a place was taken. */
  static before(amount: number): number {
    return amount < 2 * SPAN_MS ? 0 : amount - SPAN_MS;
  }

  /**
   * The wait until there is a free place at the latest: 0 if there is one now. Where more are taken than there are, by a key
   * that comes from a larger limit, that is when the first of them is over.
   */
  waitMs(amount: number): number {
    return this.taken(amount) < this.limit ? 0 : Math.max(1, this.resetMs(amount));
  }

  /** Places that are free, in thousandths. */
  remainingMilli(amount: number): number {
    return Math.max(0, this.limit - this.taken(amount)) * 1000;
  }

  /** The time until the first place is over; 0 if none is taken. */
  resetMs(amount: number): number {
    return amount % SPAN_MS;
  }

  /** What a key's state says of it, until when a place is taken at the latest, at an instant. */
  advanced(endMs: number, nowMs: number): number {
    return nowMs < endMs ? endMs : 0;
  }
}
