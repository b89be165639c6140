import type { FastifyInstance, FastifyRequest } from "fastify";
import type { z } from "zod";
import { type Fingerprint, FingerprintError } from "../fingerprint/index.js";
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
      const result = within("fingerprint", () => identify(JSON.stringify(request.body.fingerprint)));
      return answer(request, JSON.parse(result));
    },
  );

  app.post<{ Body: CompareBody }>(
    "/compare",
    {
      bodyLimit: BODY_LIMIT.compare,
      schema: { body: compareBody, ...described("compare", "How alike two clients are", compareAnswer) },
      config: { toll: costs.compare, scope },
    },
    async (request) => answer(request, JSON.parse(load().compare(JSON.stringify(request.body)))),
  );

  app.post<{ Body: BatchBody }>(
    "/batch",
    {
      bodyLimit: BODY_LIMIT.batch,
      schema: { body: batchBody, ...described("batch", "Identify up to 100 clients", batchAnswer) },
      config: { toll: costs.batch, scope },
    },
    async (request) => answer(request, { results: JSON.parse(await load().batch(texts(request.body.items))) }),
  );
}

/** How many items a batch has whose body was checked. */
export function itemsOf(request: FastifyRequest): number {
  return (request.body as BatchBody).items.length;
}

/** A JSON array of the JSON text of each item: one that can't be read as such fails alone. */
function texts(items: readonly unknown[]): string {
  return JSON.stringify(items.map(textOf));
}

/** Stands for an item that is nested deeper than the stack reaches: refused as that one would be, for its depth. */
const TOO_DEEP = "[".repeat(200);

function textOf(item: unknown): string {
  try {
    return JSON.stringify(item);
  } catch (error) {
    if (error instanceof RangeError) return TOO_DEEP;
    throw error;
  }
}

/** A computed result, with what the service adds to it. */
function answer(request: FastifyRequest, result: object): object {
  return { request_id: request.id, ...result, cost: request.toll?.cost ?? 0 };
}

/** Paths of refused fields as the caller sees them, who sent the signals in a field of their own. */
function within(parent: string, compute: () => string): string {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof FingerprintError)) throw error;
    const { code, path, message } = error;
    throw new FingerprintError(code, path === "" ? parent : `${parent}.${path}`, message, { cause: error });
  }
}
