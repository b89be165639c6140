import { connect } from "node:net";
import { Readable } from "node:stream";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import tollkeeper from "../../../src/fastify/index.js";
import { createLimiter, type Tiers } from "../../../src/index.js";

const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 5, windowSeconds: 60, burst: 1 },
      { name: "day", type: "quota", limit: 100, period: "day" },
    ],
  },
};

async function open(add: (app: FastifyInstance) => void = () => undefined) {
  const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.UTC(2026, 10, 10) });
  const app = fastify();
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  await app.register(tollkeeper, {
    limiter,
    identify: () => ({ key: "acct:1", tier: "free" }),
    fields: { x: "epoch" },
  });
  add(app);
  const remaining = () => limiter.peek("acct:1", "free", 0).limits.map(({ remaining }) => remaining);
  return { app, remaining };
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

/** A handler at `GET /`, and hooks or handlers that come after the plugin's. */
const at = (handler: Handler, more: (app: FastifyInstance) => void = () => undefined) => {
  return (app: FastifyInstance) => {
    more(app);
    app.get("/", handler);
  };
};
const ok: Handler = async () => "ok";
const failing: Handler = async () => {
  throw new Error("broken");
};
const setting = (status: number) => (app: FastifyInstance) => {
  app.addHook("onSend", async (_request, reply) => void reply.code(status));
};
/** Two bytes, and then what is given. */
function stream(end: (stream: Readable) => void): Readable {
  let read = 0;
  return new Readable({
    read() {
      if (read++ === 0) this.push("ok");
      else end(this);
    },
  });
}
const broken = () => stream((readable) => readable.destroy(new Error("broken")));
const unsendable = {
  schema: { response: { 200: { type: "object", required: ["a"], properties: { a: { type: "string" } } } } },
};

/** Every way in which the status of an answer becomes final: the status, and whether the quota is given back. */
const WAYS: Record<string, [add: (app: FastifyInstance) => void, status: number, refunded: boolean]> = {
  "the handler says 200": [at(ok), 200, false],
  "the handler says 404": [at(async (_, reply) => reply.code(404).send()), 404, false],
  "the handler says 503": [at(async (_, reply) => reply.code(503).send("no")), 503, true],
  "the handler says 503, to HEAD too": [at(async (_, reply) => reply.code(503).send("no")), 503, true],
  "the handler throws": [at(failing), 500, true],
  "the handler throws a 404": [
    at(async () => Promise.reject(Object.assign(new Error("none"), { statusCode: 404 }))),
    404,
    false,
  ],
  "the handler finds nothing": [at((_, reply) => void reply.callNotFound()), 404, false],
  "the handler throws when it has answered": [
    at(async (_, reply) => {
      reply.send("ok");
      throw new Error("too late");
    }),
    200,
    false,
  ],
  "the handler takes too long": [
    (app) =>
      void app.get("/", { handlerTimeout: 20 }, async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      }),
    503,
    true,
  ],
  "a later onSend makes 503 of 200": [at(ok, setting(503)), 503, true],
  "a later onSend makes 200 of 500": [at(failing, setting(200)), 200, false],
  "a later onSend throws": [
    at(ok, (app) => void app.addHook("onSend", async () => Promise.reject(new Error("broken")))),
    500,
    true,
  ],
  "a later onSend makes 503 of a 400 that nobody handled": [
    (app) => {
      setting(503)(app);
      app.get("/", { schema: { querystring: { type: "object", required: ["a"] } } }, ok);
    },
    503,
    true,
  ],
  "a later onRequest says 401": [
    at(ok, (app) => void app.addHook("onRequest", async (_, reply) => reply.code(401).send())),
    401,
    true,
  ],
  "a later preHandler says 503": [
    at(ok, (app) => void app.addHook("preHandler", async (_, reply) => reply.code(503).send())),
    503,
    true,
  ],
  "preSerialization throws": [
    at(
      async () => ({ a: 1 }),
      (app) => void app.addHook("preSerialization", async () => Promise.reject(new Error("broken"))),
    ),
    500,
    true,
  ],
  "the answer is not as its schema says": [(app) => void app.get("/", unsendable, async () => ({})), 500, true],
  "the error handler makes 200 of it": [
    at(failing, (app) => void app.setErrorHandler((_error, _request, reply) => reply.code(200).send("fine"))),
    200,
    false,
  ],
  "the error handler throws": [
    at(
      failing,
      (app) =>
        void app.setErrorHandler(() => {
          throw new Error("broken too");
        }),
    ),
    500,
    true,
  ],
  "a Response says 503": [at(async () => new Response("no", { status: 503 })), 503, true],
  "a Response says 200": [at(async () => new Response("ok", { status: 200 })), 200, false],
  "a stream of 503": [
    at(async (_, reply) => reply.code(503).send(stream((readable) => readable.push(null)))),
    503,
    true,
  ],
  "a stream of 200": [at(async (_, reply) => reply.send(stream((readable) => readable.push(null)))), 200, false],
  "a stream that breaks before its header": [
    at(async (_, reply) => reply.send(new Readable({ read: () => undefined }).destroy(new Error("broken")))),
    500,
    true,
  ],
  "reply.hijack, and 500": [at((_, reply) => void reply.hijack().raw.writeHead(500).end()), 500, true],
  "reply.hijack, and 200": [at((_, reply) => void reply.hijack().raw.writeHead(200).end()), 200, false],
};

