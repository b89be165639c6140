import { MAX_CAPACITY, toMilli } from "../engine/amount.js";
import type { LimitSpec, OverageSpec, TierSpec, Tiers } from "../engine/spec.js";
import { compileTiers, LIMIT_NAME, type SlotNames, type Tier } from "../engine/tier.js";
import { TollkeeperError } from "../errors.js";

/** What differs from the tier's own limit. */
export interface LimitOverride {
  /** Tokens of one window or period: from 0, at most three decimals; or places, whole, from 1. */
  readonly limit?: number | undefined;
  /** Of a bucket: its capacity as a multiple of the limit, above 0. */
  readonly burst?: number | undefined;
  /** Of a bucket: for how many seconds a denial for want of tokens in it denies all others; above 0, at most three decimals. */
  readonly blockSeconds?: number | undefined;
  /** Of a quota: how far beyond the limit calls may go, or null for not at all; left out, as far as the tier's. */
  readonly overage?: OverageSpec | null | undefined;
}

/** Fields that the limits of one type have alone. */
const ONLY_OF: Partial<Record<keyof LimitOverride, LimitSpec["type"]>> = {
  burst: "bucket",
  blockSeconds: "bucket",
  overage: "quota",
};
const TYPES = { bucket: "a bucket", quota: "a quota", concurrency: "a limit of concurrency" };

/**
 * Limits of one caller that differ from those of its tier, by name; `null` takes a limit away. A name that the tier lacks
 * brings that limit as another tier has it.
 */
export type Overrides = Readonly<Record<string, LimitOverride | null>>;

/**
 * The name under which a limiter decides by a tier with overrides: the tier's own if there are none. It holds all that
 * is to be known of them, so that no replica, thread or version of the tiers has to be told.
 *
 * @throws {TollkeeperError} `ERR_OVERRIDES_INVALID`, naming the limit, what it was and what it may be: also for what only
 * the calls that it is made for would find, as far as it can be told without the tiers; `ERR_TIER_UNKNOWN` for no name of
 * a plain tier.
 *
 * @example
 * ```ts
 * import { createLimiter, overriddenTier } from "tollkeeper";
 *
 * const month = { name: "month", type: "quota", limit: 50_000, period: "month" } as const;
 * const limiter = createLimiter({ tiers: { free: { limits: [month] } } });
 * const promised = overriddenTier("free", { month: { limit: 80_000 } });
 *
 * const { tier, limits } = limiter.consume("acct:42", promised);
 * console.log(tier, limits[0]?.limit); // free 80000
 * await limiter.close();
 * ```
 */
