import type { Registry } from "prom-client";
import type { Limiter, SharedLimiter } from "tollkeeper";
import type { AddressIdentity } from "tollkeeper/http";
import type { Ledger, Prices } from "tollkeeper/ledger";
import type { OpenedWebhooks } from "../webhooks/open.js";
import type { ApiKeys } from "./api-keys.js";

/** A route, and what a call of it costs. */
export interface Endpoint {
  /** `GET` */
  method: string;
  /** As registered: `/api/v1/keys/:id` */
  path: string;
  /** Tokens of one call. */
  cost: number;
  /** Tokens of each item of a batch; null for other routes. */
  item_cost: number | null;
  /** What an API key must be good for; null if any, or none, will do. */
  scope: string | null;
}

/** What is managed. */
export interface ManagementOptions {
  /** Of the API, as `GET …/status` tells it. */
  version: string;
  /** Whether nobody is denied at the time, only counted. */
  isShadow: () => boolean;
  limiter: Limiter | SharedLimiter;
  keys: ApiKeys;
  outgoing: OpenedWebhooks;
  /** What was served; undefined where that is not counted. */
  ledger: Ledger | undefined;
  /** Prices of plans, as they are at the time. */
  prices: () => Prices;
  registry: Registry;
  /** How callers are told apart by address, as it is at the time of the call. */
  addresses: () => AddressIdentity;
  /** The routes of the API, with their costs at the time. */
  endpoints: () => Endpoint[];
}
