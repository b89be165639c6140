import { TollkeeperError } from "../errors.js";
import { MAX_CAPACITY, toMilli } from "./amount.js";
import { Bucket } from "./bucket.js";
import { invalidTiers, placeOf, plainTiers } from "./plain-tiers.js";
import { Quota } from "./quota.js";
import { shadowedTier } from "./shadow-tiers.js";
import type { BucketSpec, LimitSpec, QuotaSpec, TierSpec, Tiers } from "./spec.js";

/** Limits that one limiter can tell apart by name, over all its tiers. */
const MAX_SLOTS = 4;

/**
 * How many limits a limiter can tell apart by name as long as it lives: two if its first tiers name no more, which
 * makes a key a third smaller, and {@link MAX_SLOTS} otherwise.
 */
export function slotsFor(firstNames: number): number {
  return firstNames <= 2 ? 2 : MAX_SLOTS;
}

/** A limit of a tier, ready to decide: the name, where its state is kept, and its arithmetic. */
export interface TierLimit {
  readonly name: string;
  /** Index of the key's state that this limit spends; the same for every limit of that name. */
  readonly slot: number;
  /** Tokens, as configured. */
  readonly limit: number;
  readonly rule: Bucket | Quota;
}

/** A tier, ready to decide. */
export interface Tier {
  readonly name: string;
  readonly spec: TierSpec;
  readonly limits: readonly TierLimit[];
  /** Highest cost that can ever pass, in thousandths; infinite for an unlimited tier. */
  readonly maxCostMilli: number;
}

/** Which limit each slot of state belongs to, by name; what kind it is never changes. */
export type SlotNames = Map<string, string>;

/** What a limit may be called. */
export const LIMIT_NAME = /^[a-zA-Z][a-zA-Z0-9_-]{0,31}$/;

/** A header field must carry a tier's name, a list of groups may name it, and overrides begin with a brace after it. */
const TIER_NAME = /^[!-+\--z|}~]{1,64}$/;

/**
 * Checks tiers and makes them ready. Names new to `slots` are added to it, up to `maxSlots`, but only if all is well.
 *
 * @throws {TollkeeperError} `ERR_TIERS_INVALID`, naming the place, what it was and what it may be.
 */
export function compileTiers(tiers: Tiers, slots: SlotNames, maxSlots = MAX_SLOTS): Map<string, Tier> {
  const known = new Map(slots);
  const compiled = new Map<string, Tier>();
  const entries = Object.entries(checkObject("tiers", tiers));
  if (entries.length === 0) throw invalidTiers("tiers", Symbol("{}"), "at least one tier");
  for (const [name, tier] of entries) {
    const path = placeOf("tiers", name);
    const own = shadowedTier(name) ?? name;
    if (name in Object.prototype) throw invalidTiers(path, name, "a name that not every object has a field of");
    if (!TIER_NAME.test(own))
      throw invalidTiers(path, name, "a name of 1 to 64 visible ASCII characters, without , and {");
    const limits = checkObject(path, tier).limits;
    if (!Array.isArray(limits)) throw invalidTiers(`${path}.limits`, limits, "an array of limits, empty for unlimited");
    const compiledLimits = limits.map((limit, index) =>
      compileLimit(`${path}.limits[${index}]`, limit, known, maxSlots),
    );
    const twice = compiledLimits.find((limit, index) => compiledLimits.findIndex((l) => l.name === limit.name) < index);
    if (twice) throw invalidTiers(`${path}.limits`, twice.name, "limits of different names");
    compiled.set(name, {
      name,
      spec: tier,
      limits: compiledLimits,
      maxCostMilli: Math.min(...compiledLimits.map((limit) => limit.rule.maxCostMilli)),
    });
  }
  for (const [name, kind] of known) slots.set(name, kind);
  return compiled;
}

/**
 * Checks tiers as `createLimiter` and `reload` do, and gives a copy of them in which nothing changes any more.
 *
 * @throws {TollkeeperError} `ERR_TIERS_INVALID`, naming the place, what it was and what it may be.
 */
export function checkTiers(tiers: Tiers): Tiers {
  const plain = plainTiers(tiers);
  compileTiers(plain, new Map());
  return plain;
}