export function overriddenTier(tier: string, overrides: Overrides | null): string {
  if (typeof tier !== "string" || tier.includes("{")) {
    throw new TollkeeperError("ERR_TIER_UNKNOWN", `tier is ${shown(tier)}; it may be the name of a tier, without {`);
  }
  const entries = Object.entries(checked(overrides ?? {}));
  if (entries.length === 0) return tier;
  return tier + JSON.stringify(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
}

/**
 * The tier that such a name stands for, ready to decide; undefined if it stands for none. Its own name is the plain
 * tier's.
 *
 * @throws {TollkeeperError} `ERR_OVERRIDES_INVALID` if the tiers can't be overridden so: what was promised holds, or fails.
 */
export function compileOverridden(name: string, tiers: Tiers, slots: SlotNames): Tier | undefined {
  const { tier, overrides } = partsOf(name) ?? {};
  if (tier === undefined || !Object.hasOwn(tiers, tier)) return undefined;
  return compiled(tier, checked(overrides), tiers, slots);
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
  compiled(tier, checked(overrides), tiers, new Map());
}

/** A tier with overrides that were checked by themselves; `slots` may be left empty. */
function compiled(tier: string, overrides: Overrides, tiers: Tiers, slots: SlotNames): Tier | undefined {
  const known = new Map(limitsOf(tiers).map((limit) => [limit.name, limit]));
  for (const [name, override] of Object.entries(overrides)) {
    const limit = known.get(name);
    const names = known.size === 0 ? "nothing, since no tier has a limit" : `one of ${[...known.keys()].join(", ")}`;
    if (limit === undefined) throw invalid(name, "the name of no limit of any tier", names);
    for (const field of ["burst", "blockSeconds", "overage"] as const) {
      const own = override?.[field];
      if (limit.type !== ONLY_OF[field] && own !== undefined) {
        throw invalid(`${name}.${field}`, shown(own), `left out for ${TYPES[limit.type]}`);
      }
    }
  }
  const spec = overriddenSpec(tiers[tier] ?? { limits: [] }, overrides, tiers);
  const { size } = slots;
  try {
    return compileTiers({ [tier]: spec }, new Map(slots), size === 0 ? undefined : size).get(tier);
  } catch (cause) {
    if (!(cause instanceof TollkeeperError)) throw cause;
    // It names the limit by its place in a tier that nobody has written.
    const message = cause.message.replace(/^tiers\..*?\.limits\[(\d+)\]/, (_, index) => {
      return `overrides.${spec.limits[Number(index)]?.name}`;
    });
    throw new TollkeeperError("ERR_OVERRIDES_INVALID", message, { cause });
  }
}

/** Overrides as they are kept: own fields only, each of its type and in its range. */
function checked(overrides: unknown): Overrides {
  if (!isObject(overrides)) throw invalid("", shown(overrides), "an object by name of the limit");
  const entries: [string, LimitOverride | null][] = [];
  for (const [name, override] of Object.entries(overrides)) {
    if (!LIMIT_NAME.test(name))
      throw invalid(shown(name), "no name of a limit", "a letter, then up to 31 letters, digits, _ or -");
    if (override === undefined) continue;
    entries.push([name, override === null ? null : checkedOverride(name, override)]);
  }
  return Object.fromEntries(entries);
}

function checkedOverride(name: string, override: unknown): LimitOverride {
  if (!isObject(override))
    throw invalid(name, shown(override), "an object with limit, burst, blockSeconds or overage, or null for no limit");
  const own = Object.entries(override).filter(([, value]) => value !== undefined);
  const { limit, burst, blockSeconds, overage, ...unknown } = Object.fromEntries(own);
  const [field] = Object.keys(unknown);
  if (field !== undefined)
    throw invalid(`${name}.${field}`, "an unknown field", "limit, burst, blockSeconds or overage");
  if (limit !== undefined && !inThousandths(limit, 0)) {
    const mayBe = `a number from 0, at most ${MAX_CAPACITY / 1000}, with at most three decimals`;
    throw invalid(`${name}.limit`, shown(limit), mayBe);
  }
  if (burst !== undefined && !inThousandths(burst, 0.001)) {
    throw invalid(`${name}.burst`, shown(burst), "a number above 0 with at most three decimals");
  }
  if (blockSeconds !== undefined && !inThousandths(blockSeconds, 0.001)) {
    throw invalid(`${name}.blockSeconds`, shown(blockSeconds), "a number above 0 with at most three decimals");
  }
  return {
    ...(limit !== undefined && { limit }),
    ...(burst !== undefined && { burst }),
    ...(blockSeconds !== undefined && { blockSeconds }),
    ...(overage !== undefined && { overage: checkedOverage(`${name}.overage`, overage) }),
  };
}

function checkedOverage(path: string, overage: unknown): OverageSpec | null {
  if (overage === null) return null;
  if (!isObject(overage)) throw invalid(path, shown(overage), "an object with max, or null for none");
  const { max, ...unknown } = overage;
  const [field] = Object.keys(unknown);
  if (field !== undefined) throw invalid(`${path}.${field}`, "an unknown field", "max");
  if (inThousandths(max, 0.001)) return { max };
  const mayBe = `a number above 0, at most ${MAX_CAPACITY / 1000}, with at most three decimals`;
  throw invalid(`${path}.max`, shown(max), mayBe);
}

function inThousandths(value: unknown, least: number): value is number {
  const milli = typeof value === "number" && value >= least ? toMilli(value) : Number.NaN;
  return milli <= MAX_CAPACITY;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
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

function overridden(limit: LimitSpec, override: LimitOverride): LimitSpec {
  const { limit: tokens = limit.limit, burst, blockSeconds, overage } = override;
  if (limit.type === "concurrency") return { ...limit, limit: tokens };
  if (limit.type === "quota") {
    const quota = { ...limit, limit: tokens };
    return overage === undefined ? quota : { ...quota, overage: overage ?? undefined };
  }
  const bucket = { ...limit, limit: tokens, burst: burst ?? limit.burst };
  return blockSeconds === undefined ? bucket : { ...bucket, blockSeconds };
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

function partsOf(name: string): { tier: string; overrides: unknown } | undefined {
  // Callers without types may leave it out; then it is an unknown tier like any other.
  const at = typeof name === "string" ? name.indexOf("{") : -1;
  if (at <= 0) return undefined;
  try {
    return { tier: name.slice(0, at), overrides: JSON.parse(name.slice(at)) };
  } catch {
    return undefined;
  }
}

/** `path` is empty for the overrides as a whole, `was` says what stands there. */
function invalid(path: string, was: string, mayBe: string): TollkeeperError {
  const place = path === "" ? "overrides" : `overrides.${path}`;
  return new TollkeeperError("ERR_OVERRIDES_INVALID", `${place} is ${was}; it may be ${mayBe}`);
}

/** What was given, in words that fit into a line. */
function shown(was: unknown): string {
  if (typeof was === "string") return JSON.stringify(was.length > 64 ? `${was.slice(0, 64)}…` : was);
  if (was === null || typeof was === "number" || typeof was === "boolean" || was === undefined) return String(was);
  return Array.isArray(was) ? "an array" : `of type ${typeof was}`;
}
