/** One route of Fastify, bare and behind limiters. */
import rateLimit from "@fastify/rate-limit";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { createLimiter, type Tiers } from "tollkeeper";
import tollkeeper, { type FieldOptions } from "tollkeeper/fastify";
import { AMPLE } from "./contestants.js";

const AMPLE_MAX = 1e9;

/** The longest window, in seconds, that a timer of Node's can end: 24 days, for a month. */
const LONGEST_S = 24 * 86_400;

/** The two fields that tollkeeper writes, as an app would by hand. */
function writeDraft(reply: FastifyReply, states: readonly { left: number; seconds: number }[]): void {
  const [minute, month] = states;
  reply.header("ratelimit-policy", DRAFT_POLICY);
  reply.header(
    "ratelimit",
    `"minute";r=${minute?.left};t=${minute?.seconds}, "month";r=${month?.left};t=${month?.seconds}`,
  );
}

const DRAFT_POLICY = `"minute";q=${AMPLE_MAX};w=60, "month";q=${AMPLE_MAX};w=${LONGEST_S}`;

/** What the peers usually have: one limit. */
const ONE_LIMIT: Tiers = {
  t: { limits: [{ name: "minute", type: "bucket", limit: AMPLE_MAX, windowSeconds: 60, burst: 1 }] },
};

/** What each server adds to the same route. */
const SERVERS = {
  "bare Fastify": async () => undefined,
  "three hooks that do nothing": async (app) => {
    app.addHook("onRequest", (_request, _reply, done) => done());
    app.addHook("preHandler", (_request, _reply, done) => done());
    app.addHook("onResponse", (_request, _reply, done) => done());
  },
  "tollkeeper, no fields": (app) => withTollkeeper(app, false),
  "tollkeeper, two fields": (app) => withTollkeeper(app, {}),
  "tollkeeper, one limit": (app) => withTollkeeper(app, {}, ONE_LIMIT),
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
  "@fastify/rate-limit, both limits": async (app) => {
    await app.register(rateLimit, { global: false });
    const limitOf = (name: string, timeWindow: number) =>
      app.createRateLimit({ max: AMPLE_MAX, timeWindow, keyGenerator: (request) => `${name} ${callerOf(request)}` });
    const [minute, month] = [limitOf("minute", 60_000), limitOf("month", LONGEST_S * 1000)];
    app.addHook("onRequest", async (request, reply) => {
      const states = [await minute(request), await month(request)].map((state) => {
        if (state.isAllowed) throw new Error("no limit was asked");
        return { left: state.remaining, seconds: state.ttlInSeconds };
      });
      writeDraft(reply, states);
    });
  },
  "rate-limiter-flexible, both limits": async (app) => {
    const minute = new RateLimiterMemory({ keyPrefix: "minute", points: AMPLE_MAX, duration: 60 });
    const month = new RateLimiterMemory({ keyPrefix: "month", points: AMPLE_MAX, duration: LONGEST_S });
    app.addHook("onRequest", async (request, reply) => {
      const key = callerOf(request);
      const states = [await minute.consume(key), await month.consume(key)].map((state) => ({
        left: state.remainingPoints,
        seconds: Math.ceil(state.msBeforeNext / 1000),
      }));
      writeDraft(reply, states);
    });
  },
} satisfies Record<string, (app: FastifyInstance) => Promise<void>>;

export type ServerName = keyof typeof SERVERS;

export const BARE = "bare Fastify" satisfies ServerName;

/** In the order in which they are shown. */
export const SERVER_NAMES = Object.keys(SERVERS) as ServerName[];

/** The app of one of them. */
export async function appOf(name: ServerName): Promise<FastifyInstance> {
  const app = fastify();
  await SERVERS[name](app);
  app.get("/", async () => ({ hello: "world" }));
  return app;
}

async function withTollkeeper(app: FastifyInstance, fields: FieldOptions | false, tiers = AMPLE): Promise<void> {
  const limiter = createLimiter({ engine: "native", tiers });
  await app.register(tollkeeper, {
    limiter,
    identify: (request) => ({ key: callerOf(request), tier: "t" }),
    fields,
  });
}

function callerOf({ headers }: FastifyRequest): string {
  return String(headers["x-api-key"]);
}
