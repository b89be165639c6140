import type { FastifyInstance } from "fastify";
import { Counter, Histogram, type Registry } from "prom-client";
import { sendProblem } from "tollkeeper/fastify";
import { z } from "zod";
import { answers, answersText } from "./management/contract.js";
import { serviceProblem } from "./problem-codes.js";

/** Seconds; most calls take well under a millisecond. */
const SECONDS = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

/** Why calls can't be decided, as a problem document says it. */
export interface Unready {
  code: "store_unavailable" | "records_lost";
  detail: string;
}

/** What those who run the service ask of it. */
export interface OperationsOptions {
  registry: Registry;
  /** Whether `GET /metrics` is here, and not on a port of its own. */
  hasMetrics: boolean;
  /** Why calls can't be decided; undefined if they can. */
  unready: () => Unready | undefined;
  /** Whether the service is about to stop. */
  isDraining: () => boolean;
}

/** What those ask who run the service; open to all and free: `GET /health`, `/ready`, `/metrics`. */
export function addOperations(app: FastifyInstance, options: OperationsOptions): void {
  const { registry, hasMetrics, unready, isDraining } = options;
  countRequests(app, registry);

  let closing = false;
  app.addHook("preClose", async () => {
    closing = true;
  });

  const config = { toll: false } as const;
  const described = (operationId: string, summary: string, response: object) => ({
    config,
    schema: { operationId, summary, tags: ["operations"], security: [], response },
    logLevel: "silent" as const,
  });
  const health = described("health", "Whether the process is alive", answers(200, state("ok"), "It is.", []));
  app.get("/health", health, async () => ({ status: "ok" }));
  const ready = answers(200, state("ready"), "Calls may be sent.", [503]);
  app.get("/ready", described("ready", "Whether calls may be sent", ready), async (_request, reply) => {
    if (closing || isDraining()) return sendProblem(reply, serviceProblem("draining", "The service is shutting down."));
    const reason = unready();
    if (reason === undefined) return { status: "ready" };
    return sendProblem(reply, serviceProblem(reason.code, reason.detail));
  });
  if (!hasMetrics) return;
  const text = answersText("Prometheus's text format.", []);
  app.get("/metrics", described("metrics", "Metrics as Prometheus reads them", text), async (_request, reply) => {
    reply.header("content-type", registry.contentType);
    return Buffer.from(await registry.metrics());
  });
}

function state(status: string) {
  return z.object({ status: z.literal(status) });
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
