import type { FastifyInstance, FastifyReply } from "fastify";
import { createLimiter } from "tollkeeper";
import { type FieldOptions, sendProblem } from "tollkeeper/fastify";
import { fieldsOf, problemOf } from "tollkeeper/http";

/** How often a caller may look, per minute and replica. */
const LOOKS = 60;
/** Callers told apart; those beyond share one limit. */
const MAX_KEYS = 100_000;

/**
 * Limits how often callers look at what is theirs, which costs them nothing. What it returns is asked at each look: it answers
 * one that is too much, and says nothing of any other.
 */
export function limitLooks(
  app: FastifyInstance,
  fields: FieldOptions,
): (key: string, reply: FastifyReply) => FastifyReply | undefined {
  const limit = { name: "looks", type: "bucket", limit: LOOKS, windowSeconds: 60, burst: 1 } as const;
  const looks = createLimiter({ tiers: { looks: { limits: [limit] } }, engine: "js", maxKeys: MAX_KEYS });
  app.addHook("onClose", () => looks.close());
  return (key, reply) => {
    const look = looks.consume(key, "looks");
    reply.header("cache-control", "no-store");
    const problem = problemOf(look, fields);
    return problem && sendProblem(reply, problem, Object.fromEntries(fieldsOf(look, fields)));
  };
}
