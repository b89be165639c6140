import { IncomingMessage } from "node:http";
import { errorCodes, type FastifyInstance, type FastifyRequest } from "fastify";
import { MeteredMessage } from "./metered-message.js";

/** A body in more pieces than it may come in. */
export class BodyInPieces extends Error {
  constructor() {
    super("The body comes in too many small pieces: 64 and one for each 512 bytes may be; send it in larger ones.");
  }
}

/** Takes bytes of a body; `isOwn` if nobody else has them. */
export type TakeBytes = (bytes: Buffer<ArrayBuffer>, isOwn: boolean) => void;

/**
 * Hands on the bytes of a body, as many as its route takes; resolves to how many there are, and rejects with what the
 * framework has for bodies that are too large, too short or gone, with {@link BodyInPieces}, or with what `take` throws.
 */
export function receive(request: FastifyRequest, payload: IncomingMessage, take: TakeBytes): Promise<number> {
  const { bodyLimit } = request.routeOptions;
  const said = Number(request.headers["content-length"]);
  return new Promise((resolve, reject) => {
    let size = 0;
    const keep = (chunk: Buffer<ArrayBuffer>): void => {
      size += chunk.length;
      try {
        if (size > bodyLimit) throw new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE();
        // The chunks of a connection have no other reader.
        take(chunk, payload instanceof IncomingMessage && chunk.length === chunk.buffer.byteLength);
      } catch (error) {
        fail(error as Error);
      }
    };
    const fail = (error: Error): void => {
      payload.off("data", keep);
      reject(error);
    };
    const end = (): void => {
      if (Number.isNaN(said) || said === size) resolve(size);
      else fail(new errorCodes.FST_ERR_CTP_INVALID_CONTENT_LENGTH());
    };
    if (said > bodyLimit) fail(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
    else if (payload instanceof MeteredMessage && payload.isInPieces) fail(new BodyInPieces());
    else
      payload
        .on("data", keep)
        .on("end", end)
        .on("pieces", () => fail(new BodyInPieces()))
        .on("error", (error) => fail(Object.assign(error, { statusCode: 400 })));
  });
}

/**
 * Has an app take bodies of JSON, and no others.
 *
 * @param mayBeEmpty Whether one of no bytes is no body: many clients say that they send JSON though they send nothing.
 */
export function takeJson(app: FastifyInstance, mayBeEmpty = false): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser(["application/json", "text/plain"]);
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: IncomingMessage) => {
    const pieces: Buffer[] = [];
    const size = await receive(request, payload, (bytes) => void pieces.push(bytes));
    if (size === 0 && mayBeEmpty) return undefined;
    const text = Buffer.concat(pieces, size).toString();
    return new Promise((resolve, reject) => {
      void parse(request, text, (error, body) => (error === null ? resolve(body) : reject(error)));
    });
  });
}
