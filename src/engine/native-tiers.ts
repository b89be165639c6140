import type { EngineTierCounts } from "./engine.js";
import { translated } from "./native-errors.js";
import type { TierSpec, Tiers } from "./spec.js";

/** What the binding offers for the tiers of either engine; tiers are the JSON of `Object.entries(tiers)`. */
export interface TiersHandle {
  readonly version: number;
  tiersOf(version: number): string | null;
  tierId(name: string): number;
  overrideTier(version: number, tier: number, spec: string): number;
  reload(tiers: string): void;
}

/** Decisions of one tier, as the binding counts them. */
export interface NativeTierCounts extends Omit<EngineTierCounts, "denied"> {
  deniedBy: string[];
  denied: number[];
}

/** What both native engines have in common: their tiers, in every version. */
export class NativeTiers<Handle extends TiersHandle> {
  protected readonly handle: Handle;

  constructor(handle: Handle) {
    this.handle = handle;
  }

  get version(): number {
    return this.handle.version;
  }

  tiersOf(version: number): Tiers {
    const entries = JSON.parse(this.handle.tiersOf(version) ?? "[]") as [string, Tiers[string]][];
    return Object.fromEntries(entries);
  }

  tierId(name: string): number {
    return this.handle.tierId(name);
  }

  overrideTier(version: number, tier: number, name: string, spec: TierSpec): number {
    return translated(() => this.handle.overrideTier(version, tier, JSON.stringify([[name, spec]])));
  }

  reload(tiers: Tiers): void {
    translated(() => this.handle.reload(JSON.stringify(Object.entries(tiers))));
  }
}

/** Decisions of tiers, by the names of the limits that denied. */
export function tierCounts(tiers: readonly NativeTierCounts[]): EngineTierCounts[] {
  return tiers.map(({ deniedBy, denied, ...rest }) => ({
    ...rest,
    denied: Object.fromEntries(deniedBy.map((name, index) => [name, denied[index] ?? 0])),
  }));
}
