import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline, Readable } from "node:stream";
import express, { type ErrorRequestHandler } from "express";
import express4 from "express4";
import { tollkeeper } from "../../src/express/index.js";
import {
  ALLOWED,
  type Call,
  type Field,
  goneOf,
  headersOf,
  isPreflight,
  OK,
  type Reply,
  replyOf,
  type Serve,
} from "./site.js";

export const fieldOf = ({ headers }: IncomingMessage): Field => {
  return (name) => headers[name] as string | undefined;
};

export const send = (response: ServerResponse, answer: Reply): void => {
  response.writeHead(answer.status, headersOf(answer));
  if (answer.chunks) pipeline(Readable.from(answer.chunks), response, () => undefined);
  else response.end(answer.body);
};

const on =
  (version: typeof express): Serve =>
  async ({ layers, routes, cors }, limiter) => {
    const app = version();
    app.disable("x-powered-by");
    if (cors) {
      app.use((request, response, next) => {
        if (isPreflight(request.method, fieldOf(request))) response.writeHead(204, ALLOWED).end();
        else next();
      });
    }
    for (const [path, { cost, total, handle = () => OK }] of Object.entries(routes)) {
      const limits = layers.map(({ identify, onDenied, ...options }) =>
        tollkeeper<express.Request, express.Response>({
          ...options,
          limiter,
          identify: identify && ((request) => identify(fieldOf(request))),
          cost: typeof cost === "function" ? (request) => cost(fieldOf(request)) : cost,
          total: total && ((request) => total(request.body)),
          onDenied: onDenied && ((_request, response, decision) => send(response, onDenied(decision))),
        }),
      );
      const parse = total ? [version.json(), ...limits.map(({ afterBody }) => afterBody)] : [];
      app.all(path, ...limits, ...parse, (request, response, next) => {
        const call: Call = { toll: request.toll, tolls: request.tolls ?? [], gone: goneOf(request) };
        Promise.resolve()
          .then(() => handle(call))
          .then((answer) => send(response, answer))
          .catch(next);
      });
    }
    app.use(((error, _request, response, _next) => {
      send(response, replyOf(error));
    }) satisfies ErrorRequestHandler);
    const server = createServer(app).listen(0, "127.0.0.1");
    await once(server, "listening");
    return { port: (server.address() as { port: number }).port, close: async () => server.close() };
  };

export const onExpress5 = on(express);
export const onExpress4 = on(express4);
