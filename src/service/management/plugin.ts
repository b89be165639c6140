import type { FastifyInstance } from "fastify";
import type { Registry } from "prom-client";
import type { AddressIdentity } from "../../http/identity.js";
import type { Limiter } from "../../limiter/limiter.js";
import type { SharedLimiter } from "../../shared/shared-limiter.js";
import { takeJson } from "../body.js";
import type { Config } from "../config/schema.js";
import type { Endpoint } from "../endpoints.js";
import type { ApiKeys } from "./api-keys.js";
import { auditCalls } from "./audit.js";
import { keyRoutes } from "./key-routes.js";
import { quotaRoutes } from "./quota-routes.js";
import { statusRoutes } from "./status-routes.js";

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

/** The management API: `/api/v1/…`, for callers whose key has the scope. */
export async function management(app: FastifyInstance, options: ManagementOptions): Promise<void> {
  auditCalls(app);
  takeJson(app, true);
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("cache-control", "no-store");
  });
  await statusRoutes(app, options);
  await quotaRoutes(app, options);
  await keyRoutes(app, options);
}
