import { once } from "node:events";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ReadableStream } from "node:stream/web";
import { tollkeeper, tollOf, tollsOf } from "../../src/fetch/index.js";
import type { Limiter, SharedLimiter } from "../../src/index.js";
import {
  ALLOWED,
  type Field,
  headersOf,
  isPreflight,
  NO_JSON,
  OK,
  type Reply,
  type Route,
  replyOf,
  type Serve,
  type Setup,
} from "./site.js";

const fieldOf = ({ headers }: Request): Field => {
  return (name) => headers.get(name) ?? undefined;
};

export const responseOf = (answer: Reply): Response => {
  const chunks = answer.chunks && ReadableStream.from(answer.chunks).pipeThrough(new TextEncoderStream());
  return new Response(chunks ?? answer.body ?? null, { status: answer.status, headers: headersOf(answer) });
};

/** What comes with a request, which knows the address. */
type Handler = (request: Request, from: unknown) => Promise<Response>;

/** The limits of a route around what it does, for whatever tells the address. */
export function limited(
  { layers }: Setup,
  { cost, total }: Route,
  limiter: Limiter | SharedLimiter,
  address: (request: Request, from: unknown) => string | undefined,
): (handler: Handler) => Handler {
  const limits = layers.map(({ identify, onDenied, ...options }) =>
    tollkeeper<[unknown]>({
      ...options,
      limiter,
      identify: identify && ((request) => identify(fieldOf(request))),
      address: identify ? undefined : address,
      cost: typeof cost === "function" ? (request) => cost(fieldOf(request)) : cost,
      total:
        total &&
        (async (request) =>
          request
            .clone()
            .json()
            .then(total, () => responseOf(NO_JSON))),
      onDenied: onDenied && ((_request, decision) => responseOf(onDenied(decision))),
    }),
  );
  return (handler) => limits.reduceRight<Handler>((inner, limit) => limit(inner), handler);
}

/** What a route does with a call. */
export async function handled({ handle = () => OK }: Route, request: Request): Promise<Response> {
  const gone = new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve()));
  return responseOf(await handle({ toll: tollOf(request), tolls: tollsOf(request), gone }));
}

/** `Request → Response`, and a bridge to `node:http` no larger than it must be. */
export const onFetch: Serve = async (setup, limiter) => {
  const apps = Object.entries(setup.routes).map(([path, route]) => {
    const limit = limited(setup, route, limiter, (_request, from) => from as string | undefined);
    const handler = (request: Request) => handled(route, request).catch((error) => responseOf(replyOf(error)));
    return { path, handler: limit(handler) };
  });
  const server = createServer(async (incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.once("close", () => outgoing.writableFinished || gone.abort());
    const hasBody = incoming.headers["content-length"] !== undefined;
    const request = new Request(`http://127.0.0.1${incoming.url}`, {
      method: incoming.method ?? "GET",
      headers: incoming.headers as Record<string, string>,
      signal: gone.signal,
      ...(hasBody && { body: Readable.toWeb(incoming) as ReadableStream<Uint8Array>, duplex: "half" as const }),
    });
    const answer = async () => {
      if (setup.cors && isPreflight(request.method, fieldOf(request)))
        return new Response(null, { status: 204, headers: ALLOWED });
      const found = apps.find(({ path }) => path === incoming.url);
      if (!found) return new Response(null, { status: 404 });
      return found.handler(request, incoming.socket.remoteAddress);
    };
    const response = await answer().catch((error) => responseOf(replyOf(error)));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    if (response.body === null) outgoing.end();
    else await pipeline(Readable.fromWeb(response.body as ReadableStream<Uint8Array>), outgoing).catch(() => undefined);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as { port: number }).port, close: async () => server.close() };
};
