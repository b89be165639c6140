import type { FastifyInstance } from "fastify";
import { whoCalls } from "../identity.js";

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a management route does, for the audit log; it logs each call if this is set. */
    audit?: string;
  }
}

/**
 * Logs each call that is to be audited, whatever the level of the other lines: who did what to whom, and what became of
 * it. Neither the key that was shown nor one that was made is in it.
 */
export function auditCalls(app: FastifyInstance): void {
  const log = app.log.child({}, { level: "info" });
  app.addHook("onResponse", (request, reply, done) => {
    const { audit: action } = request.routeOptions.config;
    if (action === undefined) return done();
    const caller = whoCalls(request);
    const { subject, id } = (request.params ?? {}) as { subject?: string; id?: string };
    const body = (request.body ?? {}) as { account?: string };
    const audit = {
      action,
      by: caller?.account?.name ?? null,
      with: caller?.keyId ?? null,
      on: withoutKeys(subject ?? id ?? body.account),
      // What was asked for, once it is known to be well-formed.
      change: reply.statusCode < 400 ? (request.body ?? null) : null,
      status: reply.statusCode,
      request: request.id,
    };
    log.info({ audit }, "audit");
    done();
  });
}

/** Whom a call is about, if it says so; a key that somebody took for a name is not shown. */
function withoutKeys(name: unknown): string | null {
  return typeof name === "string" ? name.replaceAll(/fpk_[a-z]+_\w+/g, "fpk_******") : null;
}