/** What a limit counts, which its name stands for wherever it is. */
export function kindOf(rule: Bucket | Quota): string {
  return rule.type === "bucket" ? "bucket" : `${rule.period} quota`;
}

function compileLimit(path: string, spec: LimitSpec, slots: SlotNames, maxSlots: number): TierLimit {
  const { name, limit, shadow } = checkObject(path, spec);
  if (typeof name !== "string" || !LIMIT_NAME.test(name)) {
    throw invalidTiers(`${path}.name`, name, "a letter, then up to 31 letters, digits, _ or -");
  }
  if (name in Object.prototype) {
    throw invalidTiers(`${path}.name`, name, "a name that not every object has a field of");
  }
  if (shadow !== undefined && typeof shadow !== "boolean")
    throw invalidTiers(`${path}.shadow`, shadow, "true or false");
  const limitMilli = positiveMilli(`${path}.limit`, limit);
  const rule =
    spec.type === "bucket"
      ? compileBucket(path, spec, limitMilli)
      : spec.type === "quota"
        ? compileQuota(path, spec, limitMilli)
        : undefined;
  if (!rule) throw invalidTiers(`${path}.type`, (spec as { type: unknown }).type, '"bucket" or "quota"');
  const kind = kindOf(rule);
  const before = slots.get(name);
  if (before !== undefined && before !== kind) {
    throw invalidTiers(
      path,
      `a ${kind} named ${JSON.stringify(name)}`,
      `a ${before}, as elsewhere: one name is one count`,
    );
  }
  if (before === undefined && slots.size === maxSlots) {
    const known = [...slots.keys()].join(", ");
    const reason = `this limiter tells at most ${maxSlots} limits apart by name, from its opening on`;
    throw invalidTiers(`${path}.name`, name, `one of ${known}: ${reason}`);
  }
  slots.set(name, kind);
  return { name, slot: [...slots.keys()].indexOf(name), limit, rule };
}

function compileBucket(path: string, spec: BucketSpec, limitMilli: number): Bucket {
  rejectUnknown(path, spec, ["name", "type", "limit", "windowSeconds", "burst", "shadow"]);
  const windowMs = positiveMilli(`${path}.windowSeconds`, spec.windowSeconds);
  const burstMilli = positiveMilli(`${path}.burst`, spec.burst);
  if (burstMilli < 1000) throw invalidTiers(`${path}.burst`, spec.burst, "a number from 1");
  try {
    return new Bucket(limitMilli, windowMs, burstMilli);
  } catch (cause) {
    throw new TollkeeperError("ERR_TIERS_INVALID", `${path}: ${(cause as Error).message}`, { cause });
  }
}

function compileQuota(path: string, spec: QuotaSpec, limitMilli: number): Quota {
  rejectUnknown(path, spec, ["name", "type", "limit", "period", "anchorDay", "shadow"]);
  const { period, anchorDay = 1 } = spec;
  if (period !== "day" && period !== "month") throw invalidTiers(`${path}.period`, period, '"day" or "month"');
  if (!Number.isInteger(anchorDay) || anchorDay < 1 || anchorDay > 31) {
    throw invalidTiers(`${path}.anchorDay`, anchorDay, "a day of the month, 1 to 31");
  }
  if (period === "day" && anchorDay !== 1) throw invalidTiers(`${path}.anchorDay`, anchorDay, "left out for a day");
  return new Quota(limitMilli, period, anchorDay);
}

function rejectUnknown(path: string, spec: object, known: string[]): void {
  const unknown = Object.keys(spec).find((field) => !known.includes(field));
  if (unknown !== undefined) throw invalidTiers(`${path}.${unknown}`, "an unknown field", `one of ${known.join(", ")}`);
}

function positiveMilli(path: string, value: unknown): number {
  const milli = typeof value === "number" ? toMilli(value) : Number.NaN;
  if (!(milli > 0 && milli <= MAX_CAPACITY)) {
    throw invalidTiers(path, value, `a number above 0, at most ${MAX_CAPACITY / 1000}, with at most three decimals`);
  }
  return milli;
}

function checkObject<T extends object>(path: string, value: T): T {
  if (typeof value !== "object" || value === null) throw invalidTiers(path, value, "an object");
  return value;
}
