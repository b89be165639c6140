import { TollkeeperError, unmistaken } from "../errors.js";
import type { LimitSpec, TierSpec, Tiers } from "./spec.js";

/** Tiers of a limiter, and limits of one: more than anybody has, and few enough to be looked at. */
const MAX_TIERS = 10_000;
const MAX_LIMITS = 64;
/** What a quota's overage may be, in words. */
export const OVERAGE_MAY_BE = "an object with max, the tokens beyond the limit";
/** UTF-16 units that are told of what is wrong. */
const MAX_SHOWN = 100;

/**
 * A copy of tiers in which nothing changes any more and nothing is found that is not there: no getters, inherited fields or
 * gaps. What the fields may be is for `compileTiers` to tell.
 *
 * @throws {TollkeeperError} `ERR_TIERS_INVALID`, naming the place, what it was and what it may be.
 */
export function plainTiers(tiers: Tiers): Tiers {
  const entries = fieldsOf("tiers", tiers, "an object of tiers by name");
  if (entries.length > MAX_TIERS) {
    throw invalidTiers("tiers", Symbol(`${entries.length} tiers`), `at most ${MAX_TIERS}`);
  }
  return Object.fromEntries(entries.map(([name, tier]) => [name, plainTier(placeOf("tiers", name), tier)]));
}

function plainTier(path: string, tier: unknown): TierSpec {
  const fields = fieldsOf(path, tier, "an object with limits");
  const unknown = fields.find(([field]) => field !== "limits");
  if (unknown) throw invalidTiers(placeOf(path, unknown[0]), Symbol("an unknown field"), "limits");
  return { limits: plainLimits(`${path}.limits`, fields[0]?.[1]) };
}

function plainLimits(path: string, limits: unknown): LimitSpec[] {
  if (!Array.isArray(limits)) throw invalidTiers(path, limits, "an array of limits, empty for unlimited");
  if (limits.length > MAX_LIMITS) throw invalidTiers(path, Symbol(`${limits.length} limits`), `at most ${MAX_LIMITS}`);
  // Not by its own methods: they leave gaps out.
  return Array.from({ length: limits.length }, (_, index) => {
    const place = `${path}[${index}]`;
    const fields = fieldsOf(place, ownValue(place, limits, index), "an object");
    return Object.fromEntries(
      fields.map(([name, value]) => [name, plainField(place, name, value)]),
    ) as unknown as LimitSpec;
  });
}

/** The only field of a limit that has fields itself is its overage. */
function plainField(path: string, name: string, value: unknown): unknown {
  if (name !== "overage" || value === undefined) return value;
  return Object.fromEntries(fieldsOf(placeOf(path, name), value, OVERAGE_MAY_BE));
}

/** The fields of a plain object; of any realm, since test runners have several. */
function fieldsOf(path: string, value: unknown, mayBe: string): [name: string, value: unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidTiers(path, value, mayBe);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    const shown = Symbol("an object that inherits from another, as one with a __proto__ or of a class does");
    throw invalidTiers(path, shown, mayBe);
  }
  return Reflect.ownKeys(value).map((name) => {
    if (typeof name === "symbol") throw invalidTiers(path, Symbol("an object with a symbol"), mayBe);
    return [name, ownValue(placeOf(path, name), value, name)];
  });
}

/** The value of an object's own field, which is no getter: that could say something else next time. */
function ownValue(path: string, object: object, name: PropertyKey): unknown {
  const field = Object.getOwnPropertyDescriptor(object, name);
  if (field !== undefined && !("value" in field)) throw invalidTiers(path, Symbol("a getter"), "a value");
  return field?.value;
}

/** Where a field stands. */
export function placeOf(path: string, name: string): string {
  return `${path}.${shortened(name)}`;
}

/** @param was The value; a symbol says it in words. */
export function invalidTiers(path: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_TIERS_INVALID", `${path} is ${shown(was)}; it may be ${mayBe}`);
}

function shown(was: unknown): string {
  if (typeof was === "symbol") return was.description ?? "a symbol";
  if (typeof was === "string") return unmistaken(shortened(was));
  if (typeof was === "function") return "a function";
  if (Array.isArray(was)) return "an array";
  if (typeof was === "object" && was !== null) return "an object";
  return String(was);
}

function shortened(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN - 1)}…`;
}
