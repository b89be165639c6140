import { type CostMilli, costAt, isFree } from "../engine/cost.js";
import { type Frame, OUTCOME } from "../engine/frame.js";
import type { LeaseEngine } from "../engine/lease-engine.js";
import { LEASE_FRAME, LEASE_OUTCOME, WITHOUT_NUL } from "../engine/lease-frame.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import { Decision } from "../limiter/decision.js";
import type { Grant } from "../limiter/grant.js";
import type { Command, Reply } from "../store/protocol.js";
import type { Clocks } from "./clocks.js";
import { ExactDecider } from "./exact-decider.js";
import { Granter } from "./granter.js";
import { LeaseAcquirer, SWEEPS } from "./lease-acquirer.js";
import { LeaseReleaser } from "./lease-releaser.js";
import type { OpenKey } from "./open-key.js";
import { Outage } from "./outage.js";
import { Outbox } from "./outbox.js";
import { outcomeOf, spentAt } from "./outcome.js";
import { ownKey } from "./own-key.js";
import type { Parts } from "./parts.js";
import { report } from "./report.js";
import type { Session, SessionState } from "./session.js";
import { type Unreconciled, unreconciled } from "./unreconciled.js";

// Own constants of a module, as in limiter.ts.
const { TIER, COST, KEY_LENGTH, CODE, VERSION } = LEASE_FRAME;
const { LOW, RETURNS, ASK, NUL } = LEASE_OUTCOME;
const { FAILED, TIER_UNKNOWN } = OUTCOME;
/** What a decision alone has none of. */
const BESIDES = LOW | RETURNS | ASK | NUL;

