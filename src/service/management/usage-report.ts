import { NO_ACCOUNT } from "tollkeeper/http";
import type { Division, Group, Ledger, ReportQuery, UsageRow, UsageSum } from "tollkeeper/ledger";
import { z } from "zod";

const instant = z
  .string()
  .max(40)
  .optional()
  .meta({ examples: ["2026-11-01", "2026-11-01T00:00Z"] });

/** From when to when. */
export const rangeQuery = {
  from: instant.meta({
    description:
      "The first hour, in ISO 8601: a date, or a whole hour with its offset; by default this month begins it.",
  }),
  to: instant.meta({ description: "The hour after the last, likewise; by default the end of this month." }),
};

/** What a report is asked for, of one account. */
export const ownUsageQuery = z.strictObject({
  ...rangeQuery,
  by: z.enum(["hour", "day", "month"]).default("day").meta({ description: "How long a row is." }),
  group: z
    .string()
    .regex(/^(|(meter|plan)(,(meter|plan))?)$/, "it may be meter, plan, or both with a comma")
    .default("meter")
    .meta({ description: "What rows tell apart: `meter`, `plan`, or both with a comma; empty for neither." }),
  anchorDay: z.coerce.number().int().min(1).max(31).optional().meta({
    description: "The day on which months begin; the last one of a shorter month. By default the account's own, or 1.",
  }),
  limit: z.coerce.number().int().min(1).max(1000).default(100).meta({ description: "Rows at most." }),
  after: z
    .string()
    .max(1024)
    .default("")
    .meta({ description: "`next` of the part before; the first part if left out." }),
});

/** The same of all accounts. */
export const usageQuery = ownUsageQuery.extend({
  group: z
    .string()
    .regex(
      /^(|(account|meter|plan)(,(account|meter|plan)){0,2})$/,
      "it may be some of account, meter and plan, with commas",
    )
    .default("meter")
    .meta({
      description: "What rows tell apart: some of `account`, `meter` and `plan`, with commas; empty for nothing.",
    }),
});

const isoDate = z.string().meta({ format: "date-time" });
const amounts = {
  calls: z.int().meta({ description: "Calls that were served." }),
  units: z.number().meta({ description: "Tokens that they cost, less what was given back." }),
  denied: z.int().meta({ description: "Calls that were denied." }),
  refunded: z.number().meta({ description: "Tokens that were charged and given back." }),
};
const account = z.string().nullable().meta({
  description: "null for callers without an account; empty for what found no room in memory.",
});
const row = z
  .object({
    from: isoDate,
    to: isoDate,
    account: account.optional(),
    meter: z.string().optional(),
    plan: z.string().optional(),
    ...amounts,
    revision: z.int().meta({ description: "How often something has come after its day was closed." }),
  })
  .meta({ id: "UsageRow" });
/** What every answer says of its numbers. */
export const known = {
  from: isoDate,
  to: isoDate,
  complete: z.boolean().meta({ description: "Whether every hour asked about is closed, ten minutes after its end." }),
  bound: z.object({ calls: z.int(), units: z.number() }).meta({
    description: "What of all that is counted is not in the file, or in Redis, yet; a crash would take it along.",
  }),
  waitingFor: z
    .array(z.object({ process: z.string(), since: isoDate.meta({ description: "When it has written last." }) }))
    .optional()
    .meta({ description: "With Redis: replicas that have not said to have written all hours that are over." }),
};

/** What all accounts have used. */
export const usageReport = z
  .object({
    ...known,
    by: z.enum(["hour", "day", "month"]),
    items: z.array(row),
    next: z
      .string()
      .nullable()
      .meta({ description: "What to give as `after` for the next part; null if there is none." }),
  })
  .meta({ id: "UsageReport" });

/** What one account has used. */
export const accountReport = usageReport.extend({ account: z.string() }).meta({ id: "AccountUsageReport" });

/** The largest accounts. */
export const usageTop = z
  .object({
    ...known,
    by: z.enum(["units", "calls"]),
    items: z.array(z.object({ account, ...amounts }).meta({ id: "AccountUsage" })),
  })
  .meta({ id: "UsageTop" });

type Query = z.infer<typeof ownUsageQuery>;

/** A report as the API answers it. */
export async function reportOf(ledger: Ledger, query: Query, account?: string) {
  const { by, group, anchorDay, limit: page, after } = query;
  const groups = group.split(",").filter((one) => one !== "") as Group[];
  const asked: ReportQuery = { ...rangeOf(query), account, by: by as Division, group: groups, anchorDay, page };
  const { rows, next, ...report } = await ledger.report({ ...asked, after: after === "" ? null : after });
  return { ...report, items: rows.map(told), next };
}

/** The same of one account, whose months begin on its own day. */
export async function accountReportOf(ledger: Ledger, account: string, own: number | undefined, query: Query) {
  const anchorDay = query.anchorDay ?? (query.by === "month" ? own : undefined);
  const report = await reportOf(ledger, { ...query, anchorDay }, account);
  return { account, ...report, items: report.items.map(({ account: _, ...row }) => row) };
}

/** From when to when, this month by default. */
export function rangeOf({ from, to }: { from?: string | undefined; to?: string | undefined }) {
  const now = new Date();
  const monthAt = (later: number) => Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + later);
  return { from: from ?? monthAt(0), to: to ?? monthAt(1) };
}

/** Callers without an account have no name. */
export function told<Row extends UsageSum & Pick<UsageRow, "account">>(row: Row): Row | (Row & { account: null }) {
  return row.account === NO_ACCOUNT ? { ...row, account: null } : row;
}
