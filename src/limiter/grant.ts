import { toMilli } from "../engine/amount.js";
import { optionInvalid, TollkeeperError } from "../errors.js";
import type { BoundTier } from "./bound-tier.js";
import { shown } from "./misuse.js";

/** How tokens are granted. */
export interface GrantOptions {
  /** Of which quota, by name; may be left out where the tier has one quota only. A shadow limit can be named, too. */
  limit?: string | undefined;
  /** Whether what is left of them when the period ends is there in the next; false by default. Not of a quota with overage. */
  keep?: boolean | undefined;
}

/** Tokens to be granted, in thousandths, of a quota of the tier that decides on it. */
export interface Grant {
  readonly boundTier: BoundTier;
  readonly limit: string;
  readonly milli: number;
  readonly keeps: boolean;
}

const OPTIONS = ["limit", "keep"];

/**
 * What is to be granted of which quota of a tier.
 *
 * @throws {TollkeeperError} `ERR_GRANT_INVALID`, `ERR_OPTION_INVALID`
 */
export function grantOf(boundTier: BoundTier, tokens: number, options: GrantOptions): Grant {
  if (typeof options !== "object" || options === null) throw optionInvalid("options", options, "an object");
  for (const option of Object.keys(options)) {
    if (!OPTIONS.includes(option)) throw optionInvalid(option, "unknown", `one of ${OPTIONS.join(", ")}`);
  }
  const { limit, keep = false } = options;
  if (typeof keep !== "boolean") throw optionInvalid("keep", keep, "true or false");
  const milli = typeof tokens === "number" ? toMilli(tokens) : Number.NaN;
  if (!(milli > 0)) {
    throw grantInvalid(`tokens is ${shown(tokens)}; it may be a number above 0 with at most three decimals`);
  }
  const quota = quotaOf(boundTier, limit);
  if (keep && hasOverage(quota)) {
    throw grantInvalid(
      `keep is true; it may be left out for ${quota.limit}, since what is beyond its limit is overage`,
    );
  }
  return { ...quota, milli, keeps: keep };
}

function hasOverage({ boundTier, limit }: Pick<Grant, "boundTier" | "limit">): boolean {
  return boundTier.tier.limits.some(({ name, overageMilli }) => name === limit && overageMilli !== undefined);
}

function quotaOf(boundTier: BoundTier, limit: string | undefined): Pick<Grant, "boundTier" | "limit"> {
  const { name: tier } = boundTier.tier;
  const quotas = [boundTier, ...boundTier.shadows].flatMap((of) =>
    of.tier.limits.flatMap(({ name, rule }) => (rule.type === "quota" ? [{ boundTier: of, limit: name }] : [])),
  );
  const names = quotas.map(({ limit }) => limit).join(", ");
  if (quotas.length === 0) throw grantInvalid(`tier ${tier} has no quota, and tokens can be granted of a quota only`);
  const named = limit === undefined ? quotas : quotas.filter((quota) => quota.limit === limit);
  const [found] = named;
  if (found === undefined) {
    throw grantInvalid(`limit is ${shown(limit)}; it may be a quota of tier ${tier}: ${names}`);
  }
  if (named.length > 1) throw grantInvalid(`tier ${tier} has several quotas; name one as limit: ${names}`);
  return found;
}

function grantInvalid(message: string): TollkeeperError {
  return new TollkeeperError("ERR_GRANT_INVALID", message);
}
