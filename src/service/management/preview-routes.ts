import type { FastifyInstance } from "fastify";
import type { TierSpec, Tiers } from "tollkeeper";
import { sendProblem } from "tollkeeper/fastify";
import type { OverageQuota } from "tollkeeper/ledger";
import { z } from "zod";
import { serviceProblem } from "../problem-codes.js";
import { type Account, limiterKeyOf, limiterTierOf } from "./account.js";
import { accountName, answers, managed } from "./contract.js";
import type { ManagementOptions } from "./options.js";
import { known } from "./usage-report.js";

const params = z.strictObject({ account: accountName });
const query = z.strictObject({
  at: z
    .string()
    .max(40)
    .optional()
    .meta({ description: "An instant of the month, in ISO 8601; now by default.", examples: ["2026-11-01"] }),
});

const exact = z.string().meta({ description: "Exactly: a decimal, or a fraction such as 10/3." });
const amount = z.string().meta({ description: "In the currency's minor unit, rounded half to even." });
const line = z
  .object({
    kind: z.enum(["fee", "usage", "overage"]),
    plan: z.string(),
    meter: z.string().nullable(),
    quantity: z.string(),
    included: z.string(),
    billable: z.string(),
    model: z.enum(["per_unit", "graduated", "volume", "package", "fixed"]),
    exact,
    amount,
    currency: z.string(),
  })
  .meta({ id: "PreviewLine" });
const preview = z
  .object({
    account: z.string(),
    ...known,
    plans: z
      .array(z.object({ plan: z.string(), from: z.string().meta({ format: "date-time" }) }))
      .meta({ description: "The plans that the account was on, or is to be, each since when." }),
    lines: z.array(line),
    totals: z.array(z.object({ currency: z.string(), exact, amount })),
    unpriced: z
      .array(z.object({ plan: z.string(), meter: z.string(), quantity: z.string() }))
      .meta({ description: "Usage that has no price, and is in no line." }),
  })
  .meta({ id: "Preview" });

/** What an account's month costs by the prices of the configuration. */
export async function previewRoutes(
  app: FastifyInstance,
  { ledger, keys: { accounts }, limiter, prices }: ManagementOptions,
): Promise<void> {
  if (ledger === undefined) return;
  /** The tiers, of which the account's has the account's own limits. */
  const tiersOf = async (account: Account): Promise<Tiers> => {
    const { tiers } = limiter;
    if (account.overrides === null || !Object.hasOwn(tiers, account.tier)) return tiers;
    const { tierSpec } = await limiter.peek(limiterKeyOf(account.name), limiterTierOf(account, tiers), 0);
    return { ...tiers, [account.tier]: tierSpec };
  };

  app.get<{ Params: z.infer<typeof params>; Querystring: z.infer<typeof query> }>(
    "/api/v1/accounts/:account/preview",
    managed("billing", {
      operationId: "previewAccount",
      summary: "What an account's month costs so far, or did; no invoice, and without tax",
      params,
      querystring: query,
      response: answers(
        200,
        preview,
        "Lines of each plan, and what they are together.",
        [401, 403, 404, 422, 429, 503],
      ),
    }),
    async ({ params: { account: name }, query: { at } }, reply) => {
      const account = accounts.get(name);
      if (account === undefined) {
        return sendProblem(reply, serviceProblem("account_unknown", `There is no account ${name}.`));
      }
      const plans = accounts.history(name);
      const told = await ledger.preview({
        account: name,
        at: at ?? Date.now(),
        anchorDay: account.anchorDay,
        plans,
        prices: prices(),
        overage: overageOf(await tiersOf(account), account.tier),
      });
      return { account: name, ...told, plans };
    },
  );
}

/** The quota of an account's plan that goes on beyond its limit, with its limit under every plan that has one of its name. */
function overageOf(tiers: Tiers, plan: string): OverageQuota | undefined {
  const quotasOf = ({ limits }: TierSpec) => limits.filter((limit) => limit.type === "quota");
  const all = [...(Object.hasOwn(tiers, plan) ? [tiers[plan] as TierSpec] : []), ...Object.values(tiers)];
  const meant = all.flatMap(quotasOf).find(({ overage }) => overage !== undefined);
  if (meant === undefined) return undefined;
  const { name, period, anchorDay, anchorMonth } = meant;
  const limits = Object.entries(tiers).flatMap(([tier, spec]) => {
    const same = quotasOf(spec).find((quota) => quota.name === name && quota.overage !== undefined);
    return same === undefined ? [] : [[tier, same.limit] as const];
  });
  return { period, anchor: period === "year" ? anchorMonth : anchorDay, limits: Object.fromEntries(limits) };
}
