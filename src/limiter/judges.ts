import { compileTiers, type SlotNames, slotsFor, type Tier } from "../engine/tier.js";
import type { TierStats, Tiers } from "../engine/types.js";
import { type Corrector, SharedJudge, type Tally } from "./shared-judge.js";

/** The judges of the tiers in force, and what each tier has decided. */
export class Judges {
  readonly #corrector: Corrector;
  readonly #slots: SlotNames = new Map();
  readonly #tallies = new Map<string, Tally>();
  #maxSlots: number | undefined;
  #tiers: Tiers = {};
  #version = -1;
  #named = new Map<string, SharedJudge>();

  /** @throws {TollkeeperError} `ERR_TIERS_INVALID` */
  constructor(tiers: Tiers, corrector: Corrector) {
    this.#corrector = corrector;
    this.enact(tiers);
    this.#maxSlots = slotsFor(this.#slots.size);
  }

  get tiers(): Tiers {
    return this.#tiers;
  }

  /** By the names of their tiers. */
  get named(): ReadonlyMap<string, SharedJudge> {
    return this.#named;
  }

  /** One of them, if there is one. */
  get any(): SharedJudge | undefined {
    return this.#named.values().next().value;
  }

  get(name: string): SharedJudge | undefined {
    return this.#named.get(name);
  }

  /** The judge of a tier, which may be in force no more. */
  of(tier: Tier): SharedJudge {
    const present = this.#named.get(tier.name);
    if (present?.tier === tier) return present;
    return new SharedJudge(tier, -1, -1, this.#corrector, { allowed: 0, denied: new Map() });
  }

  /**
   * Puts other tiers in force.
   *
   * @throws {TollkeeperError} `ERR_TIERS_INVALID`; then nothing has changed.
   */
  enact(tiers: Tiers): void {
    const own = structuredClone(tiers);
    const compiled = compileTiers(own, this.#slots, this.#maxSlots);
    this.#tiers = own;
    this.#version++;
    this.#named = new Map(
      [...compiled.values()].map((tier, id) => {
        const tally = this.#tallies.get(tier.name) ?? { allowed: 0, denied: new Map() };
        this.#tallies.set(tier.name, tally);
        return [tier.name, new SharedJudge(tier, id, this.#version, this.#corrector, tally)];
      }),
    );
  }

  /** Lets nobody be judged any more. */
  clear(): void {
    this.#named = new Map();
  }

  /** What the tiers have decided, also those that are in force no more. */
  stats(): TierStats[] {
    return [...this.#tallies].map(([tier, { allowed, denied }]) => ({
      tier,
      allowed,
      denied: Object.fromEntries(denied),
    }));
  }

  /** Tokens per second that the fastest bucket refills. */
  get highestRate(): number {
    const rates = [...this.#named.values()].flatMap(({ tier }) =>
      tier.limits.flatMap(({ rule }) => (rule.type === "bucket" ? [rule.perMs / rule.perMilli] : [])),
    );
    return Math.max(0, ...rates);
  }
}
