import { TollkeeperError } from "../errors.js";
import { MAX_CAPACITY, toMilli } from "./amount.js";
import { BlockTooLong, Bucket } from "./bucket.js";
import { Concurrency, MAX_PLACES, MAX_TIMEOUT_MS } from "./concurrency.js";
import type { PeriodName } from "./period.js";
import { invalidTiers, OVERAGE_MAY_BE, placeOf, plainTiers } from "./plain-tiers.js";
import { Quota } from "./quota.js";
import { shadowedTier } from "./shadow-tiers.js";
import {
  anchorOf,
  type BucketSpec,
  type ConcurrencySpec,
  type LimitSpec,
  type QuotaSpec,
  type TierSpec,
  type Tiers,
} from "./spec.js";

/** Limits that one limiter can tell apart by name, over all its tiers. */
const MAX_SLOTS = 8;
/** Limits that nearly every tier makes do with. */
const NARROW = 4;

/**
 * How many limits a limiter can tell apart by name as long as it lives: two or four if its first tiers name no more, which
 * makes keys smaller, and {@link MAX_SLOTS} otherwise.
 */
export function slotsFor(firstNames: number): number {
  return firstNames <= 2 ? 2 : firstNames <= NARROW ? NARROW : MAX_SLOTS;
}

/** The arithmetic of a limit. */
export type Rule = Bucket | Quota | Concurrency;

/** A limit of a tier, ready to decide: the name, where its state is kept, and its arithmetic. */
export interface TierLimit {
  readonly name: string;
  /** Index of the key's state that this limit spends; the same for every limit of that name. */
  readonly slot: number;
  /** Tokens, or places, as configured. */
  readonly limit: number;
  /** Thousandths that a quota allows beyond its limit, which its arithmetic knows nothing of; undefined where it has no overage. */
  readonly overageMilli: number | undefined;
  readonly rule: Rule;
}

/** A tier, ready to decide. */
export interface Tier {
  readonly name: string;
  readonly spec: TierSpec;
  readonly limits: readonly TierLimit[];
  /** Whether they are more than four. */
  readonly isWide: boolean;
  /** Highest cost that can ever pass, in thousandths, by the limits that are above 0; infinite if there are none. */
  readonly maxCostMilli: number;
  /** Whether a denial may begin a block. */
  readonly blocks: boolean;
  /** Whether allowed calls take places of it, which they give back. */
  readonly hasPlaces: boolean;
  /** Whether the store decides on each of its calls, since nothing of what one of its limits says may be handed out ahead. */
  readonly isExact: boolean;
}

/** Which limit each slot of state belongs to, by name; what kind it is never changes. */
export type SlotNames = Map<string, string>;

/** What a limit may be called. */
export const LIMIT_NAME = /^[a-zA-Z][a-zA-Z0-9_-]{0,31}$/;

/** Every period, as it is spoken of. */
const PERIODS: Record<PeriodName, string> = {
  hour: "an hour",
  day: "a day",
  week: "a week",
  month: "a month",
  year: "a year",
  once: "one that never begins anew",
};

