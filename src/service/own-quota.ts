import type { FastifyInstance } from "fastify";
import { createLimiter, type Limiter, type SharedLimiter } from "tollkeeper";
import { callerOf, sendProblem } from "tollkeeper/fastify";
import { LimitHeaders } from "../http/headers.js";
import { quotaExceeded } from "../http/problem.js";
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
  { limiter, extendedHeaders }: { limiter: Limiter | SharedLimiter; extendedHeaders: boolean },
): Promise<void> {
  const limit = { name: "looks", type: "bucket", limit: LOOKS, windowSeconds: 60, burst: 1 } as const;
  const looks = createLimiter({ tiers: { looks: { limits: [limit] } }, engine: "js", maxKeys: MAX_KEYS });
  app.addHook("onClose", () => looks.close());
  const headers = new LimitHeaders(extendedHeaders);

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
      const { key, tier, account } = callerOf(request) as Caller;
      const look = looks.consume(key, "looks");
      reply.header("cache-control", "no-store");
      if (!look.allowed) {
        headers.write(reply, look);
        const document = quotaExceeded(look, undefined);
        return sendProblem(reply, document, { "retry-after": String(document["retry_after"]) });
      }
      const decision = await limiter.peek(key, tier, 0);
      headers.write(reply, decision);
      return quotaStateOf(key, decision, account?.overrides ?? null, limiter.tiers);
    },
  );
}
