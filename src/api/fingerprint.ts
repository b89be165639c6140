import type { FastifyInstance, FastifyRequest } from "fastify";
import type { z } from "zod";
import { type BatchItem, type Fingerprint, FingerprintError, type Signals } from "../fingerprint/index.js";
import { answers, securedBy } from "./contract.js";
import type { Costs } from "./costs.js";
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

/**
 * The fingerprint routes: `POST /identify`, `/compare`, `/batch`.
 *
 * @param load Gives the computations, or throws why they can't be had.
 */
export async function fingerprintRoutes(
  app: FastifyInstance,
  { load, costs }: { load: () => Fingerprint; costs: Costs },
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
    async (request) => {
      const { identify } = load();
      return answer(
        request,
        within("fingerprint", () => identify(request.body.fingerprint as Signals)),
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
    async (request) => answer(request, load().compare(request.body.a as Signals, request.body.b as Signals)),
  );

  app.post<{ Body: BatchBody }>(
    "/batch",
    {
      bodyLimit: BODY_LIMIT.batch,
      schema: { body: batchBody, ...described("batch", "Identify up to 100 clients", batchAnswer) },
      config: { toll: costs.batch, scope },
    },
    async (request) => answer(request, { results: await load().batch(request.body.items as BatchItem[]) }),
  );
}

/** How many items a batch has whose body was checked. */
export function itemsOf(request: FastifyRequest): number {
  return (request.body as BatchBody).items.length;
}

/** A computed result, with what the service adds to it. */
function answer(request: FastifyRequest, result: object): object {
  return { request_id: request.id, ...result, cost: request.toll?.cost ?? 0 };
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
