import { costAt } from "../engine/cost.js";
import { LEASE_FRAME } from "../engine/lease-frame.js";
import { isRefusal } from "../store/key-error.js";
import type { Command, Reply } from "../store/protocol.js";
import type { CountedTier } from "./counted-tiers.js";
import { ONCE, type Outbox } from "./outbox.js";
import type { Parts } from "./parts.js";
import { unreconciled } from "./unreconciled.js";

const { HELD, NOW } = LEASE_FRAME;

/** Tokens that were taken together, and are not to be handed out. */
export interface Return extends Pick<CountedTier, "tier" | "boundTier"> {
  readonly key: string;
  readonly milli: number;
  /** When they were taken, by the store's time. */
  readonly takenMs: number;
}

/** Gives back what was taken and is not used. */
export class LeaseReleaser {
  readonly #parts: Parts;
  readonly #outbox: Outbox;

  constructor(parts: Parts, outbox: Outbox) {
    this.#parts = parts;
    this.#outbox = outbox;
  }

  /** Sends what the table has to be given back; resolved when it has arrived, or is lost. */
  async release(): Promise<void> {
    const given: Promise<void>[] = [];
    for (let returns = this.#next(); returns.length > 0; returns = this.#next()) {
      given.push(...returns.map((one) => this.give(one)));
    }
    await Promise.all(given);
  }

  /**
   * Gives tokens back; what is lost on the way stays spent, and is not sent again, so that it never counts twice. What the
   * store has refused has not counted, and is queued.
   */
  async give({ key, tier, boundTier, milli, takenMs: atMs }: Return): Promise<void> {
    const deltas = tier.limits.map(() => -milli);
    const queue = () => this.#outbox.queue(key, unreconciled({ tier, boundTier, deltas, atMs, unused: true }));
    if (!this.#parts.session.isReady) return queue();
    try {
      const reply = await this.#parts.session.run({
        op: "adjust",
        ...this.#parts.about(key, tier),
        deltas,
        atMs,
        ...ONCE,
      });
      this.#parts.replies.add({ key, boundTier, reply, teaches: true });
    } catch (error) {
      if (isRefusal(error)) queue();
    }
  }

  /** A take that was given up was granted after all: nobody will use it. */
  late(command: Command, reply: Reply): void {
    // Places that it may have given are given back where its answer was missed.
    if (command.op !== "take" || reply.granted === 0) return;
    const { need } = command;
    const deltas = command.tier.limits.map((_, index) =>
      typeof need === "number" ? -reply.granted : -costAt(need, index),
    );
    const { key, tier, snapshot } = command;
    const { session, replies } = this.#parts;
    session
      .run({
        op: "adjust",
        ...this.#parts.about(key, tier, snapshot),
        deltas,
        atMs: reply.nowMs,
        ...ONCE,
        unused: true,
      })
      .then(
        (returned) => replies.add({ key, boundTier: undefined, reply: returned, teaches: true }),
        () => undefined,
      );
  }

  #next(): Return[] {
    const { engine, countedTiers } = this.#parts;
    const { frame } = engine;
    return countedTiers.read(engine.takeReturns(), (at) => ({
      milli: frame[at + HELD] as number,
      takenMs: frame[at + NOW] as number,
    }));
  }
}