/** Decides calls from what is leased, what the store grants, and, while that is away, by the outage policy. */
export class Leases {
  readonly #parts: Parts;
  // What every call needs is at hand.
  readonly #engine: LeaseEngine;
  readonly #frame: Frame;
  readonly #clocks: Clocks;
  readonly #session: Session;
  readonly #outbox: Outbox;
  readonly #outage: Outage;
  readonly #releaser: LeaseReleaser;
  readonly #acquirer: LeaseAcquirer;
  readonly #exact: ExactDecider;
  readonly #granter: Granter;
  #stopSweep: () => void = () => undefined;
  #isEnded = false;
  /** Whether the table is left with what the store could not be told. */
  #isLeft = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#engine = parts.engine;
    this.#frame = parts.engine.frame;
    this.#clocks = parts.clocks;
    this.#session = parts.session;
    this.#outbox = new Outbox(parts);
    this.#outage = new Outage(parts, this.#outbox);
    this.#releaser = new LeaseReleaser(parts, this.#outbox);
    this.#acquirer = new LeaseAcquirer(parts, this.#outbox, this.#releaser);
    this.#exact = new ExactDecider(parts, this.#outbox, this.#releaser, (...call) => this.#away(...call));
    this.#granter = new Granter(parts, (key) => this.changed(key, false));
    this.#sweepLater();
  }

  /** Thousandths admitted that the store has not heard of. */
  get unreconciled(): number {
    return this.#outbox.unreconciled;
  }

  /** Spends a cost above 0 of a caller's key under a tier that is leased, as long as the store is there. Throws on misuse. */
  consume(key: string, boundTier: BoundTier, costMilli: number): Decision | Promise<Decision> {
    const frame = this.#frame;
    this.#clocks.stamp(frame);
    frame[TIER] = boundTier.tierId;
    frame[COST] = costMilli;
    frame[KEY_LENGTH] = WITHOUT_NUL;
    frame[CODE] = FAILED;
    this.#engine.consume(key);
    const code = frame[CODE] as number;
    // Nearly every call: allowed, and nothing besides.
    if (code === 0 && frame[VERSION] === boundTier.version) {
      return decided(boundTier, key, frame, costMilli);
    }
    if (code === NUL) return this.consumeOwn(ownKey(key), boundTier, costMilli);
    return this.#consumed(code, key, boundTier, costMilli);
  }

  /**
   * Spends a cost above 0, or any of a tier without limits, of what is counted under a key as it is. Throws where a decision
   * can't be made.
   */
  consumeOwn(key: string, boundTier: BoundTier, costMilli: number): Decision | Promise<Decision> {
    if (boundTier.tier.isExact) return this.consumeAlone(key, boundTier, costMilli);
    if (!this.#session.isReady) return this.#away(key, boundTier, costMilli);
    return this.#consumed(this.#parts.decider.consume(boundTier, key, costMilli), key, boundTier, costMilli);
  }

  /** The same where the store decides by itself: of an exact tier, or of a cost for each limit, of which some is above 0. */
  consumeAlone(key: string, boundTier: BoundTier, costMilli: CostMilli): Decision | Promise<Decision> {
    if (!this.#mayAsk(this.#parts.openKeys.get(key))) return this.#outage.decide(key, boundTier, costMilli, true);
    return this.#exact.decide(key, boundTier, costMilli);
  }

  /** What `consume` would say; if it `spends`, its cost is 0, and the decision is counted and can be corrected. */
  peek(key: string, boundTier: BoundTier, costMilli: CostMilli, spends: boolean): Decision | Promise<Decision> {
    const open = this.#parts.openKeys.get(key);
    if (!this.#mayAsk(open)) return this.#outage.decide(key, boundTier, costMilli, spends);
    if (open?.hasUnreconciled) {
      return this.#outbox.flush(open).then(() => this.#askPeek(key, boundTier, costMilli, spends));
    }
    if (boundTier.tier.isExact) return this.#askPeek(key, boundTier, costMilli, spends);
    const isOfEach = typeof costMilli !== "number";
    if (isOfEach && !isFree(costMilli, boundTier.tier.limits.length)) {
      return this.#askPeek(key, boundTier, costMilli, spends);
    }
    const cost = isOfEach ? 0 : costMilli;
    const code = this.#parts.decider.peek(boundTier, key, cost);
    if (code < 0) return this.peek(key, this.#renewed(code, key, boundTier, cost), costMilli, spends);
    if ((code & ASK) !== 0) return this.#askPeek(key, boundTier, costMilli, spends);
    const decision = this.#parts.decider.decision(boundTier, key, costMilli, spends);
    if (spends) this.#engine.count(boundTier.version, boundTier.tierId, 0);
    return decision;
  }

  /** What the outage policy would say of a call that it decides; undefined if the store can be asked, or enough is held. */
  peekAway(key: string, boundTier: BoundTier, costMilli: CostMilli): Decision | undefined {
    if (this.#mayAsk(this.#parts.openKeys.get(key))) return undefined;
    const { heldMilli = 0 } = this.#parts.decider.look(boundTier, key) ?? {};
    if (typeof costMilli === "number" && heldMilli >= costMilli) return undefined;
    return this.#outage.decide(key, boundTier, costMilli, false);
  }

  /** What a call would be told by what is known here of its key, and nothing else. */
  standing(key: string, boundTier: BoundTier, costMilli: CostMilli): Decision {
    const { decider, clocks } = this.#parts;
    const { tier } = boundTier;
    const { snapshot, heldMilli = 0 } = decider.look(boundTier, key) ?? {};
    const nowMs = Math.max(clocks.storeMs(), snapshot?.atMs ?? 0);
    const lagMs = nowMs - clocks.storeMs();
    const outcome = outcomeOf(tier, spentAt(tier, snapshot, nowMs, heldMilli), costMilli, { nowMs, lagMs, backMs: 0 });
    return decider.conclude(boundTier, key, costMilli, outcome, false);
  }

  /** Forgets a key everywhere. */
  async reset(key: string, { tier }: BoundTier): Promise<void> {
    this.#forget(key);
    const open = this.#parts.openKeys.get(key);
    if (open !== undefined) open.resets++;
    await this.#session.run({ op: "reset", ...this.#parts.about(key, tier) });
    // What was asked before was answered before.
    await this.#parts.replies.takenIn();
    this.#engine.forget(key);
  }

  /** Grants a key tokens of a quota, as {@link Granter.grant} does. */
  grant(key: string, boundTier: BoundTier, grant: Grant): Promise<boolean> {
    return this.#granter.grant(key, boundTier, grant);
  }

  /** Corrects what a tier has decided, now or when the store is back. */
  correct(
    key: string,
    boundTier: BoundTier,
    deltaMilli: CostMilli,
    atMs: number,
    how: Pick<Unreconciled, "quotasOnly" | "unused">,
  ): void {
    const { tier } = boundTier;
    if (tier.limits.length === 0) return;
    const deltas = tier.limits.map((_, index) => costAt(deltaMilli, index));
    const tell = deltas.some((delta) => delta < 0);
    // In exact mode nobody is told what was so before.
    if (this.#isExact(boundTier)) this.#parts.decider.giveBack(key, true);
    this.#outbox.queue(key, unreconciled({ tier, boundTier, deltas, atMs, ...how, tell }));
  }

  /** Somebody else has changed the key. */
  changed(key: string, isReset: boolean): void {
    if (isReset) {
      this.#forget(key);
    } else {
      this.#parts.decider.giveBack(key, true);
      this.#lookAgain(key);
      void this.#releaser.release();
    }
  }

  /** Another replica has nothing left of the key: here it would only lie idle. */
  wanted(key: string): void {
    this.#parts.decider.giveBack(key, false);
    void this.#releaser.release();
  }

  stateChanged(state: SessionState): void {
    if (state !== "ready") return;
    this.#outage.over();
    this.#outbox.inherit();
    void this.#outbox.flushAll();
    void this.#parts.places.tell();
  }

  hasState(): boolean {
    return this.#parts.openKeys.size > 0 || this.#parts.places.isHeld || this.#parts.replies.hasTaught;
  }

  /** Reports to a server that may have lost it what is known of every key. */
  async report(): Promise<void> {
    await report(this.#parts);
    await this.#parts.places.report();
  }

  /** Places that running calls of this thread hold. */
  get places(): number {
    return this.#parts.places.held;
  }

  /** Gives the places of a decision back. */
  release(key: string, place: number): boolean {
    return this.#parts.places.release(key, place);
  }

  /** A command that was given up has been carried out after all. */
  late(command: Command, reply: Reply): void {
    this.#releaser.late(command, reply);
  }

  /**
   * Charges what is unreconciled, and waits for what is still being taken. Whoever is the last of the table gives back all
   * that it holds; whether it was. What can't be charged is left under the name of the table, where it has one.
   */
  async drain(): Promise<boolean> {
    this.#isEnded = true;
    this.#stopSweep();
    await this.#acquirer.end();
    const { engine } = this.#parts;
    if (engine.users === 1) engine.drain();
    await this.#settle();
    this.#isLeft = this.#outbox.bequeath();
    if (this.#isLeft) return false;
    const isLast = engine.leave();
    if (isLast) engine.drain();
    await this.#settle();
    await this.#outbox.leave();
    return isLast;
  }

  /** Lets the table go. */
  close(): void {
    this.#parts.replies.close();
    if (this.#isLeft) this.#engine.abandon();
    else this.#engine.close();
  }

  /** Gives back what is to be, and charges what this thread owes, and those that have ended. */
  async #settle(): Promise<void> {
    this.#outbox.inherit();
    const settled = [this.#releaser.release()];
    if (this.#session.isReady) settled.push(this.#outbox.flushAll());
    await Promise.allSettled(settled);
  }

  #consumed(code: number, key: string, boundTier: BoundTier, costMilli: number): Decision | Promise<Decision> {
    if (code >= 0 && (code & BESIDES) === 0) return this.#parts.decider.decision(boundTier, key, costMilli, true);
    if (code < 0) return this.consumeOwn(key, this.#renewed(code, key, boundTier, costMilli), costMilli);
    return this.#told(code, key, boundTier, costMilli) ?? this.#ask(key, boundTier, costMilli);
  }

  /** Whether the store decides on each call by itself, and nothing is taken ahead. */
  #isExact({ tier }: BoundTier): boolean {
    return tier.isExact || this.#parts.options.mode === "exact";
  }

  #mayAsk(open: OpenKey | undefined): boolean {
    return this.#session.isReady && !(open !== undefined && this.#clocks.nowMs() < open.brokenUntilMs);
  }

  /** The tier made anew that the engine does not know any more, if that is what is wrong; else throws what is. */
  #renewed(code: number, key: string, boundTier: BoundTier, costMilli: number): BoundTier {
    const { name } = boundTier;
    if (code === TIER_UNKNOWN && this.#parts.boundTiers.renew(name)) return this.#parts.boundTiers.of(name);
    throw this.#parts.boundTiers.misuse(code, key, name, costMilli / 1000);
  }

  /** Does what is told beside a decision; the decision, if there is one. */
  #told(code: number, key: string, boundTier: BoundTier, costMilli: number): Decision | undefined {
    const decision = (code & ASK) === 0 ? this.#parts.decider.decision(boundTier, key, costMilli, true) : undefined;
    if ((code & LOW) !== 0) this.#acquirer.prefetch(key, boundTier);
    if ((code & RETURNS) !== 0) void this.#releaser.release();
    return decision;
  }

  /** Asks the store for a call that can't be decided here. */
  #ask(key: string, boundTier: BoundTier, costMilli: number): Decision | Promise<Decision> {
    if (!this.#mayAsk(this.#parts.openKeys.get(key))) return this.#outage.decide(key, boundTier, costMilli, true);
    if (this.#isExact(boundTier)) return this.#exact.decide(key, boundTier, costMilli);
    return new Promise((resolve, reject) => {
      this.#acquirer.wait(this.#parts.openKeys.obtain(key), {
        boundTier,
        costMilli,
        decided: resolve,
        rejected: reject,
        failed: () => resolve(this.#later(key, boundTier, costMilli)),
        alone: () => resolve(this.#exact.decide(key, boundTier, costMilli)),
        misses: 0,
      });
    });
  }

  async #later(key: string, boundTier: BoundTier, costMilli: number): Promise<Decision> {
    return this.#away(key, boundTier, costMilli);
  }

  /** Decides a call that the store can't be asked about: from what is held, or by the outage policy. */
  #away(key: string, boundTier: BoundTier, costMilli: CostMilli): Decision {
    if (typeof costMilli !== "number" || boundTier.tier.isExact) {
      return this.#outage.decide(key, boundTier, costMilli, true);
    }
    const standing = this.#parts.decider.look(boundTier, key);
    // What is known under another tier is brought under this one by asking.
    if (standing?.snapshot === undefined || standing.heldMilli >= costMilli) {
      const code = this.#parts.decider.consume(boundTier, key, costMilli);
      const decision = code < 0 ? undefined : this.#told(code, key, boundTier, costMilli);
      if (decision !== undefined) return decision;
    }
    return this.#outage.decide(key, boundTier, costMilli, true);
  }

  async #askPeek(key: string, boundTier: BoundTier, costMilli: CostMilli, spends: boolean): Promise<Decision> {
    const { tier } = boundTier;
    const need = typeof costMilli === "number" ? costMilli : costMilli.slice(0, tier.limits.length);
    const snapshot = this.#parts.decider.look(boundTier, key)?.snapshot;
    let reply: Reply;
    try {
      const { present } = tier.hasPlaces ? this.#session : {};
      reply = await this.#session.run({ op: "peek", ...this.#parts.about(key, tier, snapshot), need, present });
    } catch {
      return this.#outage.decide(key, boundTier, costMilli, spends);
    }
    // What it says of the key is written nowhere, and may be of an epoch that never begins.
    this.#parts.replies.add({ key, boundTier, reply, teaches: false });
    const seen = { epoch: "", atMs: reply.nowMs, spent: reply.spent };
    const held = this.#parts.decider.look(boundTier, key)?.heldMilli ?? 0;
    const outcome = outcomeOf(tier, spentAt(tier, seen, reply.nowMs, held), costMilli, reply);
    return this.#parts.decider.conclude(boundTier, key, costMilli, outcome, spends);
  }

  #forget(key: string): void {
    this.#engine.forget(key);
    this.#parts.places.forget(key);
    const open = this.#parts.openKeys.get(key);
    if (open !== undefined) open.fallback = undefined;
    this.#lookAgain(key);
  }

  /** Lets the store be asked again, since somebody has changed the key there. */
  #lookAgain(key: string): void {
    const open = this.#parts.openKeys.get(key);
    if (open !== undefined) open.brokenUntilMs = 0;
  }

  #sweepLater(): void {
    this.#stopSweep = this.#parts.runtime.after(this.#parts.options.leaseMs / SWEEPS, () => this.#sweep());
  }

  /** Gives back what has expired or lies idle; a part at a time, with turns of the event loop for others between. */
  #sweep(): void {
    if (this.#isEnded) return;
    const hasMore = this.#parts.decider.sweep();
    void this.#releaser.release();
    if (hasMore) {
      this.#parts.runtime.soon(() => this.#sweep());
    } else {
      this.#parts.openKeys.sweep(this.#clocks.nowMs());
      this.#parts.places.sweep();
      this.#outbox.inherit();
      this.#sweepLater();
    }
  }
}

/**
 * By itself: V8 makes one piece of a call of `consume` only up to a size, and a constructor that is left out of it costs
 * several times as much as a function.
 */
function decided(boundTier: BoundTier, key: string, frame: Frame, costMilli: number): Decision {
  return new Decision(boundTier, key, frame, 0, costMilli, true);
}
