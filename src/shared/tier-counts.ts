import type { TierStats } from "../engine/engine.js";

/** Counts decisions by tier, and denials by the limit that denied. */
export class TierCounts {
  readonly #tiers = new Map<string, { allowed: number; denied: Map<string, number> }>();

  /** Has tiers be told of before they have decided. */
  include(tiers: Iterable<string>): void {
    for (const tier of tiers) if (!this.#tiers.has(tier)) this.#tiers.set(tier, { allowed: 0, denied: new Map() });
  }

  /** Counts a decision; `deniedBy` is undefined where it was allowed. */
  add(tier: string, deniedBy: string | undefined): void {
    const counts = this.#tiers.get(tier);
    if (counts === undefined) return;
    if (deniedBy === undefined) counts.allowed++;
    else counts.denied.set(deniedBy, (counts.denied.get(deniedBy) ?? 0) + 1);
  }

  read(): TierStats[] {
    return [...this.#tiers].map(([tier, { allowed, denied }]) => ({
      tier,
      allowed,
      denied: Object.fromEntries(denied),
    }));
  }
}
