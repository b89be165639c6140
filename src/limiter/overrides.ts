import { compileTiers, type SlotNames, type Tier } from "../engine/tier.js";
import type { LimitSpec, TierSpec, Tiers } from "../engine/types.js";
import { TollkeeperError } from "../errors.js";

/** What differs from the tier's own limit. */
export interface LimitOverride {
  /** Tokens of one window or period: above 0, at most three decimals. */
  readonly limit?: number | undefined;
  /** Of a bucket: its capacity as a multiple of the limit, from 1. */
  readonly burst?: number | undefined;
}

/**
 * Limits of one caller that differ from those of its tier, by name; `null` takes a limit away. A name that the tier lacks
 * brings that limit as another tier has it.
 */
export type Overrides = Readonly<Record<string, LimitOverride | null>>;

/**
 * The name under which a limiter decides by a tier with overrides: the tier's own if there are none. It holds all that
 * is to be known of them, so that no replica, thread or version of the tiers has to be told.
 */
export function overriddenTier(tier: string, overrides: Overrides | null): string {
  const entries = Object.entries(overrides ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return tier;
  const plain = entries.map(([name, override]) => [name, override && { limit: override.limit, burst: override.burst }]);
  return tier + JSON.stringify(Object.fromEntries(plain));
}

/**
 * The tier that such a name stands for, ready to decide; undefined if it stands for none. Its own name is the plain
 * tier's. Where a reload has left the overrides without sense, the plain tier decides.
 */
export function compileOverridden(name: string, tiers: Tiers, slots: SlotNames): Tier | undefined {
  const { tier, overrides } = partsOf(name) ?? {};
  if (tier === undefined || overrides === undefined || !Object.hasOwn(tiers, tier)) return undefined;
  const compile = (spec: TierSpec) => compileTiers({ [tier]: spec }, new Map(slots), slots.size).get(tier);
  const plain = tiers[tier] ?? { limits: [] };
  try {
    return compile(overriddenSpec(plain, overrides, tiers));
  } catch (error) {
    if (!(error instanceof TollkeeperError)) throw error;
    return compile({ limits: plain.limits.filter(({ shadow }) => shadow !== true) });
  }
}

/**
 * Checks overrides against the tiers in force.
 *
 * @throws {TollkeeperError} `ERR_OVERRIDES_INVALID`, naming the limit, what it was and what it may be; `ERR_TIER_UNKNOWN`
 */
export function checkOverrides(tier: string, overrides: Overrides, tiers: Tiers): void {
  if (!Object.hasOwn(tiers, tier)) {
    const mayBe = Object.keys(tiers).join(", ");
    throw new TollkeeperError("ERR_TIER_UNKNOWN", `tier is ${tier}; it may be one of ${mayBe}`);
  }
  const known = new Map(limitsOf(tiers).map((limit) => [limit.name, limit]));
  for (const [name, override] of Object.entries(overrides)) {
    const limit = known.get(name);
    if (limit === undefined) throw invalid(name, "no limit of any tier", `one of ${[...known.keys()].join(", ")}`);
    if (limit.type === "quota" && override?.burst !== undefined) {
      throw invalid(`${name}.burst`, override.burst, "left out for a quota");
    }
  }
  try {
    compileTiers({ [tier]: overriddenSpec(tiers[tier] ?? { limits: [] }, overrides, tiers) }, new Map());
  } catch (cause) {
    throw new TollkeeperError("ERR_OVERRIDES_INVALID", (cause as Error).message.replace(/^tiers\./, ""), { cause });
  }
}

/** A tier's limits with the overrides in force, without its shadow limits: those are asked beside it, as they are. */
function overriddenSpec(plain: TierSpec, overrides: Overrides, tiers: Tiers): TierSpec {
  const overrideOf = (name: string) => (Object.hasOwn(overrides, name) ? overrides[name] : undefined);
  const inForce = plain.limits.filter(({ shadow }) => shadow !== true);
  const own = inForce.flatMap((limit) => {
    const override = overrideOf(limit.name);
    return override === null ? [] : [override === undefined ? limit : overridden(limit, override)];
  });
  const others = limitsOf(tiers).flatMap((limit) => {
    const override = overrideOf(limit.name);
    const isOwn = plain.limits.some(({ name }) => name === limit.name);
    return isOwn || override === null || override === undefined ? [] : [overridden(limit, override)];
  });
  return { limits: [...own, ...others] };
}

function overridden(limit: LimitSpec, { limit: tokens = limit.limit, burst }: LimitOverride): LimitSpec {
  if (limit.type === "quota") return { ...limit, limit: tokens };
  return { ...limit, limit: tokens, burst: burst ?? limit.burst };
}

/** Every limit of the tiers once, as the first tier has it that has it, and in force. */
function limitsOf(tiers: Tiers): LimitSpec[] {
  const all = Object.values(tiers).flatMap(({ limits }) => limits);
  return all
    .filter((limit, index) => all.findIndex(({ name }) => name === limit.name) === index)
    .map((limit) => ({ ...limit, shadow: undefined }));
}

/** The name of the plain tier behind such a name. */
export function plainTier(name: string): string {
  return partsOf(name)?.tier ?? name;
}

function partsOf(name: string): { tier: string; overrides: Overrides } | undefined {
  // Callers without types may leave it out; then it is an unknown tier like any other.
  const at = typeof name === "string" ? name.indexOf("{") : -1;
  if (at <= 0) return undefined;
  try {
    return { tier: name.slice(0, at), overrides: JSON.parse(name.slice(at)) as Overrides };
  } catch {
    return undefined;
  }
}

function invalid(path: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_OVERRIDES_INVALID", `overrides.${path} is ${String(was)}; it may be ${mayBe}`);
}
