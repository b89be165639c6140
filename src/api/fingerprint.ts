import type { FastifyInstance, FastifyRequest } from "fastify";
import { type Fingerprint, FingerprintError } from "../fingerprint/index.js";
import type { Costs } from "./costs.js";
import {
  type BatchBody,
  BODY_LIMIT,
  batchBody,
  type CompareBody,
  compareBody,
  type IdentifyBody,
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
  app.post<{ Body: IdentifyBody }>(
    "/identify",
    { bodyLimit: BODY_LIMIT.identify, schema: { body: identifyBody }, config: { toll: costs.identify } },
    async (request) => {
      const { identify } = load();
      const result = within("fingerprint", () => identify(JSON.stringify(request.body.fingerprint)));
      return answer(request, JSON.parse(result));
    },
  );

  app.post<{ Body: CompareBody }>(
    "/compare",
    { bodyLimit: BODY_LIMIT.compare, schema: { body: compareBody }, config: { toll: costs.compare } },
    async (request) => answer(request, JSON.parse(load().compare(JSON.stringify(request.body)))),
  );

  app.post<{ Body: BatchBody }>(
    "/batch",
    { bodyLimit: BODY_LIMIT.batch, schema: { body: batchBody }, config: { toll: costs.batch } },
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
