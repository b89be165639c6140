import { TollkeeperError } from "../errors.js";
import type { EngineTierCounts } from "./engine.js";
import { Recent } from "./recent.js";
import type { TierSpec, Tiers } from "./spec.js";
import { compileTiers, type SlotNames, type Tier } from "./tier.js";

/** Numbers from here on are those of tiers with overrides, each given once. */
const FIRST_OVERRIDDEN = 32_768;
/** Tiers with overrides that are held. */
const MAX_OVERRIDDEN = 32_768;

interface Counts {
  allowed: number;
  denied: Map<string, number>;
  overflow: number;
}

/** A tier of one version; `R` is what a key that comes under it is to remember. */
export interface TierEntry<R> {
  /** The tier's name; with overrides also these. */
  readonly name: string;
  readonly tier: Tier;
  readonly rules: R;
  /** Where its decisions are counted: itself, or the tier that it overrides. */
  readonly counts: Counts;
}

/** A tier with overrides. */
interface OverriddenEntry<R> extends TierEntry<R> {
  /** The version of the tiers that it is of. */
  readonly version: number;
}

interface TierVersion<R> {
  /** As given. */
  readonly tiers: Tiers;
  /** By number; undefined for a tier that was dropped. */
  readonly entries: (TierEntry<R> | undefined)[];
}

/** Every version of the tiers, ready to decide, and what was decided by them. */
export class TierVersions<R> {
  readonly #rulesOf: (tier: Tier) => R;
  readonly #versions: TierVersion<R>[] = [];
  /** Those in force, by number. */
  #inForce: readonly (TierEntry<R> | undefined)[] = [];
  readonly #slots: SlotNames = new Map();
  readonly #ids = new Map<string, number>();
  /** By number of the tier. */
  readonly #counts: Counts[] = [];
  readonly #overridden = new Recent<number, OverriddenEntry<R>>(MAX_OVERRIDDEN);
  /** Numbers of tiers with overrides, by version and name. */
  readonly #overriddenIds = new Recent<string, number>(MAX_OVERRIDDEN);
  #overriddenMade = 0;

  /** @throws {TollkeeperError} `ERR_TIERS_INVALID` */
  constructor(tiers: Tiers, rulesOf: (tier: Tier) => R) {
    this.#rulesOf = rulesOf;
    this.reload(tiers);
  }

  /** Counts the reloads. */
  get version(): number {
    return this.#versions.length - 1;
  }

  tiersOf(version: number): Tiers {
    return this.#versions[version]?.tiers ?? {};
  }

  /** The number of a tier in force; -1 if there is none of that name. */
  tierId(name: string): number {
    const id = this.#ids.get(name);
    return id !== undefined && this.#inForce[id] !== undefined ? id : -1;
  }

  /** A tier of the version in force, by its number. */
  inForce(id: number): TierEntry<R> | undefined {
    return id < FIRST_OVERRIDDEN ? this.#inForce[id] : this.#overriddenOf(this.version, id);
  }

  /** A tier of a version in force or earlier. */
  of(version: number, id: number): TierEntry<R> | undefined {
    return id < FIRST_OVERRIDDEN ? this.#versions[version]?.entries[id] : this.#overriddenOf(version, id);
  }

  /**
   * As `Engine.overrideTier`.
   *
   * @throws {TollkeeperError} `ERR_TIERS_INVALID`
   */
  overrideTier(version: number, id: number, name: string, spec: TierSpec): number {
    const own = `${version} ${name}`;
    const held = this.#overriddenIds.get(own);
    if (held !== undefined && this.#overridden.get(held) !== undefined) return held;
    const plain = this.#versions[version]?.entries[id];
    if (plain === undefined) return -1;
    const tier = compileTiers({ [plain.name]: spec }, new Map(this.#slots), this.#slots.size).get(plain.name);
    if (tier === undefined) return -1;
    const made = FIRST_OVERRIDDEN + this.#overriddenMade++;
    this.#overridden.set(made, { version, name, tier, rules: this.#rulesOf(tier), counts: plain.counts });
    this.#overriddenIds.set(own, made);
    return made;
  }

  /**
   * Puts other tiers in force, or changes nothing.
   *
   * @throws {TollkeeperError} `ERR_TIERS_INVALID`
   */
  reload(tiers: Tiers): void {
    const own = structuredClone(tiers);
    const compiled = compileTiers(own, this.#slots);
    const names = new Set([...this.#ids.keys(), ...compiled.keys()]);
    if (names.size > FIRST_OVERRIDDEN) throw new TollkeeperError("ERR_TIERS_INVALID", "there are too many tiers");
    for (const name of compiled.keys()) {
      if (this.#ids.has(name)) continue;
      this.#ids.set(name, this.#counts.length);
      this.#counts.push({ allowed: 0, denied: new Map(), overflow: 0 });
    }
    const entries = [...this.#ids].map(([name, id]) => {
      const tier = compiled.get(name);
      return tier && { name, tier, rules: this.#rulesOf(tier), counts: this.#counts[id] as Counts };
    });
    this.#versions.push({ tiers: own, entries });
    this.#inForce = entries;
  }

  /** What was decided by each tier that ever was, in the order in which they came. */
  read(): EngineTierCounts[] {
    return [...this.#ids].map(([tier, id]) => {
      const { allowed, denied, overflow } = this.#counts[id] as Counts;
      return { tier, allowed, denied: Object.fromEntries(denied), overflow };
    });
  }

  /** Forgets the tiers with overrides. */
  clearOverridden(): void {
    this.#overridden.clear();
    this.#overriddenIds.clear();
  }

  #overriddenOf(version: number, id: number): OverriddenEntry<R> | undefined {
    const entry = this.#overridden.get(id);
    return entry?.version === version ? entry : undefined;
  }
}

/** Counts a decision; `denied` is the limit that denied, counted from 1, 0 if it was allowed. */
export function countDecision({ counts, tier }: TierEntry<unknown>, denied: number): void {
  const name = tier.limits[denied - 1]?.name;
  if (name === undefined) counts.allowed++;
  else counts.denied.set(name, (counts.denied.get(name) ?? 0) + 1);
}
