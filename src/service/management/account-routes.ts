import type { FastifyInstance, FastifyRequest } from "fastify";
import { type Problem, sendProblem } from "tollkeeper/fastify";
import { z } from "zod";
import { ServiceError } from "../errors.js";
import { serviceProblem } from "../problem-codes.js";
import type { Account } from "./account.js";
import { type AccountPlaces, archiveAccount, changeAccount, createAccount, deleteAccount } from "./account-changes.js";
import {
  accountChange,
  accountInfo,
  accountParams,
  accountQuery,
  deletedAccount,
  infoOf,
  newAccount,
} from "./account-schemas.js";
import { whoCalls } from "./caller.js";
import { answers, managed, pageOfItems } from "./contract.js";
import type { ManagementOptions } from "./options.js";

const PATH = "/api/v1/accounts";
const ONE = `${PATH}/:account`;

type Named = { Params: z.infer<typeof accountParams> };

const deleteQuery = z.strictObject({
  force: z
    .enum(["true", "false"])
    .default("false")
    .meta({ description: "Whether one that is not archived is deleted, too." }),
});

/** Making, finding, changing and ending accounts. */
export async function accountRoutes(app: FastifyInstance, { keys, limiter }: ManagementOptions): Promise<void> {
  const { accounts } = keys;
  const places = (): AccountPlaces => ({ keys, tiers: limiter.tiers, reset: (key) => limiter.reset(key) });
  const audited = (action: string, schema: Parameters<typeof managed>[1]) => {
    const { config, ...route } = managed("admin", schema);
    return { ...route, config: { ...config, audit: `account.${action}` } };
  };

  app.get<{ Querystring: z.infer<typeof accountQuery> }>(
    PATH,
    audited("list", {
      operationId: "listAccounts",
      summary: "Accounts by name, or those that a search finds",
      querystring: accountQuery,
      response: answers(
        200,
        pageOfItems(accountInfo),
        "A part of them; one of a search may be short, or empty, though there is a next.",
        [401, 403, 429, 503],
      ),
    }),
    async ({ query: { limit, after, ...query } }) => {
      const { items, next } = accounts.find(query, limit, after);
      return { items: items.map(infoOf), next };
    },
  );

  app.post<{ Body: z.infer<typeof newAccount> }>(
    PATH,
    audited("create", {
      operationId: "createAccount",
      summary: "Make an account",
      body: newAccount,
      response: answers(201, accountInfo, "The account.", [401, 403, 409, 413, 415, 422, 429, 503]),
    }),
    async ({ body }, reply) => reply.code(201).send(infoOf(await createAccount(places(), body))),
  );

  app.get<Named>(
    ONE,
    audited("show", {
      operationId: "getAccount",
      summary: "An account",
      params: accountParams,
      response: answers(200, accountInfo, "The account, archived or not.", [401, 403, 404, 429, 503]),
    }),
    async ({ params: { account } }) => {
      const found = accounts.get(account);
      if (found === undefined) throw new ServiceError("ERR_ACCOUNT_UNKNOWN", `there is no account ${account}`);
      return infoOf(found);
    },
  );

  app.patch<Named & { Body: z.infer<typeof accountChange> }>(
    ONE,
    audited("change", {
      operationId: "changeAccount",
      summary: "Change some of what is known of an account, from its next call on",
      params: accountParams,
      body: accountChange,
      response: answers(200, accountInfo, "The account.", [401, 403, 404, 409, 413, 415, 422, 429, 503]),
    }),
    async ({ params, body }) => infoOf(await changeAccount(places(), params.account, body)),
  );

  const moved = (action: string, summary: string, description: string, move: (name: string) => Promise<Account>) => {
    app.post<Named>(
      `${ONE}/${action}`,
      audited(action, {
        operationId: `${action}Account`,
        summary,
        params: accountParams,
        response: answers(200, accountInfo, description, [401, 403, 404, 409, 413, 415, 429, 503]),
      }),
      async (request, reply) => {
        const { account } = request.params;
        const problem = action === "resume" ? undefined : ownProblem(request, account);
        return problem === undefined ? infoOf(await move(account)) : sendProblem(reply, problem);
      },
    );
  };
  moved(
    "suspend",
    "Refuse an account's calls, at no cost, on every replica within 2 seconds",
    "It is suspended.",
    (name) => accounts.setState(name, "suspended"),
  );
  moved("resume", "Serve an account's calls again; keys that were revoked stay so", "It is active.", (name) =>
    accounts.setState(name, "active"),
  );
  moved("archive", "End an account: its keys are revoked, its name stays taken", "It is archived.", (name) =>
    archiveAccount(places(), name),
  );

  app.delete<Named & { Querystring: z.infer<typeof deleteQuery> }>(
    ONE,
    audited("delete", {
      operationId: "deleteAccount",
      summary: "Delete an archived account; its name may then be used again",
      params: accountParams,
      querystring: deleteQuery,
      response: answers(200, deletedAccount, "What has become of it.", [401, 403, 404, 409, 413, 415, 429, 503]),
    }),
    async (request, reply) => {
      const { account } = request.params;
      const problem = ownProblem(request, account);
      if (problem !== undefined) return sendProblem(reply, problem);
      return deleteAccount(places(), account, request.query.force === "true");
    },
  );
}

/** Nobody is locked out by a call of one's own. */
function ownProblem(request: FastifyRequest, account: string): Problem | undefined {
  if (whoCalls(request)?.account !== account) return undefined;
  return serviceProblem("account_in_use", "The call itself is made by this account. Use a key of another.");
}
