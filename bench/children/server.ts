/** One HTTP server, for the benchmark `http`. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import rateLimit from "@fastify/rate-limit";
import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { createLimiter } from "tollkeeper";
import tollkeeper, { type FieldOptions } from "tollkeeper/fastify";
import { serve } from "../child.js";
import { AMPLE } from "../contestants.js";
import { Holds } from "./holds.js";

/** Where a server listens, and whom it knows. */
export interface Address {
  url: string;
  /** A key of the service's, which the other servers don't need. */
  key: string | undefined;
}

/** What each server adds to the same route. */
export const SERVERS = {
  "bare Fastify": async () => undefined,
  "tollkeeper, two fields": (app) => withTollkeeper(app, {}),
  "tollkeeper, all fields": (app) => withTollkeeper(app, { x: "epoch", tier: true }),
  "@fastify/rate-limit": async (app) => {
    await app.register(rateLimit, { max: AMPLE_MAX, timeWindow: "1 hour", keyGenerator: callerOf });
  },
  "rate-limiter-flexible": async (app) => {
    const limiter = new RateLimiterMemory({ points: AMPLE_MAX, duration: 3600 });
    app.addHook("onRequest", async (request, reply) => {
      const { remainingPoints, msBeforeNext } = await limiter.consume(callerOf(request));
      reply.header("x-ratelimit-limit", AMPLE_MAX);
      reply.header("x-ratelimit-remaining", remainingPoints);
      reply.header("x-ratelimit-reset", Math.ceil(msBeforeNext / 1000));
    });
  },
} satisfies Record<string, (app: FastifyInstance) => Promise<void>>;

export type ServerName = keyof typeof SERVERS;

export type Question = "address" | "cpu" | "watch" | "longest";

/** The whole of it, as `tollkeeper serve` starts it. */
const SERVICE = "fingerprint-api";

const AMPLE_MAX = 1e9;

async function withTollkeeper(app: FastifyInstance, fields: FieldOptions): Promise<void> {
  const limiter = createLimiter({ engine: "native", tiers: AMPLE });
  await app.register(tollkeeper, {
    limiter,
    identify: (request) => ({ key: callerOf(request), tier: "t" }),
    fields,
  });
}

function callerOf({ headers }: FastifyRequest): string {
  return String(headers["x-api-key"]);
}

async function listen(name: ServerName): Promise<Address> {
  const app = fastify();
  await SERVERS[name](app);
  app.get("/", async () => ({ hello: "world" }));
  return { url: await app.listen({ host: "127.0.0.1", port: 0 }), key: undefined };
}

/** Where the service is started from; not public. */
interface ServeModule {
  serve(options: {
    environment: Record<string, string>;
    print: (line: string) => void;
    logStream: { write(text: string): unknown };
  }): Promise<{ url: string }>;
}

async function startService(): Promise<Address> {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const lines: string[] = [];
  const module: ServeModule = await import(new URL("../../service/serve.js", import.meta.url).href);
  const { url } = await module.serve({
    environment: {
      PORT: "0",
      RATE_LIMIT_FILE: join(folder, "bench.redb"),
      RATE_LIMIT_PRO_MINUTE_LIMIT: "100000000",
      RATE_LIMIT_PRO_MONTHLY_QUOTA: "1000000000000",
    },
    print: (line) => lines.push(line),
    logStream: process.stderr,
  });
  const key = lines.map((line) => /^ +pro +(\S+)$/.exec(line)?.[1]).find(Boolean);
  if (key === undefined) throw new Error("the service has shown no key of the tier pro");
  return { url, key };
}

if (process.send !== undefined) {
  const name = process.argv[2] as ServerName | typeof SERVICE;
  const address = name === SERVICE ? await startService() : await listen(name);
  const holds = new Holds();
  /** Asked where it is, it tells; asked for its processor time, µs so far; asked to watch, how long its loop is held. */
  serve((question: Question) => {
    if (question === "address") return address;
    if (question === "watch") {
      holds.watch();
      return "watching";
    }
    if (question === "longest") return holds.longest();
    const { user, system } = process.cpuUsage();
    return user + system;
  });
}
