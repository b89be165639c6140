import { type CostMilli, costAt } from "../engine/cost.js";
import type { Frame } from "../engine/frame.js";
import type { BoundTier } from "./bound-tier.js";
import type { Decision } from "./decision.js";
import { PlacedDecision } from "./placed-decision.js";

/** What shadow mode would have denied. */
export interface ShadowDenials {
  /** The caller's tier. */
  tier: string;
  /** The limit; empty for a call that costs more than its tier ever holds. */
  limit: string;
  /** Calls. */
  denials: number;
}

/** Counts what shadow mode would have denied, by tier and limit. */
export class ShadowCounts {
  readonly #tiers = new Map<string, Map<string, number>>();

  add(tier: string, limit: string): void {
    const limits = this.#tiers.get(tier) ?? new Map<string, number>();
    this.#tiers.set(tier, limits.set(limit, (limits.get(limit) ?? 0) + 1));
  }

  read(): ShadowDenials[] {
    return [...this.#tiers].flatMap(([tier, limits]) =>
      [...limits].map(([limit, denials]) => ({ tier, limit, denials })),
    );
  }
}

/** What one shadow limit says: `denied` if the call costs more than it ever holds, undefined if it can't be asked. */
export type ShadowAnswer = Decision | "denied" | undefined;

/** A decision of a tier that has shadow limits, each of which has decided for itself if the call was allowed. */
export class ShadowedDecision extends PlacedDecision {
  declare private readonly spentOf: { readonly index: number; readonly decision: Decision }[];
  declare private readonly denials: string[];

  constructor(boundTier: BoundTier, key: string, frame: Frame, at: number, costMilli: CostMilli, spends: boolean) {
    super(boundTier, key, frame, at, costMilli, spends);
    this.spentOf = [];
    this.denials = [];
  }

  override get shadowDenials(): readonly string[] {
    return this.denials;
  }

  /** Has each shadow limit decide; returns those that would have denied the call. */
  ask(decide: (shadow: BoundTier, key: string, costMilli: number) => ShadowAnswer): readonly string[] {
    for (const { shadow, index, costMilli } of this.asked()) {
      this.record(shadow, index, decide(shadow, this.key, costMilli));
    }
    return this.denials;
  }

  /** The same, where it may take a while to decide. */
  async askLater(
    decide: (shadow: BoundTier, key: string, costMilli: number) => ShadowAnswer | Promise<ShadowAnswer>,
  ): Promise<readonly string[]> {
    const asked = this.asked();
    const answers = await Promise.all(asked.map(({ shadow, costMilli }) => decide(shadow, this.key, costMilli)));
    asked.forEach(({ shadow, index }, at) => void this.record(shadow, index, answers[at]));
    return this.denials;
  }

  protected override correct(deltaMilli: CostMilli, flags: number, nowMs: number): void {
    super.correct(deltaMilli, flags, nowMs);
    for (const { index, decision } of this.spentOf) decision.amend(this.costOfShadow(deltaMilli, index), flags, nowMs);
  }

  /**
   * The shadow limits that are to decide. A denied call has spent nothing of anything, and one that costs nothing touches
   * nothing; but what costs nothing of some limits may be charged for these later.
   */
  private asked() {
    if (!this.allowed || this.costMilli === 0) return [];
    return this.boundTier.shadows.map((shadow, index) => {
      return { shadow, index, costMilli: this.costOfShadow(this.costMilli, index) };
    });
  }

  override get holdsPlace(): boolean {
    return super.holdsPlace || this.spentOf.some(({ decision }) => decision.holdsPlace);
  }

  override release(): boolean {
    const freed = [super.release(), ...this.spentOf.map(({ decision }) => decision.release())];
    return freed.includes(true);
  }

  private costOfShadow(cost: CostMilli, index: number): number {
    return costAt(cost, this.boundTier.tier.limits.length + index);
  }

  private record(shadow: BoundTier, index: number, answer: ShadowAnswer): void {
    if (answer === undefined) return;
    if (answer !== "denied" && answer.allowed) this.spentOf.push({ index, decision: answer });
    else this.denials.push(...shadow.tier.limits.map(({ name }) => name));
  }
}
