import { Recent } from "../engine/recent.js";
import { joinTiers, shadowedTier, splitTiers } from "../engine/shadow-tiers.js";
import type { Tiers } from "../engine/spec.js";
import { compileTiers, type SlotNames, slotsFor, type Tier } from "../engine/tier.js";
import { limiterClosed, unknownTier } from "../limiter/misuse.js";
import { compileOverridden } from "../limiter/overrides.js";
import { kindsOf, type LimitKinds } from "../store/limit-kinds.js";
import { type Corrector, SharedTier } from "./shared-tier.js";

/** Tiers with overrides that are held ready. */
const MAX_OVERRIDDEN = 32_768;

/** Who decides for each tier in force in this replica, and for those with overrides that were asked for. */
export class SharedTiers {
  readonly #corrector: Corrector;
  readonly #slots: SlotNames = new Map();
  readonly #maxSlots: number;
  #version = -1;
  #tiers: Tiers;
  #kinds: LimitKinds = new Map();
  #inForce = new Map<string, SharedTier>();
  readonly #overridden = new Recent<string, SharedTier>(MAX_OVERRIDDEN);
  /** By tier, shadow limits too; those with overrides as long as somebody holds them. */
  #boundTierOf = new WeakMap<Tier, SharedTier>();

  constructor(tiers: Tiers, corrector: Corrector) {
    this.#corrector = corrector;
    this.#tiers = this.#enact(tiers);
    this.#maxSlots = slotsFor(this.#slots.size);
  }

  /** The tiers in force. */
  get tiers(): Tiers {
    return this.#tiers;
  }

  /** What the names of the limits in force stand for; those of shadow limits are counted apart. */
  get kinds(): LimitKinds {
    return this.#kinds;
  }

  /** All that are ready; those of shadow limits stand with the tiers that they are of. */
  get all(): SharedTier[] {
    return [...this.#inForce.values(), ...this.#overridden.values()];
  }

  /**
   * Who decides for a tier, or for one with overrides.
   *
   * @throws {TollkeeperError} `ERR_TIER_UNKNOWN`, `ERR_LIMITER_CLOSED`
   */
  of(name: string): SharedTier {
    return this.#inForce.get(name) ?? this.#overridden.get(name) ?? this.#override(name);
  }

  /** Who decides by a compiled tier, also a shadow limit's; undefined if it is in force no more. */
  by(tier: Tier): SharedTier | undefined {
    return this.#boundTierOf.get(tier);
  }

  /** @throws {TollkeeperError} `ERR_TIERS_INVALID`; then nothing has changed. */
  reload(tiers: Tiers): void {
    this.#tiers = this.#enact(tiers);
  }

  /** Has every look-up find the limiter closed. */
  clear(): void {
    this.#inForce = new Map();
    this.#overridden.clear();
  }

  /** Makes a tier with overrides ready that was not asked for since the last reload. */
  #override(name: string): SharedTier {
    if (this.#corrector.isClosed()) throw limiterClosed();
    const tier = compileOverridden(name, this.#tiers, this.#slots);
    if (tier === undefined) throw unknownTier(name, this.#inForce);
    const overridden = new SharedTier(tier, -1, this.#version, this.#corrector);
    overridden.shadows.push(...(this.#inForce.get(tier.name)?.shadows ?? []));
    this.#overridden.set(name, overridden);
    this.#boundTierOf.set(tier, overridden);
    return overridden;
  }

  /** Puts tiers in force; returns them as they are kept. */
  #enact(tiers: Tiers): Tiers {
    const split = structuredClone(splitTiers(tiers));
    compileTiers(tiers, new Map(this.#slots), this.#maxSlots);
    const compiled = compileTiers(split, this.#slots, this.#maxSlots);
    this.#version++;
    const inForce = new Map<string, SharedTier>();
    this.#boundTierOf = new WeakMap();
    this.#overridden.clear();
    for (const [id, tier] of [...compiled.values()].entries()) {
      const boundTier = new SharedTier(tier, id, this.#version, this.#corrector);
      const of = shadowedTier(tier.name);
      if (of === undefined) inForce.set(tier.name, boundTier);
      else inForce.get(of)?.shadows.push(boundTier);
      this.#boundTierOf.set(tier, boundTier);
    }
    this.#inForce = inForce;
    this.#kinds = kindsOf([...inForce.values()].map(({ tier }) => tier));
    return joinTiers(split);
  }
}
