import type { FastifyInstance, FastifyRequest } from "fastify";
import { type BatchItem, type Fingerprint, FingerprintError, type Signals } from "../fingerprint/index.js";
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
export async function fingerprintRoutes(app: FastifyInstance, { load }: { load: () => Fingerprint }): Promise<void> {
  app.post<{ Body: IdentifyBody }>(
    "/identify",
    { bodyLimit: BODY_LIMIT.identify, schema: { body: identifyBody }, config: { toll: { cost: 1 } } },
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
    { bodyLimit: BODY_LIMIT.compare, schema: { body: compareBody }, config: { toll: { cost: 2 } } },
    async (request) => answer(request, load().compare(request.body.a as Signals, request.body.b as Signals)),
  );

  const perItem = { cost: 1, total: (request: FastifyRequest) => (request.body as BatchBody).items.length };
  app.post<{ Body: BatchBody }>(
    "/batch",
    { bodyLimit: BODY_LIMIT.batch, schema: { body: batchBody }, config: { toll: perItem } },
    async (request) => answer(request, { results: await load().batch(request.body.items as BatchItem[]) }),
  );
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
