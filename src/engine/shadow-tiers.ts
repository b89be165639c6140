import { TollkeeperError } from "../errors.js";
import type { LimitSpec, TierSpec, Tiers } from "./spec.js";

/** Parts a tier from one of its shadow limits; no tier that is configured has it in its name. */
const MARK = "\0";

/**
 * Tiers as an engine has them: each shadow limit is a tier of its own, asked after the one that it is of. Thus it can
 * deny nothing and take nothing back, and its count is that of the same key, under the same name as once it is in force.
 *
 * @throws {TollkeeperError} `ERR_TIERS_INVALID` for a name that would be taken for such a tier's.
 */
export function splitTiers(tiers: Tiers): Tiers {
  const split: [string, TierSpec][] = [];
  for (const [name, { limits }] of Object.entries(tiers)) {
    if (name.includes(MARK)) {
      throw new TollkeeperError("ERR_TIERS_INVALID", `tiers.${JSON.stringify(name)} has a NUL in its name`);
    }
    split.push([name, { limits: limits.filter(({ shadow }) => shadow !== true).map(plain) }]);
    for (const limit of limits)
      if (limit.shadow === true) split.push([name + MARK + limit.name, { limits: [plain(limit)] }]);
  }
  return Object.fromEntries(split);
}

/** Tiers as configured, of those that an engine has; shadow limits come after the others. */
export function joinTiers(tiers: Tiers): Tiers {
  const joined: Record<string, TierSpec> = {};
  for (const [name, { limits }] of Object.entries(tiers)) {
    const tier = shadowedTier(name);
    if (tier === undefined) joined[name] = { limits };
    else
      joined[tier] = {
        limits: [...(joined[tier]?.limits ?? []), ...limits.map((limit) => ({ ...limit, shadow: true }))],
      };
  }
  return joined;
}

/** The tier whose shadow limit an engine's tier is; undefined if it is a tier as configured. */
export function shadowedTier(name: string): string | undefined {
  const at = name.indexOf(MARK);
  return at < 0 ? undefined : name.slice(0, at);
}

function plain({ shadow: _, ...limit }: LimitSpec): LimitSpec {
  return limit;
}
