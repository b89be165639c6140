import type { Server } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { TollkeeperError } from "../errors.js";
import { type AddressOptions, AddressReader, networksOf } from "./address.js";
import { type Ip, isWithin, type Network, parseIp } from "./network.js";
import { type Problem, problem } from "./problem.js";
import { namedProxies, ownTrustProxy } from "./trust-proxy.js";

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

/** Told once of a request that says for whom it calls, by a peer that is not trusted. */
export type OnIgnored = (request: FastifyRequest) => void;

/** Tells callers apart by address. */
export class AddressIdentity {
  readonly #options: AddressIdentityOptions;
  readonly #trusted: readonly Network[];
  readonly #known = new WeakMap<Ip, Identity>();
  #onIgnored: OnIgnored | undefined;
  #reader: AddressReader;
  /** The server whose own option is taken for want of another. */
  #server: Server | undefined;

  /**
   * @param onIgnored By default a process warning.
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`
   */
  constructor(options: AddressIdentityOptions, onIgnored: OnIgnored = warnOfIgnored) {
    this.#options = options;
    this.#reader = new AddressReader(options);
    this.#trusted = networksOf("trusted", options.trusted ?? []);
    this.#onIgnored = onIgnored;
  }

  /** The caller at the address from which a request comes. */
  ofRequest(request: FastifyRequest): Identity | Refusal {
    const { raw, server: app } = request;
    if (this.#options.trustProxy === undefined && app.server !== this.#server) this.#takeOwn(app);
    if (this.#onIgnored !== undefined && this.#reader.ignores(raw)) {
      this.#onIgnored(request);
      this.#onIgnored = undefined;
    }
    return this.#of(this.#reader.read(raw));
  }

  /** The caller at an address that somebody trustworthy has told. */
  ofText(address: string): Identity | Refusal {
    return this.#of(parseIp(address));
  }

  #takeOwn(app: FastifyInstance): void {
    this.#server = app.server;
    this.#reader = new AddressReader(this.#options, namedProxies(ownTrustProxy(app)));
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

function warnOfIgnored({ server }: FastifyRequest): void {
  const own = ownTrustProxy(server);
  const ownToo = own
    ? `; Fastify's own trustProxy (${typeof own === "function" ? "a function" : JSON.stringify(own)}) is not taken for it unless it names networks that hold not every address`
    : "";
  process.emitWarning(
    "X-Forwarded-For comes from a peer that is not trusted and is ignored: all callers behind that peer count as one. " +
      `If it is your proxy, name its network in tollkeeper's option trustProxy${ownToo}`,
    { type: "TollkeeperWarning", code: "TOLLKEEPER_PROXY_NOT_TRUSTED" },
  );
}
