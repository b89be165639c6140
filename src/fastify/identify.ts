import type { Server } from "node:http";
import type { FastifyRequest } from "fastify";
import { AddressIdentity, type AddressIdentityOptions, type Identity, type Refusal } from "../http/index.js";
import { namedProxies, ownTrustProxy } from "./trust-proxy.js";

/**
 * Tells callers apart by address. A caller without one is refused: it gets neither an unlimited pass nor a bucket
 * shared with others like it. Where `trustProxy` is left out, Fastify's own option of that name is taken if it names
 * networks.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function identifyByAddress(
  options: AddressIdentityOptions = {},
): (request: FastifyRequest) => Identity | Refusal {
  if (options.trustProxy !== undefined) {
    const addresses = new AddressIdentity(options);
    return ({ raw }) => addresses.ofMessage(raw);
  }
  new AddressIdentity(options); // What is wrong with the options is told now, and not by the first call.
  const ofServers = new WeakMap<Server, AddressIdentity>();
  return ({ server: app, raw }) => {
    let addresses = ofServers.get(app.server);
    if (addresses === undefined) {
      const own = ownTrustProxy(app);
      addresses = new AddressIdentity({ ...options, trustProxy: namedProxies(own) }, () => warnOfIgnored(own));
      ofServers.set(app.server, addresses);
    }
    return addresses.ofMessage(raw);
  };
}

function warnOfIgnored(own: unknown): void {
  const ownToo = own
    ? `; Fastify's own trustProxy (${typeof own === "function" ? "a function" : JSON.stringify(own)}) is not taken for it unless it names networks that hold not every address`
    : "";
  process.emitWarning(
    "X-Forwarded-For comes from a peer that is not trusted and is ignored: all callers behind that peer count as one. " +
      `If it is your proxy, name its network in tollkeeper's option trustProxy${ownToo}`,
    { type: "TollkeeperWarning", code: "TOLLKEEPER_PROXY_NOT_TRUSTED" },
  );
}
