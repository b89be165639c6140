import type { Cost } from "../engine/cost.js";
import type { Engine } from "../engine/engine.js";
import { OUTCOME } from "../engine/frame.js";
import { Recent } from "../engine/recent.js";
import { joinTiers, shadowedTier, splitTiers } from "../engine/shadow-tiers.js";
import type { Tiers } from "../engine/spec.js";
import { compileTiers, type SlotNames, slotsFor, type Tier } from "../engine/tier.js";
import { TollkeeperError } from "../errors.js";
import type { BoundTier, Correct, Release } from "./bound-tier.js";
import { excessOf, milliOf } from "./costs.js";
import { excessiveCost, invalidCost, invalidKey, limiterClosed, unknownTier } from "./misuse.js";
import { compileOverridden, plainTier } from "./overrides.js";

/** Tiers with overrides that are held ready; as many as the engine holds. */
const MAX_OVERRIDDEN = 32_768;

/** The part of an engine that knows tiers. */
type TierEngine = Pick<Engine, "version" | "tiersOf" | "tierId" | "overrideTier" | "reload">;

/** What all bound tiers of a limiter have in common. */
interface InCommon {
  readonly correct: Correct;
  readonly release: Release;
  readonly clock: () => number;
  readonly isClosed: () => boolean;
}

/**
 * Who decides for each tier in force, and for those with overrides that were asked for. Another thread may reload the
 * tiers at any time: here they are made ready anew once that shows.
 */
export class BoundTiers {
  readonly #inCommon: InCommon;
  readonly #engine: TierEngine;
  /** The names that this thread's compiled tiers give to slots; only their arithmetic is used here. */
  readonly #slots: SlotNames = new Map();
  readonly #maxSlots: number;
  #version = 0;
  #tiers: Tiers = {};
  #inForce = new Map<string, BoundTier>();
  /** Those of tiers with overrides, of the version that was last made ready. */
  readonly #overridden = new Recent<string, BoundTier>(MAX_OVERRIDDEN);

  constructor(engine: TierEngine, inCommon: InCommon) {
    this.#inCommon = inCommon;
    this.#engine = engine;
    this.refresh();
    this.#maxSlots = slotsFor(this.#slots.size);
  }

  /** The version of the tiers that was last made ready. */
  get version(): number {
    return this.#version;
  }

  /** The tiers in force. */
  get tiers(): Tiers {
    this.refreshIfReloaded();
    return this.#tiers;
  }

