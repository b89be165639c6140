import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { FingerprintError, type FingerprintText } from "tollkeeper/fingerprint";
import type { z } from "zod";
import { batchResults, keepBatchBodies } from "./batch-body.js";
import type { Costs } from "./costs.js";
import { answers, securedBy } from "./management/contract.js";
import {
  type BatchBody,
  BODY_LIMIT,
  batchAnswer,
  batchBody,
  type CompareBody,
  compareAnswer,
  compareBody,
  type IdentifyBody,
  identifyAnswer,
  identifyBody,
} from "./schemas.js";

const JSON_TYPE = "application/json; charset=utf-8";

/**
 * The fingerprint routes: `POST /identify`, `/compare`, `/batch`.
 *
 * @param load Gives the computations, or throws why they can't be had.
 */
export async function fingerprintRoutes(
  app: FastifyInstance,
  { load, costs }: { load: () => FingerprintText; costs: Costs },
): Promise<void> {
  /** `/v1/identify` is `identify`, and `/identify`, which is the same, `identifyUnversioned`. */
  const named = (name: string) => (app.prefix === "" ? `${name}Unversioned` : name);
  const described = (name: string, summary: string, answer: z.ZodType) => ({
    operationId: named(name),
    summary,
    tags: ["fingerprint"],
    security: securedBy("fingerprint", true),
    response: answers(200, answer, "The result.", [401, 403, 413, 415, 422, 429, 503]),
  });
  const scope = "fingerprint";

  app.post<{ Body: IdentifyBody }>(
    "/identify",
    {
      bodyLimit: BODY_LIMIT.identify,
      schema: { body: identifyBody, ...described("identify", "Which client these signals are of", identifyAnswer) },
      config: { toll: costs.identify, scope },
    },
    async (request, reply) => {
      const { identify } = load();
      const signals = JSON.stringify(request.body.fingerprint);
      return answer(
        request,
        reply,
        within("fingerprint", () => identify(signals)),
      );
    },
  );

  app.post<{ Body: CompareBody }>(
    "/compare",
    {
      bodyLimit: BODY_LIMIT.compare,
      schema: { body: compareBody, ...described("compare", "How alike two clients are", compareAnswer) },
      config: { toll: costs.compare, scope },
    },
    async (request, reply) => answer(request, reply, load().compare(JSON.stringify(request.body))),
  );

  await app.register(async (app) => {
    keepBatchBodies(app, load);
    app.post<{ Body: BatchBody }>(
      "/batch",
      {
        bodyLimit: BODY_LIMIT.batch,
        schema: { body: batchBody, ...described("batch", "Identify up to 100 clients", batchAnswer) },
        config: { toll: costs.batch, scope },
      },
      async (request, reply) => {
        const items = itemsOf(request);
        const results = await batchResults(request, items);
        const failed = failedIn(results);
        const settled = failed === 0 ? undefined : costs.settledBatch(items, failed);
        if (settled !== undefined) request.toll?.settle(settled);
        const [start, end] = envelope(request, settled);
        return reply.type(JSON_TYPE).send(`${start}"results":${results}${end}`);
      },
    );
  });
}

/** How many items a batch has whose body was checked. */
export function itemsOf(request: FastifyRequest): number {
  return (request.body as BatchBody).items.length;
}

/** Sends the text of a computed result, an object, with what the service adds to it. */
function answer(request: FastifyRequest, reply: FastifyReply, result: string): FastifyReply {
  const [start, end] = envelope(request);
  return reply.type(JSON_TYPE).send(start + result.slice(1, -1) + end);
}

/** What stands before and after the fields of a result; `cost` is what the call costs in the end, if it was settled. */
function envelope(request: FastifyRequest, cost = request.toll?.cost ?? 0): [start: string, end: string] {
  return [`{"request_id":${JSON.stringify(request.id)},`, `,"cost":${JSON.stringify(cost)}}`];
}

/** How many of the results of a batch are problems; no text in them can have these signs, since it would be escaped. */
function failedIn(results: string): number {
  return results.split('"problem":{').length - 1;
}

/** Paths of refused fields as the caller sees them, who sent the signals in a field of their own. */
function within<T>(parent: string, compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof FingerprintError)) throw error;
    const { code, path, message } = error;
    throw new FingerprintError(code, path === "" ? parent : `${parent}.${path}`, message, { cause: error });
  }
}
