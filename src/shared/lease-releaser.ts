import { LEASE_FRAME } from "../engine/lease-frame.js";
import { isRefusal } from "../store/key-error.js";
import type { Command, Reply } from "../store/protocol.js";
import type { CountedTier, CountedTiers } from "./counted-tiers.js";
import type { LeaseDecider } from "./lease-decider.js";
import { ONCE, type Outbox } from "./outbox.js";
import type { Replies } from "./replies.js";
import type { StoreClient } from "./store-client.js";
import { unreconciled } from "./unreconciled.js";

const { KEY_LENGTH, HELD, NOW, RULES, ROW } = LEASE_FRAME;

/** Tokens that were taken together, and are not to be handed out. */
export interface Return extends Pick<CountedTier, "tier" | "boundTier"> {
  readonly key: string;
  readonly milli: number;
  /** When they were taken, by the store's time. */
  readonly takenMs: number;
}

/** Gives back what was taken and is not used. */
export class LeaseReleaser {
  readonly #decider: LeaseDecider;
  readonly #countedTiers: CountedTiers;
  readonly #client: StoreClient;
  readonly #replies: Replies;
  readonly #outbox: Outbox;

  constructor(
    decider: LeaseDecider,
    countedTiers: CountedTiers,
    client: StoreClient,
    replies: Replies,
    outbox: Outbox,
  ) {
    this.#decider = decider;
    this.#countedTiers = countedTiers;
    this.#client = client;
    this.#replies = replies;
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
    if (!this.#client.isReady) return queue();
    try {
      const reply = await this.#client.run({ op: "adjust", ...this.#client.about(key, tier), deltas, atMs, ...ONCE });
      if (boundTier !== undefined) this.#replies.add({ key, boundTier, reply, teaches: true });
    } catch (error) {
      if (isRefusal(error)) queue();
    }
  }

  /** A take that was given up was granted after all: nobody will use it. */
  late(command: Command, reply: Reply): void {
    if (command.op !== "take" || reply.granted === 0) return;
    const deltas = command.tier.limits.map(() => -reply.granted);
    const about = this.#client.about(command.key, command.tier, command.snapshot);
    void this.#client
      .run({ op: "adjust", ...about, deltas, atMs: reply.nowMs, ...ONCE, unused: true })
      .catch(() => undefined);
  }

  #next(): Return[] {
    const { engine } = this.#decider;
    const { count, keys } = engine.takeReturns();
    const { frame } = engine;
    let start = 0;
    const rows = Array.from({ length: count }, (_, row) => {
      const at = row * ROW;
      const end = start + (frame[at + KEY_LENGTH] as number);
      const key = keys.slice(start, end);
      start = end;
      return {
        key,
        milli: frame[at + HELD] as number,
        takenMs: frame[at + NOW] as number,
        rules: frame[at + RULES] as number,
      };
    });
    return rows.map(({ rules, ...one }) => ({ ...one, ...this.#countedTiers.of(rules) }));
  }
}
