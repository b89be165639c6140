import { TollkeeperError } from "../errors.js";
import type { AddressIdentityOptions, Identify } from "../http/identity.js";
import type { Limiter } from "../limiter/limiter.js";
import type { SharedLimiter } from "../shared/shared-limiter.js";

/** How the plugin is registered. */
export interface TollkeeperOptions extends AddressIdentityOptions {
  limiter: Limiter | SharedLimiter;
  /** Says who calls. By default callers are told apart by address, and the options for that stand beside this one. */
  identify?: Identify;
  /** Whether the `X-` fields are sent beside `RateLimit` and `RateLimit-Policy`; true by default. */
  extendedHeaders?: boolean;
  /** Shadow mode: decides and counts, and denies nobody; false by default. A function is asked at each denial. */
  shadow?: boolean | (() => boolean);
}

const ADDRESS_OPTIONS = ["trustProxy", "trusted", "ipv6Prefix"] as const;
const OPTIONS = ["limiter", "identify", "extendedHeaders", "shadow", ...ADDRESS_OPTIONS];

/** @throws {TollkeeperError} `ERR_OPTION_INVALID` */
export function checkOptions(options: TollkeeperOptions): void {
  const unknown = Object.keys(options).find((option) => !OPTIONS.includes(option) && option !== "prefix");
  if (unknown !== undefined) throw invalid(`${unknown} is unknown; it may be one of ${OPTIONS.join(", ")}`);
  const { limiter, identify, extendedHeaders, shadow } = options;
  if (typeof limiter?.consume !== "function")
    throw invalid("limiter is missing; it may be what createLimiter returned");
  if (extendedHeaders !== undefined && typeof extendedHeaders !== "boolean")
    throw invalid("extendedHeaders may be true or false");
  if (!["undefined", "boolean", "function"].includes(typeof shadow))
    throw invalid("shadow may be true, false or a function that returns one of them");
  if (identify === undefined) {
    const tiers = options.trusted?.length ? ["anonymous", "trusted"] : ["anonymous"];
    const missing = tiers.find((tier) => !Object.hasOwn(limiter.tiers, tier));
    if (missing !== undefined)
      throw invalid(`the limiter has no tier ${missing}, which callers known by address are of`);
    return;
  }
  if (typeof identify !== "function") throw invalid("identify may be a function");
  const idle = ADDRESS_OPTIONS.find((option) => options[option] !== undefined);
  if (idle !== undefined)
    throw invalid(`${idle} has no effect beside identify; call identifyByAddress({ ${idle} }) in it`);
}

function invalid(message: string): TollkeeperError {
  return new TollkeeperError("ERR_OPTION_INVALID", message);
}
