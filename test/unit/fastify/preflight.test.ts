import { request as send } from "node:http";
import { connect } from "node:http2";
import cors, { type FastifyCorsOptions } from "@fastify/cors";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { describe, expect, it, onTestFinished } from "vitest";
import tollkeeper, { problem } from "../../../src/fastify/index.js";
import { createLimiter, type Limiter } from "../../../src/index.js";

/** Where `@fastify/cors` is registered, and how. */
const CORS = {
  none: {},
  "before the limits": {},
  "before the limits, continuing": { preflightContinue: true },
  "before the limits, for no origin": { origin: false },
  "after the limits": {},
  "after the limits, for all OPTIONS": { strictPreflight: false },
  "after the limits, continuing": { preflightContinue: true },
  "in the plugin of the routes": {},
} satisfies Record<string, FastifyCorsOptions>;

const METHODS = ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "PROPFIND"];

const PATHS = {
  "/all": "app.all",
  "/listed": "app.route with a list of methods",
  "/get": "app.get, and HEAD by itself",
  "/files/a/b": "app.all with a wildcard",
  "/scoped/all": "app.all in a plugin with a prefix",
  "/scoped/nowhere": "a 404 handler of a plugin's own",
  "/nowhere": "the 404 handler",
  "/priced": "app.all with config.toll.cost 3",
  "/free": "app.all with config.toll false",
};

const BODIES = {
  none: {},
  "of length 0": { "content-length": "0" },
  "of length 2": { "content-length": "2", "content-type": "text/plain" },
  chunked: { "transfer-encoding": "chunked", "content-type": "text/plain" },
};

const ORIGIN = { origin: "https://app.example" };
const FIELDS = {
  none: {},
  "Origin alone": ORIGIN,
  "Access-Control-Request-Method alone": { "access-control-request-method": "POST" },
  "both, one empty": { ...ORIGIN, "access-control-request-method": "" },
  both: { ...ORIGIN, "access-control-request-method": "POST" },
};

interface Call {
  method: string;
  path: string;
  body: keyof typeof BODIES;
  fields: keyof typeof FIELDS;
}

const CALLS: Call[] = METHODS.flatMap((method) =>
  Object.keys(PATHS).flatMap((path) =>
    (Object.keys(BODIES) as Call["body"][])
      // Node's client sends no body by the others.
      .filter((body) => body === "none" || ["POST", "OPTIONS", "PROPFIND"].includes(method))
      .flatMap((body) => (Object.keys(FIELDS) as Call["fields"][]).map((fields) => ({ method, path, body, fields }))),
  ),
);

/** What has happened to a call, in order. */
type Event = "identified" | "body read" | "handled";

interface Subject {
  app: FastifyInstance;
  limiter: Limiter;
  events: Event[];
  port: number;
}

async function open(where: keyof typeof CORS, refuses: boolean, status = 200): Promise<Subject> {
  const limiter = createLimiter({
    tiers: {
      free: {
        limits: [
          { name: "hour", type: "bucket", limit: 1e6, windowSeconds: 3600, burst: 1 },
          { name: "day", type: "quota", limit: 1e6, period: "day" },
        ],
      },
    },
    engine: "js",
    clock: () => Date.UTC(2026, 10, 10),
  });
  const events: Event[] = [];
  const app = fastify();
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  app.addHttpMethod("PROPFIND", { hasBody: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => {
    events.push("body read");
    done(null, body);
  });
  const identify = () => {
    events.push("identified");
    return refuses ? { refusal: problem(401, "no", "No.") } : { key: "acct:1", tier: "free" };
  };
  const options = CORS[where];
  if (where.startsWith("before")) await app.register(cors, options);
  await app.register(tollkeeper, { limiter, identify });
  if (where.startsWith("after")) await app.register(cors, options);
  const handler = async (_request: FastifyRequest, reply: FastifyReply) => {
    events.push("handled");
    return reply.code(status).send("done");
  };
  app.all("/all", handler);
  app.get("/get", handler);
  app.route({ method: ["GET", "POST", "OPTIONS", "PROPFIND"], url: "/listed", handler });
  app.all("/files/*", handler);
  app.all("/priced", { config: { toll: { cost: 3 } } }, handler);
  app.all("/free", { config: { toll: false } }, handler);
  app.setNotFoundHandler(handler);
  await app.register(
    async (scope) => {
      if (where === "in the plugin of the routes") await scope.register(cors, options);
      scope.all("/all", handler);
      scope.setNotFoundHandler(handler);
    },
    { prefix: "/scoped" },
  );
  await app.listen({ port: 0, host: "127.0.0.1" });
  return { app, limiter, events, port: (app.server.address() as { port: number }).port };
}

/** Makes a call as described, to the end of its answer. */
function call(port: number, method: string, path: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = send({ port, host: "127.0.0.1", method, path, headers });
    request.on("error", reject);
    request.on("response", (response) => response.resume().on("end", () => resolve(response.statusCode ?? 0)));
    request.end(headers["content-length"] === "2" || headers["transfer-encoding"] ? "{}" : undefined);
  });
}

