import { optionInvalid } from "../errors.js";
import type { AddressIdentityOptions, Identify } from "./identity.js";
import { LAYER_OPTIONS, Layer, type LayerOptions } from "./layer.js";

/** Limits as every adapter takes them: callers are told apart by address, or by a function of the app's own. */
export interface AdapterOptions<Request> extends AddressIdentityOptions, Omit<LayerOptions<Request>, "identify"> {
  /** Says who calls. By default callers are told apart by address, and the options for that stand beside this one. */
  identify?: Identify<Request> | undefined;
}

const ADDRESS_OPTIONS = ["trustProxy", "trusted", "ipv6Prefix"] as const;

/**
 * The layer that options of an adapter say.
 *
 * @param own Names of the options that only this adapter has.
 * @param byAddress Who calls, where no function says so.
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function layerOf<Request>(
  options: AdapterOptions<Request>,
  own: readonly string[],
  byAddress: (options: AddressIdentityOptions) => Identify<Request>,
): Layer<Request> {
  const names: readonly string[] = [...LAYER_OPTIONS, ...ADDRESS_OPTIONS, ...own];
  const unknown = Object.keys(options).find((option) => !names.includes(option));
  if (unknown !== undefined) throw optionInvalid(unknown, "unknown", `one of ${names.join(", ")}`);
  const { limiter, identify } = options;
  if (identify === undefined) {
    const tiers = options.trusted?.length ? ["anonymous", "trusted"] : ["anonymous"];
    const missing = tiers.find((tier) => limiter?.tiers !== undefined && !Object.hasOwn(limiter.tiers, tier));
    if (missing !== undefined) {
      const mayBe = "one with it, since callers known by address are of it";
      throw optionInvalid("limiter", `without a tier ${missing}`, mayBe);
    }
    return new Layer({ ...options, identify: byAddress(options) });
  }
  const idle = ADDRESS_OPTIONS.find((option) => options[option] !== undefined);
  if (idle !== undefined) {
    throw optionInvalid(idle, options[idle], `left out beside identify; call identifyByAddress({ ${idle} }) in it`);
  }
  return new Layer({ ...options, identify });
}

/** @throws {TollkeeperError} `ERR_OPTION_INVALID` */
export function checkFunctions<Options extends object>(
  options: Options,
  names: readonly (keyof Options & string)[],
): void {
  const wrong = names.find((name) => options[name] !== undefined && typeof options[name] !== "function");
  if (wrong !== undefined) throw optionInvalid(wrong, options[wrong], "a function");
}
