import type { FastifyInstance, FastifyReply } from "fastify";
import { checkOverrides, type Decision, plainTier } from "tollkeeper";
import { sendProblem } from "tollkeeper/fastify";
import { type Cost, costExceedsCapacity, exceededOf } from "tollkeeper/http";
import { z } from "zod";
import { ServiceError } from "../errors.js";
import { serviceProblem } from "../problem-codes.js";
import { tierInForce } from "./account.js";
import { accountInfo, infoOf } from "./account-schemas.js";
import { answers, managed, overrides, quotaState, tierName } from "./contract.js";
import { instant } from "./instant.js";
import type { ManagementOptions } from "./options.js";
import { tierUnknown } from "./problems.js";
import { quotaStateOf } from "./quota-state.js";
import { type Subject, subjectName, subjectOf } from "./subject.js";

const PATH = "/api/v1/rate-limit";

const params = z.object({ subject: subjectName });
const tierQuery = z.object({
  tier: tierName
    .optional()
    .meta({ description: "The tier to look by, where the gateway says it and no account is known." }),
});
const tokens = z.number().min(0).max(1e9);
const cost = z.union([tokens, z.record(z.string().min(1).max(32), tokens)], {
  error: "it may be a number from 0 with at most three decimals, or such numbers by name of the limit",
});
const checkBody = z.strictObject({
  subject: subjectName,
  cost: cost.default(1).meta({
    description:
      "Tokens of every limit, or by name of each limit, at most three decimals; a limit that is left out costs 0.",
    examples: [2, { minute: 1, month: 20 }],
  }),
  tier: tierName.optional(),
});
const grantBody = z.strictObject({
  tokens: z.number().positive().max(1e12).meta({ description: "Tokens, at most three decimals." }),
  limit: z
    .string()
    .min(1)
    .max(32)
    .optional()
    .meta({
      description: "Of which quota, by name; may be left out where the tier has only one.",
      examples: ["month"],
    }),
  keep: z
    .boolean()
    .default(false)
    .meta({ description: "Whether what is left of them when the period ends is there in the next." }),
  tier: tierName.optional(),
});
const checkAnswer = z
  .object({
    allowed: z.boolean(),
    denied_by: z.string().nullable().meta({ description: "The limit that would deny with the longest wait." }),
    retry_after: z
      .int()
      .nullable()
      .meta({ description: "Seconds until the call would pass; null if it would now, or no wait helps." }),
    cost: cost.meta({ description: "As asked: a number, or by name of each limit of the tier." }),
    quota: quotaState,
  })
  .meta({ id: "Check" });

const overridesBody = z.strictObject({
  limits: overrides,
  until: instant
    .nullable()
    .default(null)
    .meta({ description: "When they end, which is ahead: then it is as if there were none." }),
});

