import { Readable } from "node:stream";
import fastify, { type FastifyRequest } from "fastify";
import tollkeeper, { type RouteToll } from "../../src/fastify/index.js";
import { ALLOWED, type Call, type Field, goneOf, headersOf, isPreflight, OK, replyOf, type Serve } from "./site.js";

const fieldOf = ({ headers }: FastifyRequest): Field => {
  return (name) => headers[name] as string | undefined;
};

export const onFastify: Serve = async ({ layers, routes, cors: hasCors }, limiter) => {
  const app = fastify();
  app.setErrorHandler((error, _request, reply) => {
    const answer = replyOf(error);
    return reply
      .code(answer.status)
      .headers(headersOf(answer))
      .send(Buffer.from(answer.body ?? ""));
  });
  if (hasCors) {
    app.addHook("onRequest", async (request, reply) => {
      if (isPreflight(request.method, fieldOf(request))) return reply.code(204).headers(ALLOWED).send();
    });
  }
  for (const { identify, onDenied, ...options } of layers) {
    await app.register(tollkeeper, {
      ...options,
      limiter,
      identify: identify && ((request) => identify(fieldOf(request))),
      onDenied:
        onDenied &&
        ((_request, reply, decision) => {
          const answer = onDenied(decision);
          return reply
            .code(answer.status)
            .headers(headersOf(answer))
            .send(Buffer.from(answer.body ?? ""));
        }),
    });
  }
  for (const [path, { cost = 1, total, handle = () => OK }] of Object.entries(routes)) {
    const toll: RouteToll = {
      cost: typeof cost === "function" ? (request) => cost(fieldOf(request)) : cost,
      total: total && (({ body }) => total(body)),
    };
    app.all(path, { config: { toll } }, async (request, reply) => {
      const call: Call = { toll: request.toll, tolls: request.tolls, gone: goneOf(request.raw) };
      const answer = await handle(call);
      return reply
        .code(answer.status)
        .headers(headersOf(answer))
        .send(answer.chunks ? Readable.from(answer.chunks) : Buffer.from(answer.body ?? ""));
    });
  }
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as { port: number };
  return { port, close: () => app.close() };
};
