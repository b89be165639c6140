import type { CostMilli } from "../engine/cost.js";
import { APPLIED } from "../engine/lease-frame.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { Decision } from "../limiter/decision.js";
import type { Reply } from "../store/protocol.js";
import { denialOf, deniedOf } from "./lease-acquirer.js";
import type { LeaseReleaser } from "./lease-releaser.js";
import type { Outbox } from "./outbox.js";
import { allowedOutcome, type Outcome, spentAt } from "./outcome.js";
import type { Parts } from "./parts.js";

/** Decides a call that the store can't be asked about. */
export type Away = (key: string, boundTier: BoundTier, costMilli: CostMilli) => Decision;

/** What the store has answered to a take, what it denies, and under which number places were to be taken. */
interface Take {
  readonly reply: Reply;
  readonly denial: Outcome | undefined;
  readonly place: number | undefined;
}

/** Decides calls by what the store grants to each of them alone. */
export class ExactDecider {
  readonly #parts: Parts;
  readonly #outbox: Outbox;
  readonly #releaser: LeaseReleaser;
  readonly #away: Away;

  constructor(parts: Parts, outbox: Outbox, releaser: LeaseReleaser, away: Away) {
    this.#parts = parts;
    this.#outbox = outbox;
    this.#releaser = releaser;
    this.#away = away;
  }

  /** Spends a cost above 0 of what is counted under a key as it is, or of each limit, if any of them costs something. */
  async decide(key: string, boundTier: BoundTier, costMilli: CostMilli): Promise<Decision> {
    const open = this.#parts.openKeys.get(key);
    // Whoever has not answered once in time is not waited for again.
    if (open?.hasUnreconciled && !(await this.#outbox.isFlushed(open))) return this.#away(key, boundTier, costMilli);
    // For want of what is held of it, as of a tier that it was in before, a block would begin.
    if (boundTier.tier.blocks && !this.#isKnown(key, boundTier)) await this.#giveBack(key);
    let take = await this.#take(key, boundTier, costMilli);
    if (take !== undefined && take.denial !== undefined && this.#needsHeld(key, boundTier, costMilli)) {
      await this.#giveBack(key);
      take = await this.#take(key, boundTier, costMilli);
    }
    if (take === undefined) return this.#away(key, boundTier, costMilli);
    return this.#taken(key, boundTier, costMilli, take);
  }

  /** What the store answers, which is known here from then on; undefined if it can't be asked. */
  async #take(key: string, boundTier: BoundTier, costMilli: CostMilli): Promise<Take | undefined> {
    const { decider, session, openKeys, clocks, places } = this.#parts;
    const { tier } = boundTier;
    const about = this.#parts.about(key, tier, decider.look(boundTier, key)?.snapshot);
    const need = typeof costMilli === "number" ? costMilli : costMilli.slice(0, tier.limits.length);
    const place = places.numberFor(tier, costMilli);
    const { present } = tier.hasPlaces ? session : {};
    let reply: Reply;
    try {
      reply = await session.run({ op: "take", ...about, need, want: 0, divisor: 1, outMs: 0, place, present });
    } catch (error) {
      openKeys.obtain(key).failed(error, clocks.nowMs());
      if (place !== undefined) places.doubt(key, tier, costMilli, place);
      return undefined;
    }
    // In the order in which the store has answered: a denial from before a correction must not be believed after it.
    const { lateUntilMs = 0 } = openKeys.get(key) ?? {};
    const denial = deniedOf(reply, () => denialOf({ lateUntilMs }, boundTier, reply, costMilli, 0, clocks.nowMs()));
    if (typeof costMilli === "number") await this.#learn(key, boundTier, reply, denial);
    else await this.#teach(key, boundTier, reply);
    return { reply, denial, place };
  }

  /** Whether a cost is one for each limit, which can't be taken of what is held here of a key, and something is. */
  #needsHeld(key: string, boundTier: BoundTier, costMilli: CostMilli): boolean {
    return typeof costMilli !== "number" && (this.#parts.decider.look(boundTier, key)?.heldMilli ?? 0) > 0;
  }

  /** Whether anything is known here of a key under the rules of a tier. */
  #isKnown(key: string, boundTier: BoundTier): boolean {
    return this.#parts.decider.look(boundTier, key)?.snapshot !== undefined;
  }

  /** Has the store have what is held here of a key. */
  async #giveBack(key: string): Promise<void> {
    this.#parts.decider.giveBack(key, true);
    await this.#releaser.release();
  }

  /** Decides a call by what was taken for it. */
  #taken(key: string, boundTier: BoundTier, costMilli: CostMilli, { reply, denial, place }: Take): Decision {
    const { decider, places } = this.#parts;
    const { tier } = boundTier;
    const held = denial === undefined ? place : undefined;
    if (held !== undefined) places.took(key, tier, costMilli, held, reply.nowMs, true);
    if (typeof costMilli !== "number") {
      const heldMilli = decider.look(boundTier, key)?.heldMilli ?? 0;
      const seen = { epoch: "", atMs: reply.nowMs, spent: reply.spent };
      const allowed = allowedOutcome(reply, spentAt(tier, seen, reply.nowMs, heldMilli));
      const outcome = denial === undefined ? allowed : { ...denial, spent: allowed.spent };
      return decider.conclude(boundTier, key, costMilli, outcome, true, held);
    }
    const surplus = reply.granted - (denial === undefined ? costMilli : 0);
    if (surplus > 0) void this.#releaser.give({ key, tier, boundTier, milli: surplus, takenMs: reply.nowMs });
    return decider.conclude(boundTier, key, costMilli, denial ?? allowedOutcome(reply, reply.spent), true, held);
  }

  /** Has it known here what the store has answered to a take that is used up. */
  async #learn(key: string, boundTier: BoundTier, reply: Reply, denial: Outcome | undefined): Promise<void> {
    const taken = { grantedMilli: reply.granted, heldMilli: () => 0, lastsMs: 0 };
    // Of an exact tier every call is asked about, whatever was denied before.
    const believed = boundTier.tier.isExact ? undefined : denial;
    await new Promise((applied) => {
      this.#parts.replies.add({ key, boundTier, reply, teaches: true, taken, denial: believed, applied });
    });
  }

  /**
   * Has it known here what the store has answered, and leaves what is held as it is; a key that is known under other rules is
   * known anew.
   */
  async #teach(key: string, boundTier: BoundTier, reply: Reply): Promise<void> {
    const { engine, decider, replies } = this.#parts;
    const taken = this.#isKnown(key, boundTier)
      ? {}
      : { taken: { grantedMilli: reply.granted, heldMilli: () => 0, lastsMs: 0 } };
    const teach = () =>
      new Promise<number>((applied) => replies.add({ key, boundTier, reply, teaches: true, ...taken, applied }));
    if ((await teach()) !== APPLIED.STALE) return;
    decider.giveBack(key, true);
    engine.forget(key);
    void this.#releaser.release();
    await teach();
  }
}
