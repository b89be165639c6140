import type { CostMilli } from "../engine/cost.js";
import { readEpoch } from "../engine/epoch.js";
import { OUTCOME } from "../engine/frame.js";
import type { LeaseEngine } from "../engine/lease-engine.js";
import { LEASE_FRAME, LEASE_OUTCOME } from "../engine/lease-frame.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { BoundTiers } from "../limiter/bound-tiers.js";
import { Decision } from "../limiter/decision.js";
import { PlacedDecision } from "../limiter/placed-decision.js";
import { ShadowedDecision } from "../limiter/shadow.js";
import type { Snapshot } from "../store/protocol.js";
import type { Clocks } from "./clocks.js";
import { type Outcome, writeOutcome } from "./outcome.js";
import { SharedDenial } from "./shared-denial.js";

// Own constants of a module, as in limiter.ts.
const { TIER, COST, PLACE, KEY_LENGTH, CODE, VERSION, NOW, SPENT, MONO, HELD, AHEAD } = LEASE_FRAME;
const { WAIT } = LEASE_OUTCOME;
const { LIMIT_MASK, FAILED } = OUTCOME;

/** What is held and known of a key under a tier. */
export interface Standing {
  readonly heldMilli: number;
  /** What it will use in `leaseMs` beyond that. */
  readonly aheadMilli: number;
  readonly snapshot: Snapshot | undefined;
}

/** What this replica holds and knows of keys: an engine of leases, and the decisions that are made of its frame. */
export class LeaseDecider {
  readonly #engine: LeaseEngine;
  readonly #clocks: Clocks;
  readonly #boundTiers: BoundTiers;

  constructor(engine: LeaseEngine, clocks: Clocks, boundTiers: BoundTiers) {
    this.#engine = engine;
    this.#clocks = clocks;
    this.#boundTiers = boundTiers;
  }

  /** Has the engine decide on a call, and spend; what it says stands in the frame, and the result is the code. */
  consume(boundTier: BoundTier, key: string, costMilli: number): number {
    this.#ask(boundTier, costMilli);
    this.#engine.consume(key);
    return this.#engine.frame[CODE] as number;
  }

  /** The same, where nothing is spent. */
  peek(boundTier: BoundTier, key: string, costMilli: number): number {
    this.#ask(boundTier, costMilli);
    this.#engine.peek(key);
    return this.#engine.frame[CODE] as number;
  }

  /** What a take for the key should say; undefined if its tier is known no more. */
  ask(boundTier: BoundTier, key: string): Standing | undefined {
    this.#ask(boundTier, 0);
    this.#engine.ask(key);
    return this.#standing(boundTier);
  }

  /** What is held and known, without a word of what to ask for. */
  look(boundTier: BoundTier, key: string): Standing | undefined {
    this.#ask(boundTier, 0);
    this.#engine.look(key);
    return this.#standing(boundTier);
  }

  /** What is held of a key goes to the returns; `again` lets the store be asked at once. */
  giveBack(key: string, again: boolean): void {
    this.#clocks.stamp(this.#engine.frame);
    this.#engine.giveBack(key, again);
  }

  /** Has what has expired or lies idle go to the returns, or a part of it; whether there is more to do now. */
  sweep(): boolean {
    const { frame } = this.#engine;
    this.#clocks.stamp(frame);
    return this.#engine.sweep(frame[NOW] as number, frame[MONO] as number);
  }

  /** The decision that stands in the frame, made by the tier that was asked or a later version of it. */
  decision(boundTier: BoundTier, key: string, costMilli: CostMilli, spends: boolean): Decision {
    const { frame } = this.#engine;
    const version = frame[VERSION] as number;
    return version === boundTier.version
      ? this.#made(boundTier, key, costMilli, spends)
      : this.#made(this.#boundTiers.ofVersion(version, boundTier.name, boundTier.tierId), key, costMilli, spends);
  }

  /** The decision that an outcome comes to; it is counted if it `spends`. `place` is the number of the place that it has taken. */
  conclude(
    boundTier: BoundTier,
    key: string,
    costMilli: CostMilli,
    outcome: Outcome,
    spends: boolean,
    place = 0,
  ): Decision {
    if (spends) this.#engine.count(boundTier.version, boundTier.tierId, outcome.denied);
    writeOutcome(this.#engine.frame, outcome);
    this.#engine.frame[PLACE] = place;
    return this.#made(boundTier, key, costMilli, spends);
  }

  #made(boundTier: BoundTier, key: string, costMilli: CostMilli, spends: boolean): Decision {
    const { frame } = this.#engine;
    const code = frame[CODE] as number;
    if ((code & WAIT) !== 0) return new SharedDenial(boundTier, key, frame, costMilli);
    if (boundTier.isPlain || (code & LIMIT_MASK) !== 0) {
      return new Decision(boundTier, key, frame, 0, costMilli, spends);
    }
    if (boundTier.shadows.length === 0) return new PlacedDecision(boundTier, key, frame, 0, costMilli, spends);
    return new ShadowedDecision(boundTier, key, frame, 0, costMilli, spends);
  }

  #ask({ tierId }: BoundTier, costMilli: number): void {
    const { frame } = this.#engine;
    this.#clocks.stamp(frame);
    frame[TIER] = tierId;
    frame[COST] = costMilli;
    frame[KEY_LENGTH] = 0;
    frame[CODE] = FAILED;
  }

  #standing({ tier, version }: BoundTier): Standing | undefined {
    const engine = this.#engine;
    const { frame } = engine;
    // By other rules than the tier's the amounts would mean something else.
    if ((frame[CODE] as number) < 0 || frame[VERSION] !== version) return undefined;
    const epoch = readEpoch(engine, frame, 0);
    const spent = tier.limits.map((_, index) => {
      const amount = frame[SPENT + index] as number;
      return Number.isNaN(amount) ? undefined : amount;
    });
    return {
      heldMilli: frame[HELD] as number,
      aheadMilli: frame[AHEAD] as number,
      snapshot: epoch === undefined ? undefined : { epoch, atMs: frame[NOW] as number, spent },
    };
  }
}
