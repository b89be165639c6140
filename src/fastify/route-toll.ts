import type { FastifyContextConfig, FastifyRequest } from "fastify";
import { checkedToll, type Fault, faultOf, type Toll } from "../http/index.js";

/** Fastify's own property of a request that holds its route; undefined until it has been looked for. */
let kRoute: symbol | undefined;
let hasLooked = false;

/**
 * The toll of the route that a request has found, or what is wrong with it; 1 if it has found none, since guessing routes
 * is not free.
 */
export function routeTollOf(request: FastifyRequest): Toll<FastifyRequest> | Fault {
  try {
    return checkedToll(configOf(request).toll);
  } catch (error) {
    return faultOf(error);
  }
}

/**
 * What `request.routeOptions.config` is, which makes an object of twelve fields each time it is read. Where Fastify keeps
 * it is in no public place, so it is looked for by name, once, and taken only if it is the same.
 */
function configOf(request: FastifyRequest): Partial<FastifyContextConfig> {
  if (!hasLooked) {
    hasLooked = true;
    const found = Object.getOwnPropertySymbols(request).find(({ description }) => description === "fastify.context");
    if (found !== undefined && configAt(request, found) === request.routeOptions.config) kRoute = found;
  }
  const config = kRoute === undefined ? undefined : configAt(request, kRoute);
  return config ?? request.routeOptions.config;
}

function configAt(request: FastifyRequest, key: symbol): FastifyContextConfig | undefined {
  return (request as unknown as Record<symbol, { config?: FastifyContextConfig } | undefined>)[key]?.config;
}
