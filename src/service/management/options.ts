import type { Registry } from "prom-client";
import type { Limiter, SharedLimiter } from "tollkeeper";
import type { AddressIdentity } from "tollkeeper/http";
import type { Config } from "../config/schema.js";
import type { Endpoint } from "../endpoints.js";
import type { ApiKeys } from "./api-keys.js";

/** What is managed. */
export interface ManagementOptions {
  config: Config;
  limiter: Limiter | SharedLimiter;
  keys: ApiKeys;
  registry: Registry;
  /** How callers are told apart by address, as it is at the time of the call. */
  addresses: () => AddressIdentity;
  /** The routes of the service. */
  endpoints: () => Endpoint[];
}
