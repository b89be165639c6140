import type { FastifyRequest } from "fastify";
import { type Fault, faultOf, type Toll, tollOf } from "../http/index.js";

/**
 * The toll of the route that a request has found, or what is wrong with it; 1 if it has found none, since guessing routes
 * is not free.
 */
export function routeTollOf({ routeOptions }: FastifyRequest): Toll<FastifyRequest> | Fault {
  try {
    return tollOf(routeOptions.config.toll);
  } catch (error) {
    return faultOf(error);
  }
}
