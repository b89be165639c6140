import type { FastifyRequest } from "fastify";
import type { Problem, Refusal } from "tollkeeper/fastify";
import type { AddressIdentity } from "tollkeeper/http";
import { type ProblemCode, serviceProblem } from "../problem-codes.js";
import { limiterKeyOf, limiterTierOf } from "./account.js";
import { refusalOf } from "./account-refusal.js";
import type { ApiKeys, Scope, VerifiedKey } from "./api-keys.js";
import { type Caller, type Identified, noteRefused } from "./caller.js";
import { Gateway, type GatewayOptions } from "./gateway.js";

/** How the callers of the service are told apart. */
export interface CallerOptions extends GatewayOptions {
  keys: ApiKeys;
  addresses: AddressIdentity;
  /** Whether a call without an account is refused; otherwise it counts for its address. */
  requireAuthentication: boolean;
  /** Whether only the gateway may say where a call without a good key comes from; others' are refused. */
  requireGateway: boolean;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** What the API key must be good for. A route that says nothing takes callers without one, too. */
    scope?: Scope;
    /** Whether callers without a key may call as well, by consumer or address. */
    keyless?: boolean;
  }
}

/**
 * By what the gateway says, by API key, or else by address. A key that is not good is refused and charged to the
 * address, so that trying keys is never free, and nobody else pays for it.
 */
export function identifyCaller(options: CallerOptions): (request: FastifyRequest) => Identified {
  const { keys, addresses, requireAuthentication, requireGateway } = options;
  const gateway = new Gateway(options, keys.accounts);
  /** What is remembered with a key that was found, for as long as that is and the tiers are these. */
  let callers = new WeakMap<VerifiedKey, Caller>();
  let tiers = options.tiers();

  /** Refuses a call at the expense of its address; without one there is nobody to charge, and nothing is told. */
  const refuse = (from: Identified, code: ProblemCode, detail: string): Identified => {
    if (!("key" in from)) return from;
    const refusal = serviceProblem(code, detail);
    return { ...from, refusal, ...(refusal.status === 401 && { headers: { "www-authenticate": "Bearer" } }) };
  };

  const ownerOf = (key: VerifiedKey): Caller => {
    const inForce = options.tiers();
    if (inForce !== tiers) {
      tiers = inForce;
      callers = new WeakMap();
    }
    let caller = callers.get(key);
    if (caller === undefined) {
      const { id, account } = key;
      const tier = limiterTierOf(account, tiers);
      caller = { key: limiterKeyOf(account.name), tier, keyId: id, account: account.name, owner: account };
      callers.set(key, caller);
    }
    return caller;
  };

  const byKey = (request: FastifyRequest, text: string, address: () => Identified): Identified => {
    const { scope } = request.routeOptions.config;
    if (!keys.isFresh) return { refusal: KEYS_UNKNOWN, headers: { "retry-after": "1" } };
    const key = keys.verify(text);
    if (key === undefined && keys.isExpired(text)) {
      return refuse(address(), "api_key_expired", "The API key has expired.");
    }
    if (key === undefined) {
      return refuse(address(), "api_key_invalid", "The API key is malformed, unknown or revoked.");
    }
    const caller = ownerOf(key);
    const refusal = refusalOf(key.account);
    if (refusal !== undefined) {
      noteRefused(request, caller);
      return refusal;
    }
    if (scope === undefined || key.scopes.includes(scope)) return caller;
    noteRefused(request, caller);
    return refuse(caller, "scope_missing", `The API key may not be used for this; it needs the scope ${scope}.`);
  };

  return (request) => {
    if (request.raw.rawHeaders.length > 2 * MAX_FIELDS) return { refusal: TOO_MANY_FIELDS };
    const { keyless = true } = request.routeOptions.config;
    const isFromGateway = gateway.authenticates(request);
    const consumer = isFromGateway && keyless ? gateway.consumerOf(request) : undefined;
    if (consumer !== undefined) return consumer;
    const address = () => {
      if (isFromGateway) return addresses.ofText(gateway.addressOf(request));
      return requireGateway ? PAST_THE_GATEWAY : addresses.ofMessage(request.raw);
    };
    const credential = credentialOf(request);
    if (typeof credential === "string") return byKey(request, credential, address);
    if (credential === CONTRADICTION) {
      const detail = "The call names different keys in Authorization or X-API-Key; send one of them.";
      return refuse(address(), "credentials_contradict", detail);
    }
    if (keyless && !requireAuthentication) return address();
    const detail = "Send an API key as Authorization: Bearer or X-API-Key.";
    return refuse(address(), "authentication_required", detail);
  };
}

/** Fields of a header that are read. */
export const MAX_FIELDS = 100;

/** What Node leaves out stands at the end, where a gateway or proxy in front adds what it knows of the caller. */
const TOO_MANY_FIELDS: Problem = serviceProblem("header_too_large", `The header has more than ${MAX_FIELDS} fields.`);

const KEYS_UNKNOWN: Problem = serviceProblem("keys_unavailable", "It can't be told just now which API keys are good.");

/** Its address may be the gateway's own, whose secret was lost on the way: a bucket that all such calls would share. */
const PAST_THE_GATEWAY: Refusal = {
  refusal: serviceProblem(
    "gateway_required",
    "The call shows neither the gateway's secret nor an API key that is good.",
  ),
};

const CONTRADICTION = Symbol("two credentials that disagree");

/** What a call shows as its key; never taken from the query, which ends up in logs and histories. */
function credentialOf({ headers, raw }: FastifyRequest): string | typeof CONTRADICTION | undefined {
  const apiKey = headers["x-api-key"]?.toString();
  if (headers.authorization === undefined) return apiKey;
  // Of several lines `headers` has the first only; calls made by `inject` have no other.
  const [bearer, ...others] = (raw.headersDistinct?.["authorization"] ?? [headers.authorization]).map(bearerOf);
  if (apiKey !== undefined) others.push(apiKey);
  return others.every((other) => other === bearer) ? bearer : CONTRADICTION;
}

/** The key of one line; another scheme, or none, is a credential too: one that is not known here. */
function bearerOf(authorization: string): string {
  return /^bearer +(\S*)$/i.exec(authorization.trimEnd())?.[1] ?? "";
}