/** Reading and changing the limits of accounts and addresses. */
export async function quotaRoutes(app: FastifyInstance, options: ManagementOptions): Promise<void> {
  const { limiter, keys, addresses } = options;
  const { accounts } = keys;

  /** The subject of a call, or the answer that there is none. */
  const find = (text: string, reply: FastifyReply): Subject | undefined => {
    const subject = subjectOf(text, { accounts, addresses: addresses(), tiers: limiter.tiers });
    if (subject === undefined)
      sendProblem(reply, serviceProblem("subject_unknown", "No account or address is called so."));
    return subject;
  };

  /** The subject of a call and the limiter's tier of it, or the answer that they can't be told. */
  const findWithTier = (text: string, asked: string | undefined, reply: FastifyReply) => {
    const subject = find(text, reply);
    if (subject === undefined) return undefined;
    if (asked !== undefined && !Object.hasOwn(limiter.tiers, asked)) {
      sendProblem(reply, tierUnknown(asked, Object.keys(limiter.tiers)));
      return undefined;
    }
    const tier = asked ?? subject.tier;
    if (tier === undefined) {
      const detail = "No account is called so. Give the tier if a gateway knows it.";
      sendProblem(reply, serviceProblem("account_unknown", detail));
      return undefined;
    }
    return { subject, tier };
  };

  const stateOf = ({ key, account }: Subject, decision: Decision) =>
    quotaStateOf(key, decision, account?.overrides ?? null, limiter.tiers);

  app.get<{ Params: z.infer<typeof params>; Querystring: z.infer<typeof tierQuery> }>(
    `${PATH}/quota/:subject`,
    managed("quota:read", {
      operationId: "getQuota",
      summary: "The limits of an account or address, and what is left of them",
      params,
      querystring: tierQuery,
      response: answers(200, quotaState, "Where it stands.", [401, 403, 404, 422, 429, 503]),
    }),
    async ({ params, query }, reply) => {
      const found = findWithTier(params.subject, query.tier, reply);
      if (found === undefined) return reply;
      const { subject, tier } = found;
      return stateOf(subject, await limiter.peek(subject.key, tier, 0));
    },
  );

  app.post<{ Body: z.infer<typeof checkBody> }>(
    `${PATH}/check`,
    managed("quota:read", {
      operationId: "check",
      summary: "What a call would be told; it spends nothing",
      body: checkBody,
      response: answers(200, checkAnswer, "What it would be told.", [401, 403, 404, 413, 415, 422, 429, 503]),
    }),
    async ({ body }, reply) => {
      const asked: Cost = body.cost;
      const found = findWithTier(body.subject, body.tier, reply);
      if (found === undefined) return reply;
      const { subject, tier } = found;
      const maximum = exceededOf(tier, asked, limiter);
      if (maximum !== undefined) return sendProblem(reply, costExceedsCapacity(asked, maximum, plainTier(tier)));
      const decision = await limiter.peek(subject.key, tier, asked);
      const { allowed, deniedBy, retryAfterMs, cost } = decision;
      const retry_after = allowed || retryAfterMs === Number.POSITIVE_INFINITY ? null : Math.ceil(retryAfterMs / 1000);
      return { allowed, denied_by: deniedBy, retry_after, cost, quota: stateOf(subject, decision) };
    },
  );

  const reset = managed("admin", {
    operationId: "resetQuota",
    summary: "Forget what an account or address has spent and was granted: its next call is its first",
    params,
    response: answers(200, z.object({ subject: z.string() }), "It is forgotten.", [401, 403, 404, 413, 415, 429, 503]),
  });
  app.post<{ Params: z.infer<typeof params> }>(
    `${PATH}/quota/:subject/reset`,
    { ...reset, config: { ...reset.config, audit: "quota.reset" } },
    async ({ params }, reply) => {
      const subject = find(params.subject, reply);
      if (subject === undefined) return reply;
      await limiter.reset(subject.key);
      return { subject: subject.key };
    },
  );

  const grant = managed("admin", {
    operationId: "grantTokens",
    summary: "Give an account or address tokens of a quota: what it has used goes down, below nothing if need be",
    params,
    body: grantBody,
    response: answers(200, quotaState, "Where it stands then.", [401, 403, 404, 413, 415, 422, 429, 503]),
  });
  app.post<{ Params: z.infer<typeof params>; Body: z.infer<typeof grantBody> }>(
    `${PATH}/quota/:subject/grant`,
    { ...grant, config: { ...grant.config, audit: "quota.grant" } },
    async ({ params, body }, reply) => {
      const { tokens, limit, keep } = body;
      const found = findWithTier(params.subject, body.tier, reply);
      if (found === undefined) return reply;
      const { subject, tier } = found;
      return stateOf(subject, await limiter.grant(subject.key, tier, tokens, { limit, keep }));
    },
  );

  const account = answers(200, accountInfo, "The account.", [401, 403, 404, 413, 415, 422, 429, 503]);
  const setTier = managed("admin", {
    operationId: "setTier",
    summary: "Put an account on a tier, from its next call on, whatever was scheduled; makes the account if it is new",
    params,
    body: z.strictObject({ tier: tierName }),
    response: account,
  });
  app.put<{ Params: z.infer<typeof params>; Body: { tier: string } }>(
    `${PATH}/quota/:subject/tier`,
    { ...setTier, config: { ...setTier.config, audit: "account.tier" } },
    async ({ params, body }, reply) => {
      const name = accountNameOf(find(params.subject, reply), reply);
      if (name === undefined) return reply;
      if (!Object.hasOwn(limiter.tiers, body.tier)) {
        return sendProblem(reply, tierUnknown(body.tier, Object.keys(limiter.tiers)));
      }
      return infoOf(await accounts.setTier(name, body.tier));
    },
  );

  const setOverrides = managed("admin", {
    operationId: "setOverrides",
    summary: "Give an account limits of its own, from its next call on, in place of those that it had",
    params,
    body: overridesBody,
    response: account,
  });
  app.put<{ Params: z.infer<typeof params>; Body: z.infer<typeof overridesBody> }>(
    `${PATH}/quota/:subject/overrides`,
    { ...setOverrides, config: { ...setOverrides.config, audit: "account.overrides" } },
    async ({ params, body }, reply) => {
      const subject = find(params.subject, reply);
      const name = accountNameOf(subject, reply);
      if (name === undefined) return reply;
      if (subject?.account === undefined) throw new ServiceError("ERR_ACCOUNT_UNKNOWN", `there is no account ${name}`);
      checkOverrides(tierInForce(subject.account, limiter.tiers), body.limits, limiter.tiers);
      return infoOf(await accounts.setOverrides(name, body.limits, body.until));
    },
  );
}

/** The name of an account, or the answer that it is none. */
function accountNameOf(subject: Subject | undefined, reply: FastifyReply): string | undefined {
  if (subject !== undefined && subject.name === undefined) {
    const detail = "An address has no tier or limits of its own: list it in RATE_LIMIT_IP_WHITELIST, or give it a key.";
    sendProblem(reply, serviceProblem("subject_is_address", detail));
  }
  return subject?.name;
}