describe("what a call has spent of a quota is decided on once, when the status is final", () => {
  it.each(Object.entries(WAYS))("%s", async (way, [add, status, refunded]) => {
    const { app, remaining } = await open(add);
    const answer = await app.inject({ url: "/", method: way.includes("HEAD") ? "HEAD" : "GET" });
    expect(answer.statusCode).toBe(status);
    expect(remaining()).toEqual([4, refunded ? 100 : 99]);
    // The fields are written before, so they say what was left then.
    if (!way.includes("hijack")) expect(answer.headers["ratelimit"]).toMatch(/^"minute";r=4;t=12, "day";r=99;/);
  });

  it.each([
    ["malformed JSON", { headers: { "content-type": "application/json" }, payload: "{" }],
    ["another media type", { headers: { "content-type": "application/xml" }, payload: "<a/>" }],
    ["too large a body", { headers: { "content-type": "text/plain" }, payload: "x".repeat(2 ** 21) }],
    ["a body that the schema refuses", { headers: { "content-type": "application/json" }, payload: "{}" }],
    ["a total that the tier never holds", { headers: { "content-type": "application/json" }, payload: '{"cost":6}' }],
  ])("given back where the body is rejected before it is handled: %s", async (_what, call) => {
    const { app, remaining } = await open((app) => {
      const body = { type: "object", required: ["cost"] };
      const toll = { total: ({ body }: FastifyRequest) => (body as { cost: number }).cost };
      app.post("/", { schema: { body }, config: { toll } }, ok);
    });
    expect((await app.inject({ method: "POST", url: "/", ...call })).statusCode).toBeGreaterThanOrEqual(400);
    expect(remaining()).toEqual([4, 100]);
  });

  it("given back whole where the body decided the cost", async () => {
    const { app, remaining } = await open((app) => {
      app.post("/three", { config: { toll: { total: () => 3 } } }, failing);
    });
    const { statusCode, headers } = await app.inject({ method: "POST", url: "/three" });
    expect([statusCode, headers["x-request-cost"]]).toEqual([500, "3"]);
    expect(remaining()).toEqual([2, 100]);
  });
});

describe("what a call has spent is kept where its caller goes away", () => {
  /** Sends a call, goes away when `until` says so, and waits until the server has seen that. */
  async function leave(app: FastifyInstance, call: string, until: () => Promise<unknown>): Promise<void> {
    if (!app.server.listening) await app.listen({ port: 0, host: "127.0.0.1" });
    const socket = connect((app.server.address() as { port: number }).port, "127.0.0.1").on("error", () => undefined);
    socket.pause().write(call);
    await until();
    socket.destroy();
    await vi.waitFor(async () =>
      expect(await new Promise((resolve) => app.server.getConnections((_, count) => resolve(count)))).toBe(0),
    );
  }
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;

  it("before an answer that then fails", async () => {
    let resolve = (): void => undefined;
    const failed = new Promise<void>((told) => {
      resolve = told;
    });
    const { app, remaining } = await open((app) => {
      app.get("/", async ({ raw }) => {
        await new Promise((closed) => raw.socket.once("close", closed));
        setImmediate(resolve);
        throw new Error("nobody is there any more");
      });
    });
    await leave(app, get("/"), () => vi.waitFor(() => expect(remaining()).toEqual([4, 99])));
    await failed;
    expect(remaining()).toEqual([4, 99]);
  });

  it("before it has sent its body", async () => {
    const { app, remaining } = await open((app) => void app.post("/", ok));
    const half = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\n12";
    await leave(app, half, () => vi.waitFor(() => expect(remaining()).toEqual([4, 99])));
    expect(remaining()).toEqual([4, 99]);
  });

  it("before it has taken an answer that failed", async () => {
    const { app, remaining } = await open((app) => {
      app.get("/", async (_, reply) => reply.code(503).send(Buffer.alloc(64 * 2 ** 20)));
    });
    await leave(app, get("/"), () => vi.waitFor(() => expect(remaining()).toEqual([4, 99])));
    expect(remaining()).toEqual([4, 99]);
  });

  it("or the answer breaks off after its header", async () => {
    const { app, remaining } = await open((app) => {
      app.get("/", async (_, reply) => reply.code(503).send(broken()));
    });
    const origin = await app.listen({ port: 0, host: "127.0.0.1" });
    await expect(fetch(origin).then((answer) => answer.text())).rejects.toThrow();
    expect(remaining()).toEqual([4, 99]);
  });
});
