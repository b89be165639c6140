import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { type Tolled, tollkeeper } from "../../src/express/index.js";
import { fieldOf, send } from "./on-express.js";
import { ALLOWED, type Call, goneOf, isPreflight, OK, replyOf, type Serve } from "./site.js";

interface Request extends IncomingMessage, Tolled {
  body?: unknown;
}

/** A server of `node:http`, with nothing else. */
export const onNode: Serve = async ({ layers, routes, cors }, limiter) => {
  const apps = Object.entries(routes).map(([path, { cost, total, handle = () => OK }]) => {
    const limits = layers.map(({ identify, onDenied, ...options }) =>
      tollkeeper<Request>({
        ...options,
        limiter,
        identify: identify && ((request) => identify(fieldOf(request))),
        cost: typeof cost === "function" ? (request) => cost(fieldOf(request)) : cost,
        total: total && ((request) => total(request.body)),
        onDenied: onDenied && ((_request, response, decision) => send(response, onDenied(decision))),
      }),
    );
    return { path, limits, total, handle };
  });
  const server = createServer(async (request: Request, response) => {
    const found = apps.find(({ path }) => path === request.url);
    if (!found || (cors && isPreflight(request.method, fieldOf(request)))) {
      response.writeHead(found ? 204 : 404, found && ALLOWED).end();
      return;
    }
    const passes = (middleware: ReturnType<typeof tollkeeper<Request>>["afterBody"]) =>
      new Promise<void>((resolve, reject) => {
        middleware(request, response, (error) => (error === undefined ? resolve() : reject(error)));
      });
    try {
      for (const limit of found.limits) await passes(limit);
      if (found.total) {
        request.body = await json(request).catch((error) => Promise.reject(Object.assign(error, { status: 400 })));
        for (const { afterBody } of found.limits) await passes(afterBody);
      }
      const call: Call = { toll: request.toll, tolls: request.tolls ?? [], gone: goneOf(request) };
      send(response, await found.handle(call));
    } catch (error) {
      send(response, replyOf(error));
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as { port: number }).port, close: async () => server.close() };
};
