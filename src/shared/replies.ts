import { writeEpoch } from "../engine/epoch.js";
import { FRAME } from "../engine/frame.js";
import type { LeaseEngine } from "../engine/lease-engine.js";
import { APPLIED, LEASE_FRAME } from "../engine/lease-frame.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { Reply } from "../store/protocol.js";
import type { Clocks } from "./clocks.js";
import type { Outcome } from "./outcome.js";

const { TIER, COST, KEY_LENGTH, NOW, CODE, VERSION, SPENT } = LEASE_FRAME;
const { MONO, WAIT, HELD, AHEAD, SERVER, EPOCH, LAG, IS_PROVISIONAL, RACES, ROW } = LEASE_FRAME;

/** What the store has granted for a take. */
export interface Taken {
  /** In all, in thousandths. */
  readonly grantedMilli: number;
  /** What of it is to be held: asked for when nothing can come between any more. */
  readonly heldMilli: () => number;
  /** How long, in ms, it may be handed out. */
  readonly lastsMs: number;
}

/** What the store has answered, on its way into the table. */
export interface Arrival {
  readonly key: string;
  /** By which it was asked about; undefined if that is in force no more: then nothing is learned but that the key has changed. */
  readonly boundTier: BoundTier | undefined;
  readonly reply: Reply;
  /** Whether its amounts are what the store keeps. */
  readonly teaches: boolean;
  /** Undefined for an answer to anything but a take. */
  readonly taken?: Taken;
  /** Whether it is of what this replica has spent without a take: a key of which nothing is known is known from then on, as by one. */
  readonly isOwn?: boolean;
  /** What it denied. */
  readonly denial?: Outcome | undefined;
  /** Told when it is there, as one of `APPLIED`. */
  readonly applied?: (code: number) => void;
}

/** Takes in what the store has answered, by one crossing for all answers that arrive together. */
export class Replies {
  readonly #engine: LeaseEngine;
  readonly #clocks: Clocks;
  #arrivals: Arrival[] = [];
  #isClosed = false;
  #hasTaught = false;
  /** Whether others have ever told the table what they were answered, whom this thread's answers may still come after. */
  #races = false;

  constructor(engine: LeaseEngine, clocks: Clocks) {
    this.#engine = engine;
    this.#clocks = clocks;
  }

  /** Whether anything was ever learned of a key. */
  get hasTaught(): boolean {
    return this.#hasTaught;
  }

  add(arrival: Arrival): void {
    if (arrival.teaches) this.#hasTaught = true;
    if (this.#arrivals.push(arrival) === 1) queueMicrotask(() => this.#take());
  }

  /** Resolves when all that has arrived is taken in. */
  takenIn(): Promise<void> {
    return new Promise(queueMicrotask);
  }

  /** Nothing is taken in any more. */
  close(): void {
    this.#isClosed = true;
  }

  #take(): void {
    const arrivals = this.#arrivals;
    this.#arrivals = [];
    for (let at = 0; at < arrivals.length; at += FRAME.ROWS) this.#apply(arrivals.slice(at, at + FRAME.ROWS));
  }

  #apply(arrivals: readonly Arrival[]): void {
    // Deciding uses the frame as well, so all of it comes before the first row.
    const held = arrivals.map(({ taken }) => taken?.heldMilli() ?? 0);
    let codes = arrivals.map((): number => APPLIED.UNKNOWN);
    if (!this.#isClosed) {
      const { frame } = this.#engine;
      const monoMs = this.#clocks.monoMs();
      this.#races ||= this.#engine.users > 1;
      arrivals.forEach((arrival, index) => void this.#write(index * ROW, arrival, held[index] ?? 0, monoMs));
      this.#engine.apply(arrivals.map(({ key }) => key).join(""), arrivals.length);
      codes = arrivals.map((_, index) => frame[index * ROW + CODE] as number);
      this.#clocks.hear();
    }
    arrivals.forEach(({ applied }, index) => void applied?.(codes[index] as number));
  }

  #write(at: number, arrival: Arrival, held: number, monoMs: number): void {
    const { key, boundTier, reply, teaches, taken, isOwn, denial } = arrival;
    const { frame } = this.#engine;
    frame[at + KEY_LENGTH] = key.length;
    frame[at + TIER] = boundTier?.tierId ?? -1;
    frame[at + VERSION] = boundTier?.version ?? -1;
    frame[at + COST] = taken?.grantedMilli ?? (isOwn ? 0 : -1);
    frame[at + NOW] = reply.nowMs;
    frame[at + LAG] = reply.lagMs;
    frame[at + MONO] = monoMs;
    frame[at + HELD] = held;
    frame[at + AHEAD] = taken?.lastsMs ?? 0;
    frame[at + WAIT] = taken === undefined ? -1 : (denial?.waitMs ?? 0);
    frame[at + IS_PROVISIONAL] = denial?.isProvisional ? 1 : 0;
    frame[at + RACES] = this.#races ? 1 : 0;
    boundTier?.tier.limits.forEach(({ rule }, index) => {
      // Which calls run changes without a word.
      const amount = rule.type === "concurrency" ? undefined : reply.spent[index];
      frame[at + SPENT + index] = amount ?? Number.NaN;
    });
    if (teaches && reply.spent.length > 0) writeEpoch(this.#engine, frame, at, reply.epoch);
    else {
      frame[at + SERVER] = -1;
      frame[at + EPOCH] = 0;
    }
  }
}