const spentOf = (limiter: Limiter) => 1e6 - (limiter.peek("acct:1", "free", 0).limits[0]?.remaining ?? 0);

describe.each(Object.keys(CORS) as (keyof typeof CORS)[])("with @fastify/cors %s", (where) => {
  /** What is to happen to a call: asked, charged, handled. */
  function expected(method: string, path: string, body: keyof typeof BODIES, fields: keyof typeof FIELDS) {
    const isPreflight = method === "OPTIONS" && fields === "both" && (body === "none" || body === "of length 0");
    const hasCors = where !== "none" && (where !== "in the plugin of the routes" || path.startsWith("/scoped"));
    const answers = hasCors && !where.endsWith("for no origin") && method === "OPTIONS";
    const continues = where.endsWith("continuing") && fields === "both";
    const isFirst = where.startsWith("before") && !continues;
    const isAnswered = answers && !continues;
    const price = path === "/free" ? 0 : path === "/priced" ? 3 : 1;
    const isLeft = isPreflight && isAnswered && price === 1;
    const charged = isAnswered && (isFirst || isLeft) ? 0 : price;
    // Where no route takes it, the plugin's own does.
    const isItsOwn = answers && continues && /get$|nowhere$/.test(path);
    return { charged, isHandled: !isAnswered && !isItsOwn };
  }

  it("no OPTIONS reaches a handler uncharged, nor any other method", async () => {
    const { limiter, events, port } = await open(where, false);
    const wrong: string[] = [];
    for (const { method, path, body, fields } of CALLS) {
      events.length = 0;
      const before = spentOf(limiter);
      await call(port, method, path, { ...BODIES[body], ...FIELDS[fields] });
      const was = { charged: spentOf(limiter) - before, isHandled: events.includes("handled") };
      const { charged, isHandled } = expected(method, path, body, fields);
      const isWrong = [
        was.charged !== charged || events.includes("identified") !== charged > 0,
        was.isHandled !== isHandled,
        was.isHandled && was.charged === 0 && path !== "/free",
        events[0] === "body read" && path !== "/free",
      ];
      if (isWrong.includes(true)) {
        wrong.push(`${method} ${path}, body ${body}, fields ${fields}: ${events.join(", ")}; charged ${was.charged}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("whom identify refuses reaches no handler, and has no body read, by any method", async () => {
    const { events, port } = await open(where, true);
    const wrong: string[] = [];
    for (const { method, path, body, fields } of CALLS) {
      if (path === "/free") continue;
      events.length = 0;
      const status = await call(port, method, path, { ...BODIES[body], ...FIELDS[fields] });
      const isWrong = events.some((event) => event !== "identified") || (events.length > 0 && status !== 401);
      if (isWrong) wrong.push(`${method} ${path}, body ${body}, fields ${fields}: ${status}, ${events.join(", ")}`);
    }
    expect(wrong).toEqual([]);
  });
});

it("a preflight over HTTP/2 that has a body, of whatever length, is a call like any other", async () => {
  const limiter = createLimiter({
    tiers: { anonymous: { limits: [{ name: "hour", type: "bucket", limit: 10, windowSeconds: 3600, burst: 1 }] } },
    engine: "js",
    clock: () => Date.UTC(2026, 10, 10),
  });
  const app = fastify({ http2: true });
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  await app.register(tollkeeper, { limiter, fields: { x: "epoch" } } as never);
  await app.register(cors as never);
  const origin = await app.listen({ port: 0, host: "127.0.0.1" });
  const client = connect(origin);
  onTestFinished(() => client.destroy());
  const preflight = (body: string | undefined) =>
    new Promise((resolve, reject) => {
      const fields = { ":method": "OPTIONS", ":path": "/", ...FIELDS.both };
      const stream = client.request(fields, { endStream: body === undefined });
      stream.on("error", reject);
      stream.on("response", (headers) => resolve(headers["x-request-cost"]));
      if (body !== undefined) stream.end(body);
    });
  expect(await preflight(undefined)).toBeUndefined();
  expect(await preflight("{}")).toBe("1");
});

it("a preflight that reaches a handler keeps its quota by the same rules as any call", async () => {
  for (const [status, spent] of [
    [404, 1],
    [503, 0],
  ] as const) {
    const { app, limiter } = await open("after the limits, continuing", false, status);
    await app.inject({ method: "OPTIONS", url: "/all", headers: FIELDS.both });
    expect(1e6 - (limiter.peek("acct:1", "free", 0).limits[1]?.remaining ?? 0)).toBe(spent);
  }
});
