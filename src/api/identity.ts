import type { FastifyRequest } from "fastify";
import { type AddressIdentityOptions, type Identity, identifyByAddress, type Refusal } from "../fastify/identity.js";
import { problem } from "../fastify/problem.js";
import type { ApiKeys } from "./keys.js";

/** How the callers of the service are told apart. */
export interface CallerOptions extends AddressIdentityOptions {
  keys: ApiKeys;
  /** Whether a call without an API key is refused; otherwise it counts for its address. */
  requireAuthentication: boolean;
}

/**
 * By API key, or else by address. A key that is not good is refused and charged to the address, so that trying keys is
 * never free, and nobody else pays for it.
 */
export function identifyCaller(options: CallerOptions): (request: FastifyRequest) => Identity | Refusal {
  const { keys, requireAuthentication, ...addressOptions } = options;
  const byAddress = identifyByAddress(addressOptions);

  function refuse(request: FastifyRequest, code: string, detail: string): Identity | Refusal {
    const caller = byAddress(request);
    // Without an address there is nobody to charge, and nothing is answered that helps to try keys.
    if (!("key" in caller)) return caller;
    return { ...caller, refusal: problem(401, code, detail), headers: { "www-authenticate": "Bearer" } };
  }

  return (request) => {
    const credential = credentialOf(request);
    if (credential === undefined) {
      if (!requireAuthentication) return byAddress(request);
      return refuse(request, "authentication_required", "Send an API key as Authorization: Bearer or X-API-Key.");
    }
    if (credential === CONTRADICTION) {
      return refuse(
        request,
        "credentials_contradict",
        "The call names different keys in Authorization or X-API-Key; send one of them.",
      );
    }
    const record = keys.find(credential);
    if (record === undefined)
      return refuse(request, "api_key_invalid", "The API key is malformed, unknown or revoked.");
    return { key: `acct:${record.account}`, tier: record.tier };
  };
}

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
  return /^bearer +(\S*) *$/i.exec(authorization)?.[1] ?? "";
}
