import type { FastifyInstance } from "fastify";
import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";
import { problem, sendProblem } from "../fastify/problem.js";
import type { Limiter } from "../limiter/limiter.js";
import type { SharedLimiter } from "../limiter/shared.js";
import { registerLimiterMetrics } from "../metrics/index.js";

/** Seconds; most calls take well under a millisecond. */
const SECONDS = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

/** What those ask who run the service; open to all and free: `GET /health`, `/ready`, `/metrics`. */
export function addOperations(app: FastifyInstance, limiter: Limiter | SharedLimiter, isReady: () => boolean): void {
  const registry = new Registry();
  registerLimiterMetrics(registry, limiter);
  collectDefaultMetrics({ register: registry });
  countRequests(app, registry);

  let draining = false;
  app.addHook("preClose", async () => {
    draining = true;
  });

  const config = { toll: false } as const;
  app.get("/health", { config, logLevel: "silent" }, async () => ({ status: "ok" }));
  app.get("/ready", { config, logLevel: "silent" }, async (_request, reply) =>
    draining
      ? sendProblem(reply, problem(503, "draining", "The service is shutting down."))
      : isReady()
        ? { status: "ready" }
        : sendProblem(reply, problem(503, "store_unavailable", "The limits can't be checked, and no call is let in.")),
  );
  app.get("/metrics", { config, logLevel: "silent" }, async (_request, reply) => {
    reply.header("content-type", registry.contentType);
    return registry.metrics();
  });
}

/** By route as registered, never by address as called: that would be a label per caller's whim. */
function countRequests(app: FastifyInstance, registry: Registry): void {
  const registers = [registry];
  const requests = new Counter({
    name: "fingerprint_requests_total",
    help: "Requests answered, by route and status.",
    labelNames: ["route", "status"],
    registers,
  });
  const seconds = new Histogram({
    name: "fingerprint_request_seconds",
    help: "Seconds from the request's header to the last byte of the answer, by route.",
    labelNames: ["route"],
    buckets: SECONDS,
    registers,
  });
  app.addHook("onResponse", (request, reply, done) => {
    const route = request.is404 ? "unknown" : (request.routeOptions.url ?? "unknown");
    requests.inc({ route, status: reply.statusCode });
    seconds.observe({ route }, reply.elapsedTime / 1000);
    request.log.debug({ method: request.method, route, status: reply.statusCode, ms: reply.elapsedTime }, "answered");
    done();
  });
}
