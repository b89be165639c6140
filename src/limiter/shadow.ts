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
  declare private readonly spentOf: Decision[];
  declare private readonly denials: string[];

  constructor(boundTier: BoundTier, key: string, frame: Frame, at: number, costMilli: number, spends: boolean) {
    super(boundTier, key, frame, at, costMilli, spends);
    this.spentOf = [];
    this.denials = [];
  }

  override get shadowDenials(): readonly string[] {
    return this.denials;
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), shadowDenials: this.denials };
  }

  /** Has each shadow limit decide; returns those that would have denied the call. */
  ask(decide: (shadow: BoundTier, key: string, costMilli: number) => ShadowAnswer): readonly string[] {
    if (this.isAsked)
      for (const shadow of this.boundTier.shadows) this.record(shadow, decide(shadow, this.key, this.costMilli));
    return this.denials;
  }

  /** The same, where it may take a while to decide. */
  async askLater(
    decide: (shadow: BoundTier, key: string, costMilli: number) => ShadowAnswer | Promise<ShadowAnswer>,
  ): Promise<readonly string[]> {
    if (this.isAsked) {
      const { boundTier, key, costMilli } = this;
      const answers = await Promise.all(boundTier.shadows.map((shadow) => decide(shadow, key, costMilli)));
      boundTier.shadows.forEach((shadow, index) => void this.record(shadow, answers[index]));
    }
    return this.denials;
  }

  protected override correct(deltaMilli: number, flags: number): boolean {
    const isCorrected = super.correct(deltaMilli, flags);
    if (isCorrected) for (const decision of this.spentOf) decision.amend(deltaMilli, flags);
    return isCorrected;
  }

  override get holdsPlace(): boolean {
    return super.holdsPlace || this.spentOf.some(({ holdsPlace }) => holdsPlace);
  }

  override release(): boolean {
    const isFreed = super.release();
    for (const decision of this.spentOf) decision.release();
    return isFreed;
  }

  /** A denied call has spent nothing of anything, and one that costs nothing touches nothing. */
  private get isAsked(): boolean {
    return this.allowed && this.costMilli > 0;
  }

  private record(shadow: BoundTier, answer: ShadowAnswer): void {
    if (answer === undefined) return;
    if (answer !== "denied" && answer.allowed) this.spentOf.push(answer);
    else this.denials.push(...shadow.tier.limits.map(({ name }) => name));
  }
}
