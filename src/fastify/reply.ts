import type { FastifyReply } from "fastify";
import type { Fields, Problem } from "../http/index.js";

/** Writes fields into the header of an answer. */
export function writeFields(reply: FastifyReply, fields: Fields): void {
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] as Fields[number];
    reply.header(field[0], field[1]);
  }
}

/** Answers with a problem document, which no cache keeps. */
export function sendProblem(
  reply: FastifyReply,
  document: Problem,
  headers: Record<string, string> = {},
): FastifyReply {
  return reply
    .code(document.status)
    .headers(headers)
    .header("cache-control", "no-store")
    .header("content-type", "application/problem+json")
    .send(Buffer.from(JSON.stringify(document))); // As bytes, since Fastify adds a charset to a string's content type.
}
