import type { FastifyInstance, RouteOptions } from "fastify";
import type { RouteToll } from "tollkeeper/fastify";
import type { Config } from "./config/schema.js";
import type { Scope } from "./management/api-keys.js";
import type { Endpoint } from "./management/options.js";

/** Notes every route that is registered from now on; returns what gives them, with their costs at that time. */
export function noteEndpoints(app: FastifyInstance, config: Config): () => Endpoint[] {
  const noted: { method: string; path: string; toll: RouteToll | undefined; scope: Scope | undefined }[] = [];
  app.addHook("onRoute", ({ method, url, config: route, schema }: RouteOptions) => {
    // Those of the framework and its plugins, for preflights and the like, describe nothing.
    if (schema?.response === undefined) return;
    for (const each of [method].flat()) {
      if (each !== "HEAD") noted.push({ method: each, path: url, toll: route?.toll, scope: route?.scope });
    }
  });
  return () =>
    noted.map(({ method, path, toll, scope }) => {
      const isBatch = path.endsWith("/batch");
      const cost = isBatch ? config.batchBaseCost : costOf(toll);
      return { method, path, cost, item_cost: isBatch ? config.batchItemCost : null, scope: scope ?? null };
    });
}

function costOf(configured: RouteToll | undefined): number {
  const toll = typeof configured === "function" ? configured() : configured;
  if (toll === false) return 0;
  return typeof toll?.cost === "number" ? toll.cost : 1;
}
