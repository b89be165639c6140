import type { FastifyInstance } from "fastify";
import { TollkeeperError } from "tollkeeper";
import { callerOf, type FieldOptions, sendProblem } from "tollkeeper/fastify";
import { NO_ACCOUNT } from "tollkeeper/http";
import type { Ledger } from "tollkeeper/ledger";
import type { z } from "zod";
import { limitLooks } from "./looks.js";
import type { Caller } from "./management/caller.js";
import { answers, securedBy } from "./management/contract.js";
import { accountReport, accountReportOf, ownUsageQuery } from "./management/usage-report.js";
import { serviceProblem } from "./problem-codes.js";

const NOBODY = serviceProblem("authentication_required", "Usage is counted by account; send an API key of yours.");

/** `GET /v1/usage`: what the caller's account has used. It costs nothing, and is limited for itself. */
export async function ownUsage(
  app: FastifyInstance,
  { ledger, fields }: { ledger: Ledger; fields: FieldOptions },
): Promise<void> {
  const refuseLook = limitLooks(app, fields);

  app.get<{ Querystring: z.infer<typeof ownUsageQuery> }>(
    "/v1/usage",
    {
      config: { toll: { cost: 0, identified: true } },
      schema: {
        operationId: "getOwnUsage",
        summary: "What your account has used",
        tags: ["quota"],
        security: securedBy(undefined, false),
        querystring: ownUsageQuery,
        response: answers(200, accountReport, "A part of the rows, in the order of time.", [401, 403, 422, 429, 503]),
      },
    },
    async (request, reply) => {
      const { key, account = NO_ACCOUNT, owner } = callerOf(request) as Caller;
      const refused = refuseLook(key, reply);
      if (refused !== undefined) return refused;
      if (account === NO_ACCOUNT) return sendProblem(reply, NOBODY, { "www-authenticate": "Bearer" });
      return accountReportOf(ledger, account, owner?.anchorDay, request.query).catch((error: unknown) => {
        // What is wrong with what is asked is no secret of the server's.
        if (!(error instanceof TollkeeperError) || error.code !== "ERR_REPORT_INVALID") throw error;
        return sendProblem(reply, serviceProblem("report_invalid", error.message));
      });
    },
  );
}
