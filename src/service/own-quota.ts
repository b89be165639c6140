import type { FastifyInstance } from "fastify";
import { createLimiter, type Limiter, type SharedLimiter } from "tollkeeper";
import { callerOf, type FieldOptions, sendProblem } from "tollkeeper/fastify";
import { fieldsOf, problemOf } from "tollkeeper/http";
import type { Caller } from "./management/caller.js";
import { answers, quotaState, securedBy } from "./management/contract.js";
import { quotaStateOf } from "./management/quota-state.js";

/** How often a caller may look, per minute and replica. */
const LOOKS = 60;
/** Callers told apart; those beyond share one limit. */
const MAX_KEYS = 100_000;

/** `GET /v1/quota`: where the caller stands. It costs nothing, and is limited for itself. */
export async function ownQuota(
  app: FastifyInstance,
  { limiter, fields }: { limiter: Limiter | SharedLimiter; fields: FieldOptions },
): Promise<void> {
  const limit = { name: "looks", type: "bucket", limit: LOOKS, windowSeconds: 60, burst: 1 } as const;
  const looks = createLimiter({ tiers: { looks: { limits: [limit] } }, engine: "js", maxKeys: MAX_KEYS });
  app.addHook("onClose", () => looks.close());

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
      const look = looks.consume(key, "looks");
      reply.header("cache-control", "no-store");
      const problem = problemOf(look, fields);
      if (problem !== undefined) return sendProblem(reply, problem, Object.fromEntries(fieldsOf(look, fields)));
      const decision = await limiter.peek(key, tier, 0);
      for (const [name, text] of fieldsOf(decision, fields)) reply.header(name, text);
      return quotaStateOf(key, decision, owner?.overrides ?? null, limiter.tiers);
    },
  );
}
