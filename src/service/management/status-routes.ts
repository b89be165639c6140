import type { FastifyInstance } from "fastify";
import { capacityOf } from "tollkeeper";
import { z } from "zod";
import { answers, answersText, limitState, managed, pageOfItems, pageQuery } from "./contract.js";
import { metricsAsJson } from "./metrics-json.js";
import type { ManagementOptions } from "./options.js";
import { pageOf } from "./page.js";
import { unlimitedOf } from "./quota-state.js";

const PATH = "/api/v1/rate-limit";

const storeStatus = z.object({
  state: z.enum(["unavailable", "recovering", "ready"]).meta({
    description:
      "ready: decisions are shared. Else the outage policy decides: unavailable, Redis is away or refuses; recovering, " +
      "one that came back hears what replicas know.",
  }),
  replicas: z.int(),
  unreconciled: z.number().meta({ description: "Tokens admitted while Redis was away that it has not heard of yet." }),
});
const status = z
  .object({
    version: z.string(),
    engine: z.enum(["native", "js", "redis"]),
    uptime_seconds: z.int(),
    shadow: z.boolean().meta({ description: "Whether nobody is denied, only counted." }),
    keys: z.int().meta({ description: "Accounts and addresses held now." }),
    evictions: z.int(),
    overflow: z.int(),
    decisions: z.array(z.object({ tier: z.string(), allowed: z.int(), denied: z.record(z.string(), z.int()) })),
    store: storeStatus.nullable().meta({ description: "Redis; null without one." }),
  })
  .meta({ id: "Status" });
const health = z
  .object({
    status: z.enum(["ok", "degraded"]),
    limits: z
      .enum(["ok", "degraded"])
      .meta({ description: "degraded while Redis is away and the outage policy decides." }),
    api_keys: z.enum(["ok", "unknown"]).meta({ description: "unknown while it can't be told which keys are good." }),
  })
  .meta({ id: "Health" });
const metrics = z
  .object({
    metrics: z.array(
      z.object({
        name: z.string(),
        help: z.string(),
        type: z.string(),
        values: z.array(
          z.object({
            name: z.string(),
            labels: z.record(z.string(), z.union([z.string(), z.number()])),
            value: z.number().nullable(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: "Metrics" });
const tier = z
  .object({
    name: z.string(),
    limits: z.array(
      limitState
        .pick({ name: true, type: true, limit: true, capacity: true })
        .extend({ shadow: z.boolean().meta({ description: "Whether it denies nobody, and only counts." }) }),
    ),
  })
  .meta({ id: "Tier" });
const endpoint = z
  .object({
    method: z.string(),
    path: z.string(),
    cost: z.number().meta({ description: "Tokens of one call." }),
    item_cost: z.number().nullable().meta({ description: "Tokens of each item of a batch; null for others." }),
    scope: z
      .string()
      .nullable()
      .meta({ description: "What an API key must be good for; null if any, or none, will do." }),
  })
  .meta({ id: "Endpoint" });

/** What those look at who run the service. */
export async function statusRoutes(app: FastifyInstance, options: ManagementOptions): Promise<void> {
  const { limiter, keys, registry, version, isShadow, endpoints } = options;
  const startedMs = performance.now();
  const read = (operationId: string, summary: string, answer: z.ZodType, querystring?: z.ZodType) =>
    managed("quota:read", {
      operationId,
      summary,
      ...(querystring === undefined ? {} : { querystring }),
      response: answers(200, answer, "As it is now, in this replica.", [401, 403, 429, 503]),
    });

  app.get(`${PATH}/status`, read("getStatus", "What this replica has decided and holds", status), async () => {
    const stats = limiter.stats();
    return {
      version,
      engine: stats.engine,
      uptime_seconds: Math.floor((performance.now() - startedMs) / 1000),
      shadow: isShadow(),
      keys: stats.keys,
      evictions: stats.evictions,
      overflow: stats.overflow,
      decisions: stats.tiers,
      store:
        "store" in stats
          ? { state: stats.store.state, replicas: stats.store.replicas, unreconciled: stats.store.unreconciled }
          : null,
    };
  });

  app.get(`${PATH}/health`, read("getHealth", "Whether all is well", health), async () => {
    const { isReady } = limiter;
    const limits = isReady ? "ok" : "degraded";
    const api_keys = keys.isFresh ? "ok" : "unknown";
    return { status: isReady && keys.isFresh ? "ok" : "degraded", limits, api_keys };
  });

  const text = managed("quota:read", {
    operationId: "getMetrics",
    summary: "Metrics as Prometheus reads them",
    response: answersText("Prometheus's text format.", [401, 403, 429, 503]),
  });
  app.get(`${PATH}/metrics`, text, async (_request, reply) => {
    reply.header("content-type", registry.contentType);
    return reply.send(Buffer.from(await registry.metrics()));
  });
  app.get(`${PATH}/metrics/json`, read("getMetricsAsJson", "The same figures as JSON", metrics), async () => ({
    metrics: await metricsAsJson(registry),
  }));

  app.get<{ Querystring: z.infer<typeof pageQuery> }>(
    `${PATH}/tiers`,
    read("listTiers", "The tiers in force", pageOfItems(tier), pageQuery),
    async ({ query: { limit, after } }) => {
      const { tiers } = limiter;
      const unlimited = unlimitedOf(tiers);
      const page = pageOf(Object.keys(tiers), (name) => name, limit, after);
      const items = page.items.map((name) => {
        const own = (tiers[name]?.limits ?? []).map((spec) => ({ ...spec, capacity: capacityOf(spec) }));
        const others = unlimited.filter((other) => !own.some((spec) => spec.name === other.name));
        return {
          name,
          limits: [...own, ...others].map(({ name, type, limit, capacity, ...rest }) => ({
            name,
            type,
            limit,
            capacity,
            shadow: "shadow" in rest && rest.shadow === true,
          })),
        };
      });
      return { ...page, items };
    },
  );

  app.get<{ Querystring: z.infer<typeof pageQuery> }>(
    `${PATH}/endpoints`,
    read("listEndpoints", "The routes, and what a call of each costs", pageOfItems(endpoint), pageQuery),
    async ({ query: { limit, after } }) => pageOf(endpoints(), ({ method, path }) => `${path} ${method}`, limit, after),
  );
}
