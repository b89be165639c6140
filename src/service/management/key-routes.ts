import type { FastifyInstance } from "fastify";
import { sendProblem } from "tollkeeper/fastify";
import { z } from "zod";
import { serviceProblem } from "../problem-codes.js";
import { lineOf } from "./account-schemas.js";
import { SCOPES } from "./api-keys.js";
import { whoCalls } from "./caller.js";
import { accountName, answers, keyInfo, managed, pageOfItems, pageQuery, scopeName, tierName } from "./contract.js";
import { instant } from "./instant.js";
import type { ManagementOptions } from "./options.js";
import { tierUnknown } from "./problems.js";

const PATH = "/api/v1/keys";

const listQuery = pageQuery.extend({ account: accountName.optional() });
const createBody = z.strictObject({
  account: accountName,
  tier: tierName.optional().meta({ description: "Makes the account, on this tier, if it is new." }),
  name: lineOf(128)
    .optional()
    .meta({ description: "For people.", examples: ["CI of the shop"] }),
  expires: instant.optional().meta({ description: "From when on it is refused; ahead. Never, if left out." }),
  scopes: z.array(scopeName).min(1).max(SCOPES.length).default(["fingerprint"]),
  environment: z
    .string()
    .regex(/^[a-z]{1,16}$/, "an environment is 1 to 16 letters a to z")
    .default("live")
    .meta({ description: "Shown in the key, to tell a test key at sight." }),
});
const idParams = z.object({ id: z.string().regex(/^[0-9a-f]{16}$/, "an id is 16 hexadecimal digits") });
const madeKey = keyInfo
  .extend({ key: z.string().meta({ description: "The key itself, shown only now." }) })
  .meta({ id: "NewKey" });

/** Making, listing and revoking API keys. */
export async function keyRoutes(app: FastifyInstance, { keys, limiter }: ManagementOptions): Promise<void> {
  const { accounts } = keys;

  const list = managed("admin", {
    operationId: "listKeys",
    summary: "API keys, of one account or of all",
    querystring: listQuery,
    response: answers(200, pageOfItems(keyInfo), "Keys by id; never the keys themselves.", [401, 403, 429, 503]),
  });
  app.get<{ Querystring: z.infer<typeof listQuery> }>(
    PATH,
    { ...list, config: { ...list.config, audit: "keys.list" } },
    async ({ query: { limit, after, account } }) => keys.list(limit, { after, account }),
  );

  const create = managed("admin", {
    operationId: "createKey",
    summary: "Make an API key; an account has at most two that are good",
    body: createBody,
    response: answers(201, madeKey, "The key, shown only now.", [401, 403, 404, 409, 413, 415, 422, 429, 503]),
  });
  app.post<{ Body: z.infer<typeof createBody> }>(
    PATH,
    { ...create, config: { ...create.config, audit: "keys.create" } },
    async ({ body }, reply) => {
      const { account, tier, environment, scopes, name, expires } = body;
      const present = accounts.get(account);
      if (tier !== undefined && !Object.hasOwn(limiter.tiers, tier)) {
        return sendProblem(reply, tierUnknown(tier, Object.keys(limiter.tiers)));
      }
      if (tier !== undefined && present !== undefined && present.tier !== tier) {
        const detail = `The account is of tier ${present.tier}; a key does not change that.`;
        return sendProblem(reply, serviceProblem("tier_contradicts", detail));
      }
      if (tier !== undefined && present === undefined) await accounts.setTier(account, tier);
      const wanted = { account, scopes: [...new Set(scopes)], name: name ?? null, expires: expires ?? null };
      return reply.code(201).send(await keys.create(environment, wanted));
    },
  );

  const revoke = managed("admin", {
    operationId: "revokeKey",
    summary: "Refuse an API key from now on, on every replica within 5 seconds",
    params: idParams,
    response: answers(200, keyInfo, "The key, which is refused now.", [401, 403, 404, 409, 413, 415, 429, 503]),
  });
  app.delete<{ Params: z.infer<typeof idParams> }>(
    `${PATH}/:id`,
    { ...revoke, config: { ...revoke.config, audit: "keys.revoke" } },
    async (request, reply) => {
      const { id } = request.params;
      if (whoCalls(request)?.keyId === id) {
        const detail = "The call itself is made with this key. Revoke it with another, so that nobody is locked out.";
        return sendProblem(reply, serviceProblem("key_in_use", detail));
      }
      return (
        (await keys.revoke(id)) ?? sendProblem(reply, serviceProblem("key_unknown", "There is no key of that id."))
      );
    },
  );
}
