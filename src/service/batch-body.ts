import type { IncomingMessage } from "node:http";
import { errorCodes, type FastifyInstance, type FastifyRequest } from "fastify";
import { FingerprintError, type FingerprintText, type RawBatch } from "tollkeeper/fingerprint";
import { receive } from "./body.js";

const kept = new WeakMap<FastifyRequest, RawBatch>();

/**
 * Has bodies kept and read outside of V8's heap, since half a megabyte of JSON would hold the event loop for milliseconds.
 * What is validated, and counted to be paid for, is an outline with `null` for each item.
 */
export function keepBatchBodies(app: FastifyInstance, load: () => FingerprintText): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: IncomingMessage) => {
    const batch = load().rawBatch();
    kept.set(request, batch);
    const size = await receive(request, payload, (bytes, isOwn) =>
      isOwn ? batch.take(bytes.buffer) : batch.push(bytes),
    );
    const outline = size > 0 ? await outlineOf(batch) : "";
    return new Promise((resolve, reject) => {
      void parse(request, outline, (error, body) => (error === null ? resolve(body) : reject(error)));
    });
  });
  // Not when the response closes: of a sender who has gone away it does so while the batch is under way, or never.
  app.addHook("onSend", (request, _reply, _payload, done) => {
    kept.get(request)?.free();
    done();
  });
}

async function outlineOf(batch: RawBatch): Promise<string> {
  try {
    return await batch.outline();
  } catch (error) {
    throw error instanceof FingerprintError ? new errorCodes.FST_ERR_CTP_INVALID_JSON_BODY() : error;
  }
}

/** The text of the array of results of a body that is good; once. */
export async function batchResults(request: FastifyRequest, items: number): Promise<string> {
  const batch = kept.get(request);
  if (batch === undefined) throw new Error("the body of a batch was not read by its own parser");
  kept.delete(request);
  try {
    return await batch.results(items);
  } finally {
    batch.free();
  }
}
