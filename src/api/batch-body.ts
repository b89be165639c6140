import { errorCodes, type FastifyInstance, type FastifyRequest } from "fastify";
import { FingerprintError } from "../fingerprint/index.js";
import { type FingerprintText, PART } from "../fingerprint/text.js";

/** A body that came, and the bytes at which each of its items starts and ends. */
interface Kept {
  body: Buffer;
  items: readonly number[];
}

const COMMA = Buffer.from(",");

const kept = new WeakMap<FastifyRequest, Kept>();

/**
 * Has bodies read on Node's thread pool, since half a megabyte of JSON would hold the event loop for milliseconds. What is
 * validated, and counted to be paid for, is an outline with `null` for each item; the bytes are kept for the computation.
 */
export function keepBatchBodies(app: FastifyInstance, load: () => FingerprintText): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser<Buffer>("application/json", { parseAs: "buffer" }, (request, bytes, done) => {
    if (bytes.length === 0) {
      void parse(request, "", done);
      return;
    }
    const outlined = load().batchBodyOutline(bytes);
    outlined.then(
      ({ text, items, body = bytes }) => {
        kept.set(request, { body, items });
        void parse(request, text, done);
      },
      (error) => done(error instanceof FingerprintError ? new errorCodes.FST_ERR_CTP_INVALID_JSON_BODY() : error),
    );
  });
}

/** The text of the results of a body that is good, in pieces. */
export async function batchResults(request: FastifyRequest, { batchPart }: FingerprintText): Promise<Buffer[]> {
  const found = kept.get(request);
  if (found === undefined) throw new Error("the body of a batch was not read by its own parser");
  const { body, items } = found;
  const pieces: Buffer[] = [];
  for (let first = 0; 2 * first < items.length; first += PART) {
    const last = Math.min(first + PART, items.length / 2) - 1;
    const array = await batchPart(body.subarray(items[2 * first], items[2 * last + 1]), first);
    if (first > 0) pieces.push(COMMA);
    pieces.push(array.subarray(1, -1));
  }
  return pieces;
}