  /** Those in force, without those of tiers with overrides; those of shadow limits stand with the tiers that they are of. */
  get inForce(): readonly BoundTier[] {
    this.refreshIfReloaded();
    return [...this.#inForce.values()];
  }

  /** All that are ready. */
  get all(): readonly BoundTier[] {
    return [...this.inForce, ...this.#overridden.values()];
  }

  /**
   * Who decides for a tier, or for one with overrides.
   *
   * @throws {TollkeeperError} `ERR_TIER_UNKNOWN`, `ERR_LIMITER_CLOSED`
   */
  of(name: string): BoundTier {
    return this.#inForce.get(name) ?? this.#overridden.get(name) ?? this.#lookUp(name);
  }

  /** The same if it is ready, and undefined otherwise. */
  ready(name: string): BoundTier | undefined {
    return this.#inForce.get(name) ?? this.#overridden.get(name);
  }

  /**
   * Makes ready anew what the engine does not know any more: all tiers if they were reloaded, or a tier with overrides that
   * it has forgotten. Whether there was anything.
   */
  renew(name: string): boolean {
    if (this.#inCommon.isClosed()) return false;
    const wasReloaded = this.#engine.version !== this.#version;
    if (wasReloaded) this.refresh();
    return this.#overridden.delete(name) || wasReloaded;
  }

  /**
   * Who has decided if the tiers were reloaded, maybe by another thread: the amounts are in units of that version.
   * `tierId` is the number under which the engine was asked.
   */
  ofVersion(version: number, name: string, tierId: number): BoundTier {
    this.refreshIfReloaded();
    const plain = this.#compile(version, new Map(this.#slots));
    const boundTier = plain.get(name);
    if (boundTier !== undefined) return { ...boundTier, tierId };
    const tier = compileOverridden(name, joinTiers(this.#engine.tiersOf(version)), this.#slots);
    const overridden = tier === undefined ? undefined : plain.get(tier.name);
    if (tier === undefined || overridden === undefined) throw unknownTier(name, this.#inForce);
    const number = () => this.#engine.overrideTier(version, overridden.tierId, name, tier.spec);
    return {
      ...overridden,
      ...boundOf(tier, overridden.shadows, overridden.costNames),
      name,
      tierId,
      correct: this.#correction(number),
    };
  }

  /** Makes the tiers in force ready for this thread. */
  refresh(): void {
    const { version } = this.#engine;
    this.#inForce = this.#compile(version, this.#slots);
    this.#overridden.clear();
    this.#tiers = joinTiers(this.#engine.tiersOf(version));
    this.#version = version;
  }

  /** The same if another thread has reloaded them. */
  refreshIfReloaded(): void {
    if (!this.#inCommon.isClosed() && this.#engine.version !== this.#version) this.refresh();
  }

  /** @throws {TollkeeperError} `ERR_TIERS_INVALID`; then nothing has changed. */
  reload(tiers: Tiers): void {
    compileTiers(tiers, new Map(this.#slots), this.#maxSlots);
    const given = splitTiers(tiers);
    // Versions are kept for good, and tiers may be read anew again and again without being others.
    const inForce = this.#engine.tiersOf(this.#engine.version);
    if (JSON.stringify(given) !== JSON.stringify(inForce)) this.#engine.reload(given);
    this.refreshIfReloaded();
  }

  /** Has every look-up find the limiter closed. */
  clear(): void {
    this.#inForce = new Map();
    this.#overridden.clear();
  }

  /** Why an engine did not decide on a call: an {@link OUTCOME} below 0. */
  misuse(outcome: number, key: unknown, tierName: string, cost: Cost): TollkeeperError {
    switch (outcome) {
      case OUTCOME.KEY_INVALID:
        return invalidKey(key);
      case OUTCOME.TIER_UNKNOWN:
        this.refresh();
        return unknownTier(tierName, this.#inForce);
      case OUTCOME.COST_EXCEEDS_CAPACITY:
        this.refreshIfReloaded();
        return this.#excessive(tierName, cost);
      case OUTCOME.CLOSED:
        return limiterClosed();
      case OUTCOME.COST_INVALID:
        return invalidCost(cost);
      default:
        return new TollkeeperError(
          "ERR_ENGINE_FAILED",
          "the native engine met a fault of its own; the call was not decided",
        );
    }
  }

  #excessive(tierName: string, cost: Cost): TollkeeperError {
    const boundTier = this.of(tierName);
    const excess = excessOf(milliOf(cost, boundTier), boundTier);
    // By tiers that were in force a moment ago it was too much.
    return excess ?? excessiveCost(cost, plainTier(tierName), boundTier.tier.maxCostMilli / 1000);
  }

  #lookUp(name: string): BoundTier {
    if (this.#inCommon.isClosed()) throw limiterClosed();
    this.refreshIfReloaded();
    const boundTier = this.ready(name) ?? this.#override(name);
    if (boundTier === undefined) throw unknownTier(name, this.#inForce);
    return boundTier;
  }

  /** Makes a tier with overrides ready that was not asked for since the last reload. */
  #override(name: string): BoundTier | undefined {
    const tier = compileOverridden(name, this.#tiers, this.#slots);
    if (tier === undefined) return undefined;
    const plain = this.#inForce.get(tier.name);
    if (plain === undefined) return undefined;
    const { version } = plain;
    const number = () => this.#engine.overrideTier(version, plain.tierId, name, tier.spec);
    const boundTier = {
      ...plain,
      ...boundOf(tier, plain.shadows, plain.costNames),
      name,
      tierId: number(),
      correct: this.#correction(number),
    };
    this.#overridden.set(name, boundTier);
    return boundTier;
  }

  /** How a decision under overrides is corrected, also when the engine has forgotten them since. */
  #correction(number: () => number): Correct {
    const { correct } = this.#inCommon;
    return (boundTier, ...correction) =>
      correct(boundTier, ...correction) || correct({ ...boundTier, tierId: number() }, ...correction);
  }

  /** Who decides by a version of the tiers, by name of the tier. */
  #compile(version: number, slots: SlotNames): Map<string, BoundTier> {
    const engine = this.#engine;
    const tiers = [...compileTiers(engine.tiersOf(version), slots)];
    const allNames = tiers.flatMap(([, tier]) => namesOf(tier));
    const bind = (name: string, tier: Tier, shadows: readonly BoundTier[]): BoundTier => {
      const others = tier.limits.length === 0 ? allNames : [];
      const bound = boundOf(tier, shadows, others);
      return { ...this.#inCommon, ...bound, version, tierId: engine.tierId(name), name };
    };
    const shadows = new Map<string, BoundTier[]>();
    const inForce = new Map<string, BoundTier>();
    for (const [name, tier] of tiers) {
      const of = shadowedTier(name);
      if (of !== undefined) shadows.set(of, [...(shadows.get(of) ?? []), bind(name, tier, [])]);
    }
    for (const [name, tier] of tiers) {
      if (shadowedTier(name) === undefined) inForce.set(name, bind(name, tier, shadows.get(name) ?? []));
    }
    return inForce;
  }
}

/** What follows from a tier, its shadow limits, and others that a cost may name. */
function boundOf(tier: Tier, shadows: readonly BoundTier[], others: readonly string[]) {
  const isAlone = shadows.length === 0;
  const isPlain = isAlone && !tier.hasPlaces;
  const isLeased = isAlone && tier.limits.length > 0 && !tier.isExact;
  return { tier, shadows, costNames: costNamesOf(tier, shadows, others), isPlain, isLeased };
}

/** What a cost may name: the limits of a tier, its shadow limits, and others that are not among these. */
function costNamesOf(tier: Tier, shadows: readonly BoundTier[], others: readonly string[]): readonly string[] {
  return [...new Set([...namesOf(tier), ...shadows.flatMap(({ tier }) => namesOf(tier)), ...others])];
}

function namesOf({ limits }: Tier): string[] {
  return limits.map(({ name }) => name);
}
