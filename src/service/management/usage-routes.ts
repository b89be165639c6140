import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { accountName, answers, managed } from "./contract.js";
import type { ManagementOptions } from "./options.js";
import {
  accountReport,
  accountReportOf,
  ownUsageQuery,
  rangeOf,
  rangeQuery,
  reportOf,
  told,
  usageQuery,
  usageReport,
  usageTop,
} from "./usage-report.js";

const params = z.strictObject({ account: accountName });
const topQuery = z.strictObject({
  ...rangeQuery,
  meter: z.string().max(32).optional().meta({ description: "Of one meter; of all together if left out." }),
  by: z.enum(["units", "calls"]).default("units").meta({ description: "By what they are the largest." }),
  size: z.coerce.number().int().min(1).max(1000).default(10).meta({ description: "How many." }),
});

const PROBLEMS = [401, 403, 422, 429, 503] as const;

/** What was served, from the ledger, for who may read usage. */
export async function usageRoutes(app: FastifyInstance, { ledger, keys }: ManagementOptions): Promise<void> {
  if (ledger === undefined) return;

  app.get<{ Params: z.infer<typeof params>; Querystring: z.infer<typeof ownUsageQuery> }>(
    "/api/v1/accounts/:account/usage",
    managed("usage:read", {
      operationId: "getAccountUsage",
      summary: "What an account has used",
      params,
      querystring: ownUsageQuery,
      response: answers(200, accountReport, "A part of the rows, in the order of time.", PROBLEMS),
    }),
    async ({ params: { account }, query }) =>
      accountReportOf(ledger, account, keys.accounts.get(account)?.anchorDay, query),
  );

  app.get<{ Querystring: z.infer<typeof usageQuery> }>(
    "/api/v1/usage",
    managed("usage:read", {
      operationId: "getUsage",
      summary: "What all accounts have used, together or each",
      querystring: usageQuery,
      response: answers(
        200,
        usageReport,
        "A part of the rows, by account if these are told apart, then by time.",
        PROBLEMS,
      ),
    }),
    async ({ query }) => reportOf(ledger, query),
  );

  app.get<{ Querystring: z.infer<typeof topQuery> }>(
    "/api/v1/usage/top",
    managed("usage:read", {
      operationId: "getTopUsage",
      summary: "The accounts that have used most",
      querystring: topQuery,
      response: answers(200, usageTop, "The largest first; none that has used nothing.", PROBLEMS),
    }),
    async ({ query }) => {
      const { rows, ...top } = await ledger.top({
        ...rangeOf(query),
        meter: query.meter,
        by: query.by,
        size: query.size,
      });
      return { ...top, items: rows.map(told) };
    },
  );
}
