import type { Server } from "node:http";
import type { Registry } from "prom-client";
import { boundedServer } from "./server.js";

/** Connections that those who scrape may have open at once. */
const MAX_CONNECTIONS = 256;

/** A server that answers `GET /metrics` and nothing else, for a port that callers of the API can't reach. */
export function metricsServer(registry: Registry, onError: (error: unknown) => void): Server {
  return boundedServer((request, response) => {
    const [path] = (request.url ?? "").split("?");
    if (path !== "/metrics" || (request.method !== "GET" && request.method !== "HEAD")) {
      response.writeHead(path === "/metrics" ? 405 : 404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": registry.contentType }).end(text),
      (error: unknown) => {
        onError(error);
        response.writeHead(500).end();
      },
    );
  }, MAX_CONNECTIONS);
}
