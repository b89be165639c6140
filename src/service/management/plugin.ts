import type { FastifyInstance } from "fastify";
import { accountRoutes } from "./account-routes.js";
import { auditCalls } from "./audit.js";
import { keyRoutes } from "./key-routes.js";
import type { ManagementOptions } from "./options.js";
import { previewRoutes } from "./preview-routes.js";
import { quotaRoutes } from "./quota-routes.js";
import { statusRoutes } from "./status-routes.js";
import { usageRoutes } from "./usage-routes.js";
import { webhookRoutes } from "./webhook-routes.js";

/**
 * The management API: `/api/v1/…`, for callers whose key has the scope. Bodies are parsed as the app around it has it; one of
 * no bytes should be none.
 */
export async function management(app: FastifyInstance, options: ManagementOptions): Promise<void> {
  auditCalls(app);
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("cache-control", "no-store");
  });
  await statusRoutes(app, options);
  await quotaRoutes(app, options);
  await keyRoutes(app, options);
  await accountRoutes(app, options);
  await usageRoutes(app, options);
  await previewRoutes(app, options);
  await webhookRoutes(app, options);
}
