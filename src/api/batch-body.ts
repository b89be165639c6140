import { IncomingMessage } from "node:http";
import { errorCodes, type FastifyInstance, type FastifyRequest } from "fastify";
import { FingerprintError } from "../fingerprint/index.js";
import { type FingerprintText, PART, type RawBatch } from "../fingerprint/text.js";

const kept = new WeakMap<FastifyRequest, RawBatch>();

/**
 * Has bodies kept and read outside of V8's heap, since half a megabyte of JSON would hold the event loop for milliseconds.
 * What is validated, and counted to be paid for, is an outline with `null` for each item.
 */
export function keepBatchBodies(app: FastifyInstance, load: () => FingerprintText): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: IncomingMessage) => {
    const batch = load().rawBatch();
    kept.set(request, batch);
    const outline = (await receive(request, payload, batch)) > 0 ? await outlineOf(batch) : "";
    return new Promise((resolve, reject) => {
      void parse(request, outline, (error, body) => (error === null ? resolve(body) : reject(error)));
    });
  });
  // Not `onResponse`, which there is none of for a sender who has gone away.
  app.addHook("onRequest", async (request, reply) => {
    reply.raw.once("close", () => kept.get(request)?.free());
  });
}

/** Keeps the bytes of a body, of as many as its route takes; resolves to how many there are. */
function receive(request: FastifyRequest, payload: IncomingMessage, batch: RawBatch): Promise<number> {
  const { bodyLimit } = request.routeOptions;
  // The chunks of a connection have no other reader.
  const own = payload instanceof IncomingMessage;
  return new Promise((resolve, reject) => {
    let size = 0;
    const keep = (chunk: Buffer<ArrayBuffer>): void => {
      size += chunk.length;
      try {
        if (size > bodyLimit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
        if (own && chunk.length === chunk.buffer.byteLength) batch.take(chunk.buffer);
        else batch.push(chunk);
      } catch (error) {
        fail(error as Error);
      }
    };
    const fail = (error: Error): void => {
      payload.off("data", keep);
      reject(error);
    };
    if (Number(request.headers["content-length"]) > bodyLimit) fail(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
    else
      payload
        .on("data", keep)
        .on("end", () => resolve(size))
        .on("error", (error) => fail(Object.assign(error, { statusCode: 400 })));
  });
}

async function outlineOf(batch: RawBatch): Promise<string> {
  try {
    return await batch.outline();
  } catch (error) {
    throw error instanceof FingerprintError ? new errorCodes.FST_ERR_CTP_INVALID_JSON_BODY() : error;
  }
}

/** The text of the results of a body that is good, without the brackets of their array; once. */
export async function batchResults(request: FastifyRequest, items: number): Promise<string> {
  const batch = kept.get(request);
  if (batch === undefined) throw new Error("the body of a batch was not read by its own parser");
  kept.delete(request);
  try {
    const parts: string[] = [];
    for (let first = 0; first < items; first += PART) {
      const array = await batch.part(first, Math.min(PART, items - first));
      parts.push(array.slice(1, -1));
    }
    return parts.join(",");
  } finally {
    batch.free();
  }
}
