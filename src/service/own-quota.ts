import type { FastifyInstance } from "fastify";
import type { Limiter, SharedLimiter } from "tollkeeper";
import { callerOf, type FieldOptions } from "tollkeeper/fastify";
import { fieldsOf } from "tollkeeper/http";
import { limitLooks } from "./looks.js";
import type { Caller } from "./management/caller.js";
import { answers, quotaState, securedBy } from "./management/contract.js";
import { quotaStateOf } from "./management/quota-state.js";

/** `GET /v1/quota`: where the caller stands. It costs nothing, and is limited for itself. */
export async function ownQuota(
  app: FastifyInstance,
  { limiter, fields }: { limiter: Limiter | SharedLimiter; fields: FieldOptions },
): Promise<void> {
  const refuseLook = limitLooks(app, fields);

  app.get(
    "/v1/quota",
    {
      config: { toll: { cost: 0, identified: true } },
      schema: {
        operationId: "getOwnQuota",
        summary: "Your own limits, and what is left of them",
        tags: ["quota"],
        security: securedBy(undefined, true),
        response: answers(200, quotaState, "Where you stand.", [401, 403, 429, 503]),
      },
    },
    async (request, reply) => {
      const { key, tier, owner } = callerOf(request) as Caller;
      const refused = refuseLook(key, reply);
      if (refused !== undefined) return refused;
      const decision = await limiter.peek(key, tier, 0);
      for (const [name, text] of fieldsOf(decision, fields)) reply.header(name, text);
      return quotaStateOf(key, decision, owner?.overrides ?? null, limiter.tiers);
    },
  );
}
