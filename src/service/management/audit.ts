import type { FastifyInstance, FastifyRequest } from "fastify";
import { callerOf } from "tollkeeper/fastify";
import { type Caller, whoCalls } from "./caller.js";
import { LogBudget } from "./log-budget.js";

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a management route does, for the audit log; it logs each call if this is set. */
    audit?: string;
  }
}

/**
 * Logs each call that is to be audited, whatever the level of the other lines: who did what to whom, and what became of
 * it. Neither the key that was shown nor one that was made is in it. Of calls that were let in every one is logged; of those
 * that were refused a few a minute, and how many more there were, since anybody can make them.
 */
export function auditCalls(app: FastifyInstance): void {
  const log = app.log.child({}, { level: "info" });
  const refusals = new LogBudget((omitted) => log.info({ omitted }, "refused calls that the audit leaves out"));
  app.addHook("onClose", async () => refusals.end());
  app.addHook("onResponse", (request, reply, done) => {
    const { audit: action } = request.routeOptions.config;
    if (action === undefined) return done();
    const caller = whoCalls(request);
    const { subject, account, id } = (request.params ?? {}) as { subject?: string; account?: string; id?: string };
    const body = (request.body ?? {}) as { account?: string };
    const audit = {
      action,
      by: caller?.owner?.name ?? null,
      with: caller?.keyId ?? null,
      on: withoutKeys(subject ?? account ?? id ?? body.account) ?? null,
      // What was asked for, once it is known to be well-formed.
      change: reply.statusCode < 400 ? withoutKeys(askedOf(request)) : null,
      status: reply.statusCode,
      request: request.id,
    };
    const write = () => log.info({ audit }, "audit");
    const isLetIn = (callerOf(request) as Caller | undefined)?.owner !== undefined;
    if (isLetIn) write();
    else refusals.write(`${action} ${reply.statusCode} ${audit.by ?? "nobody"}`, write);
    done();
  });
}

/** What a change says that it wants: its body, or, as a deletion, what stands in its address. */
function askedOf({ method, body, query }: FastifyRequest): unknown {
  const isInAddress = method === "DELETE" && Object.keys(query ?? {}).length > 0;
  return body ?? (isInAddress ? query : null);
}

/** What a call says, but for a key that somebody took for a name. */
function withoutKeys(said: unknown): unknown {
  const text = JSON.stringify(said);
  return text && JSON.parse(text.replaceAll(/fpk_[a-z]+_\w+/g, "fpk_******"));
}