/** Where periods may begin that have a choice. */
const ANCHORS: Partial<Record<PeriodName, { field: "anchorDay" | "anchorMonth"; most: number; mayBe: string }>> = {
  week: { field: "anchorDay", most: 7, mayBe: "a day of the week, 1 (Monday) to 7 (Sunday)" },
  month: { field: "anchorDay", most: 31, mayBe: "a day of the month, 1 to 31" },
  year: { field: "anchorMonth", most: 12, mayBe: "a month, 1 to 12" },
};

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
    const blocks = compiledLimits.some(({ rule }) => rule.type === "bucket" && rule.isBlocking);
    const hasPlaces = compiledLimits.some(({ rule }) => rule.type === "concurrency");
    compiled.set(name, {
      name,
      spec: tier,
      limits: compiledLimits,
      isWide: compiledLimits.length > NARROW,
      maxCostMilli: maxCostOf(compiledLimits),
      blocks,
      hasPlaces,
      isExact: blocks || hasPlaces,
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
export function kindOf(rule: Rule): string {
  return rule.type === "quota" ? `${rule.period} quota` : rule.type;
}

/** A kind with its article. */
export function named(kind: string): string {
  return `${kind.startsWith("hour") ? "an" : "a"} ${kind}`;
}

/** What a limit of 0 denies is denied, and not refused as more than it can hold. */
function maxCostOf(limits: readonly TierLimit[]): number {
  const capacities = limits.map(({ rule }) => rule.maxCostMilli);
  return Math.min(...capacities.filter((capacity) => capacity > 0));
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
  const limitMilli = () => milliOf(`${path}.limit`, limit, 0);
  const overageMilli = spec.type === "quota" ? overageMilliOf(`${path}.overage`, spec, limitMilli()) : undefined;
  const rule =
    spec.type === "bucket"
      ? compileBucket(path, spec, limitMilli())
      : spec.type === "quota"
        ? compileQuota(path, spec, limitMilli() + (overageMilli ?? 0))
        : spec.type === "concurrency"
          ? compileConcurrency(path, spec)
          : undefined;
  if (!rule) {
    throw invalidTiers(`${path}.type`, (spec as { type: unknown }).type, '"bucket", "quota" or "concurrency"');
  }
  const kind = kindOf(rule);
  const before = slots.get(name);
  if (before !== undefined && before !== kind) {
    throw invalidTiers(
      path,
      `${named(kind)} named ${JSON.stringify(name)}`,
      `${named(before)}, as elsewhere: one name is one count`,
    );
  }
  if (before === undefined && slots.size === maxSlots) {
    const known = [...slots.keys()].join(", ");
    const reason = `this limiter tells at most ${maxSlots} limits apart by name, from its opening on`;
    throw invalidTiers(`${path}.name`, name, `one of ${known}: ${reason}`);
  }
  slots.set(name, kind);
  return { name, slot: [...slots.keys()].indexOf(name), limit, overageMilli, rule };
}

function compileBucket(path: string, spec: BucketSpec, limitMilli: number): Bucket {
  rejectUnknown(path, spec, ["name", "type", "limit", "windowSeconds", "burst", "blockSeconds", "shadow"]);
  const windowMs = milliOf(`${path}.windowSeconds`, spec.windowSeconds, 1);
  const burstMilli = milliOf(`${path}.burst`, spec.burst, 1);
  const { blockSeconds } = spec;
  const blockMs = blockSeconds === undefined ? 0 : milliOf(`${path}.blockSeconds`, blockSeconds, 1);
  try {
    return new Bucket(limitMilli, windowMs, burstMilli, blockMs);
  } catch (cause) {
    if (cause instanceof BlockTooLong) {
      const mayBe = `a number above 0, at most ${cause.mostMs / 1000} with this limit and window, with at most three decimals`;
      throw invalidTiers(`${path}.blockSeconds`, blockSeconds, mayBe);
    }
    throw new TollkeeperError("ERR_TIERS_INVALID", `${path}: ${(cause as Error).message}`, { cause });
  }
}

function compileQuota(path: string, spec: QuotaSpec, limitMilli: number): Quota {
  rejectUnknown(path, spec, ["name", "type", "limit", "period", "anchorDay", "anchorMonth", "overage", "shadow"]);
  const { period } = spec;
  if (typeof period !== "string" || !Object.hasOwn(PERIODS, period)) {
    throw invalidTiers(`${path}.period`, period, Object.keys(PERIODS).join(", "));
  }
  for (const field of ["anchorDay", "anchorMonth"] as const)
    checkAnchor(`${path}.${field}`, period, field, spec[field]);
  return new Quota(limitMilli, period, anchorOf(spec));
}

/** How much a quota allows beyond its limit: with that no more than any limit can hold. */
function overageMilliOf(path: string, { overage }: QuotaSpec, limitMilli: number): number | undefined {
  if (overage === undefined) return undefined;
  if (typeof overage !== "object" || overage === null) throw invalidTiers(path, overage, OVERAGE_MAY_BE);
  rejectUnknown(path, overage, ["max"]);
  const milli = typeof overage.max === "number" ? toMilli(overage.max) : Number.NaN;
  const most = MAX_CAPACITY - limitMilli;
  if (milli > 0 && milli <= most) return milli;
  throw invalidTiers(
    `${path}.max`,
    overage.max,
    `a number above 0, at most ${most / 1000}, with at most three decimals`,
  );
}

function checkAnchor(path: string, period: PeriodName, field: "anchorDay" | "anchorMonth", anchor: unknown): void {
  if (anchor === undefined) return;
  const has = ANCHORS[period];
  if (has?.field !== field) throw invalidTiers(path, anchor, `left out for ${PERIODS[period]}`);
  if (typeof anchor !== "number" || !Number.isInteger(anchor) || anchor < 1 || anchor > has.most) {
    throw invalidTiers(path, anchor, has.mayBe);
  }
}

function compileConcurrency(path: string, spec: ConcurrencySpec): Concurrency {
  rejectUnknown(path, spec, ["name", "type", "limit", "timeoutSeconds", "shadow"]);
  const { limit, timeoutSeconds } = spec;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PLACES) {
    throw invalidTiers(`${path}.limit`, limit, `a whole number from 1 to ${MAX_PLACES}, as calls are`);
  }
  const timeoutMs = typeof timeoutSeconds === "number" ? toMilli(timeoutSeconds) : Number.NaN;
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    const mayBe = `a number above 0, at most ${MAX_TIMEOUT_MS / 1000}, with at most three decimals`;
    throw invalidTiers(`${path}.timeoutSeconds`, timeoutSeconds, mayBe);
  }
  return new Concurrency(limit, timeoutMs);
}

function rejectUnknown(path: string, spec: object, known: string[]): void {
  const unknown = Object.keys(spec).find((field) => !known.includes(field));
  if (unknown !== undefined) throw invalidTiers(`${path}.${unknown}`, "an unknown field", `one of ${known.join(", ")}`);
}

/** A number in thousandths; `least` is 0 or 1 of these. */
function milliOf(path: string, value: unknown, least: 0 | 1): number {
  const milli = typeof value === "number" ? toMilli(value) : Number.NaN;
  if (!(milli >= least && milli <= MAX_CAPACITY)) {
    const from = least === 0 ? "from 0" : "above 0";
    throw invalidTiers(path, value, `a number ${from}, at most ${MAX_CAPACITY / 1000}, with at most three decimals`);
  }
  return milli;
}

function checkObject<T extends object>(path: string, value: T): T {
  if (typeof value !== "object" || value === null) throw invalidTiers(path, value, "an object");
  return value;
}
