import type { CostMilli } from "../engine/cost.js";
import type { Engine } from "../engine/engine.js";
import { FRAME, OUTCOME } from "../engine/frame.js";
import type { TollkeeperError } from "../errors.js";
import type { BoundTier } from "./bound-tier.js";
import type { BoundTiers } from "./bound-tiers.js";
import type { Calls } from "./calls.js";
import { excessOf, milliOf, writeCost } from "./costs.js";
import { Decision } from "./decision.js";
import { checkedKey } from "./misuse.js";
import { PlacedDecision } from "./placed-decision.js";
import { ShadowedDecision } from "./shadow.js";

// Own constants of a module, as in limiter.ts.
const { TIER, KEY_LENGTH, NOW, CODE, VERSION, ROW, ROWS } = FRAME;

/** Many calls decided at one instant, with one crossing into the engine for as many as its frame has rows. */
export class Batch {
  readonly #engine: Engine;
  readonly #boundTiers: BoundTiers;
  readonly #calls: Calls;
  readonly #nowMs: number;
  /** Whether a call failed since the engine has forgotten its overrides. */
  #forgotten = false;

  constructor(engine: Engine, boundTiers: BoundTiers, calls: Calls, nowMs: number) {
    this.#engine = engine;
    this.#boundTiers = boundTiers;
    this.#calls = calls;
    this.#nowMs = nowMs;
  }

  /**
   * Decides on the calls in order, each by itself; shadow limits are not asked.
   *
   * @throws {TollkeeperError} as {@link Limiter.consumeMany} does.
   */
  consume(): Decision[] {
    const { version } = this.#boundTiers;
    const decisions: Decision[] = [];
    try {
      this.#decide(decisions);
      return decisions;
    } catch (error) {
      for (const decision of decisions) {
        decision.refund();
        decision.release();
      }
      this.#boundTiers.refreshIfReloaded();
      if (this.#boundTiers.version === version && !this.#forgotten) throw error;
      // Another thread has reloaded the tiers since they were looked up, or the engine has forgotten overrides; by those
      // in force it may well be right.
      this.#forgotten = false;
      return this.consume();
    }
  }

  #decide(decisions: Decision[]): void {
    const { keys } = this.#calls;
    const count = keys.length;
    for (let start = 0; start < count; start += ROWS) this.#ask(start);
    for (let start = 0; start < count; start += ROWS) {
      // What fits into the frame was asked when it was checked.
      if (count > ROWS) this.#ask(start);
      const asked = count > ROWS ? keys.slice(start, start + ROWS) : keys;
      this.#engine.consumeMany(asked.join(""), asked.length);
      const failure = this.#read(start, decisions);
      if (failure !== undefined) throw failure;
    }
  }

  /** Checks as many calls from `start` on as the frame has rows, and writes them there. */
  #ask(start: number): void {
    const calls = this.#calls;
    const { frame } = this.#engine;
    const end = Math.min(calls.keys.length, start + ROWS);
    let boundTier: BoundTier | undefined;
    let tierId = 0;
    let costMilli: CostMilli = 0;
    for (let index = start, row = 0; index < end; index++, row += ROW) {
      const key = checkedKey(calls.keys[index]);
      // Most batches are of one tier and one cost.
      if (index === start || !calls.isLikeLast(index)) {
        boundTier = this.#boundTiers.of(calls.tierOf(index));
        costMilli = milliOf(calls.costOf(index), boundTier);
        const excess = excessOf(costMilli, boundTier);
        if (excess !== undefined) throw excess;
        tierId = boundTier.tierId;
      }
      frame[row + TIER] = tierId;
      writeCost(frame, row, boundTier as BoundTier, costMilli);
      frame[row + KEY_LENGTH] = key.length;
      frame[row + NOW] = this.#nowMs;
      frame[row + CODE] = OUTCOME.FAILED;
    }
  }

  /**
   * Reads what became of the calls that {@link Batch.#ask} has written into the frame, all of them; returns why the
   * first failed that did.
   */
  #read(start: number, decisions: Decision[]): TollkeeperError | undefined {
    const calls = this.#calls;
    const { frame } = this.#engine;
    const end = Math.min(calls.keys.length, start + ROWS);
    let failed: number | undefined;
    let boundTier: BoundTier | undefined;
    let costMilli: CostMilli | undefined;
    for (let index = start, row = 0; index < end; index++, row += ROW) {
      const key = calls.keys[index] as string;
      const tierName = calls.tierOf(index);
      if ((frame[row + CODE] as number) < 0) {
        failed ??= index;
        continue;
      }
      if (index === start || !calls.isLikeLast(index)) {
        if (index === start || tierName !== calls.tierOf(index - 1)) boundTier = this.#boundTiers.ready(tierName);
        costMilli = undefined;
      }
      const version = frame[row + VERSION] as number;
      if (boundTier?.version !== version) {
        boundTier = this.#boundTiers.ofVersion(version, tierName, frame[row + TIER] as number);
        costMilli = undefined;
      }
      costMilli ??= milliOf(calls.costOf(index), boundTier);
      const Made = boundTier.isPlain ? Decision : boundTier.shadows.length === 0 ? PlacedDecision : ShadowedDecision;
      decisions.push(new Made(boundTier, key, frame, row, costMilli, true));
    }
    if (failed === undefined) return undefined;
    const code = frame[(failed - start) * ROW + CODE] as number;
    if (code === OUTCOME.TIER_UNKNOWN) this.#forgotten = this.#boundTiers.renew(calls.tierOf(failed));
    return this.#boundTiers.misuse(code, calls.keys[failed], calls.tierOf(failed), calls.costOf(failed));
  }
}
