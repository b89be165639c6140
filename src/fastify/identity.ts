import type { FastifyRequest } from "fastify";
import { type Ip, isWithin, type Network, parseIp } from "../config/network.js";
import { TollkeeperError } from "../errors.js";
import { type AddressOptions, AddressReader, networksOf } from "./address.js";
import { type Problem, problem } from "./problem.js";

/** Answers a call with a problem instead of letting it through. */
export interface Refusal {
  refusal: Problem;
  /** Header fields of the answer, such as `www-authenticate`. */
  headers?: Record<string, string>;
}

/** Who calls: whose tokens are spent, and under which tier. With a refusal the call is charged and then refused. */
export interface Identity extends Partial<Refusal> {
  /** The limiter's key, such as `acct:42`. */
  key: string;
  tier: string;
}

/** Says who calls; without a key nothing is charged and the call is refused. */
export type Identify = (request: FastifyRequest) => Identity | Refusal | PromiseLike<Identity | Refusal>;

/**
 * Nobody gets in because a look-up came back empty.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID` for what is neither.
 */
export function checkIdentity(identity: Identity | Refusal): void {
  const { key, tier, refusal } = (identity ?? {}) as Partial<Identity & Refusal>;
  if (refusal === undefined && (typeof key !== "string" || typeof tier !== "string")) {
    throw new TollkeeperError(
      "ERR_OPTION_INVALID",
      "identify returned neither a key and a tier nor a refusal; it may return one of these",
    );
  }
}

/** How callers are told apart by address. */
export interface AddressIdentityOptions extends AddressOptions {
  /** Networks, in CIDR notation, whose callers are of the tier `trusted`; all others are `anonymous`. */
  trusted?: readonly string[] | undefined;
}

const ADDRESS_UNKNOWN: Refusal = {
  refusal: problem(403, "address_unknown", "The call has no key, and the address that it comes from can't be known."),
};

/** Tells callers apart by address. */
export class AddressIdentity {
  readonly #reader: AddressReader;
  readonly #trusted: readonly Network[];
  readonly #known = new WeakMap<Ip, Identity>();

  /** @throws {TollkeeperError} `ERR_OPTION_INVALID` */
  constructor(options: AddressIdentityOptions) {
    this.#reader = new AddressReader(options);
    this.#trusted = networksOf("trusted", options.trusted ?? []);
  }

  /** The caller at the address from which a request comes. */
  ofRequest({ raw }: FastifyRequest): Identity | Refusal {
    return this.#of(this.#reader.read(raw));
  }

  /** The caller at an address that somebody trustworthy has told. */
  ofText(address: string): Identity | Refusal {
    return this.#of(parseIp(address));
  }

  #of(ip: Ip | undefined): Identity | Refusal {
    if (ip === undefined) return ADDRESS_UNKNOWN;
    let identity = this.#known.get(ip);
    if (identity === undefined) {
      identity = { key: this.#reader.keyOf(ip), tier: isWithin(ip, this.#trusted) ? "trusted" : "anonymous" };
      this.#known.set(ip, identity);
    }
    return identity;
  }
}

/**
 * Tells callers apart by address. A caller without one is refused: it gets neither an unlimited pass nor a bucket
 * shared with others like it.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function identifyByAddress(
  options: AddressIdentityOptions = {},
): (request: FastifyRequest) => Identity | Refusal {
  const identity = new AddressIdentity(options);
  return (request) => identity.ofRequest(request);
}
