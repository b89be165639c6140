/** What docs/migrating.md says of other limiters, each row that can be run against both. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import rateLimit, { type RateLimitPluginOptions } from "@fastify/rate-limit";
import express, { type RequestHandler } from "express";
import { type Options as ExpressPeerOptions, rateLimit as expressPeer } from "express-rate-limit";
import fastify, { type FastifyInstance, type FastifyServerOptions, type InjectOptions } from "fastify";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { type TollkeeperOptions as ExpressOptions, tollkeeper as onExpress } from "../../src/express/index.js";
import tollkeeper, { type TollkeeperOptions } from "../../src/fastify/index.js";
import { createLimiter, type Limiter, type Tiers } from "../../src/index.js";

const page = readFileSync(join(ROOT, "docs", "migrating.md"), "utf8");

/** The rows of a section's table: what it is about, and what it is here. */
function rowsOf(section: string): { what: string; mark: string }[] {
  const [, text = ""] = page.split(`\n## ${section}\n`);
  const lines = (text.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| "));
  return lines.slice(2).map((line) => {
    const [, what = "", mark = ""] = /^\| (.*?) \| (.*?) \|/.exec(line) ?? [];
    return { what, mark };
  });
}

const bucket = { name: "minute", type: "bucket", limit: 2, windowSeconds: 60, burst: 1 } as const;
const TIERS: Tiers = {
  anonymous: { limits: [bucket] },
  trusted: { limits: [] },
  large: { limits: [{ ...bucket, limit: 4 }] },
};

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2026, 10, 10) }));
afterEach(() => void vi.useRealTimers());
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);

type Add = (app: FastifyInstance, limiter: Limiter) => unknown;

const addRoot: Add = (app) => {
  app.get("/", async () => "ok");
};

async function theirs(options: RateLimitPluginOptions = {}, add: Add = addRoot, server: FastifyServerOptions = {}) {
  const app = fastify(server);
  onTestFinished(() => app.close());
  await app.register(rateLimit, { max: 2, timeWindow: 60_000, ...options });
  await add(app, undefined as never);
  return app;
}

async function ours(options: Partial<TollkeeperOptions> = {}, add: Add = addRoot, server: FastifyServerOptions = {}) {
  const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.now() });
  const app = fastify(server);
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  await app.register(tollkeeper, { limiter, ...options });
  await add(app, limiter);
  return app;
}

const get = (app: FastifyInstance, asked: InjectOptions = {}) => app.inject({ url: "/", ...asked });
async function statuses(app: FastifyInstance, count: number, asked: InjectOptions = {}): Promise<number[]> {
  const seen: number[] = [];
  for (let made = 0; made < count; made++) seen.push((await get(app, asked)).statusCode);
  return seen;
}
/** The first that is denied. */
async function denied(app: FastifyInstance) {
  await statuses(app, 2);
  return get(app);
}

/** By what a row is about: what both plugins do. */
const CASES: Record<string, () => Promise<void>> = {
  "`max` calls pass at once, the next is 429": async () => {
    for (const app of [await theirs(), await ours()]) expect(await statuses(app, 3)).toEqual([200, 200, 429]);
  },
  "after `timeWindow`, `max` calls pass again": async () => {
    for (const app of [await theirs(), await ours()]) {
      await statuses(app, 3);
      pass(60_000);
      expect(await statuses(app, 3)).toEqual([200, 200, 429]);
    }
  },
  "nothing passes before the window's end": async () => {
    const seen: number[][] = [];
    for (const app of [await theirs(), await ours()]) {
      await statuses(app, 2);
      pass(30_000);
      seen.push(await statuses(app, 2));
    }
    expect(seen).toEqual([
      [429, 429],
      [200, 429],
    ]);
  },
  "around a window's end, 2 × `max` calls pass within moments": async () => {
    const seen: number[][] = [];
    for (const app of [await theirs(), await ours()]) {
      await get(app);
      pass(59_999);
      const before = await statuses(app, 1);
      pass(1);
      seen.push([...before, ...(await statuses(app, 2))]);
    }
    // Theirs has counted 3 calls within a millisecond, ours 2.
    expect(seen).toEqual([
      [200, 200, 200],
      [200, 200, 429],
    ]);
  },
  "`retry-after` is the time to the window's end": async () => {
    expect((await denied(await theirs())).headers["retry-after"]).toBe("60");
    expect((await denied(await ours())).headers["retry-after"]).toBe("30");
  },
  "a denied call lengthens no wait": async () => {
    for (const app of [await theirs(), await ours()]) {
      await statuses(app, 9);
      pass(60_000);
      expect(await statuses(app, 2)).toEqual([200, 200]);
    }
  },
  "a 429 goes through `setErrorHandler`": async () => {
    const handle: Add = (app) => {
      app.setErrorHandler((_error, _request, reply) => reply.code(418).send("handled"));
      app.get("/", async () => "ok");
    };
    expect((await denied(await theirs({}, handle))).body).toBe("handled");
    const answer = await denied(await ours({}, handle));
    expect([answer.statusCode, answer.headers["content-type"]]).toEqual([429, "application/problem+json"]);
  },
  "`errorResponseBuilder`": async () => {
    const theirAnswer = await denied(
      await theirs({ errorResponseBuilder: (_request, { max }) => ({ statusCode: 429, max }) as never }),
    );
    const onDenied: TollkeeperOptions["onDenied"] = (_request, reply, { limits }) => {
      void reply.code(429).send({ statusCode: 429, max: limits[0]?.limit });
    };
    const answer = await denied(await ours({ onDenied }));
    expect([theirAnswer.statusCode, theirAnswer.json()]).toEqual([429, { statusCode: 429, max: 2 }]);
    expect([answer.statusCode, answer.json()]).toEqual([429, { statusCode: 429, max: 2 }]);
  },
  "`x-ratelimit-limit`, `-remaining`, `-reset` in seconds, on every answer": async () => {
    const read = async (app: FastifyInstance) => {
      const { headers } = await get(app);
      return ["limit", "remaining", "reset"].map((name) => headers[`x-ratelimit-${name}`]);
    };
    expect(await read(await theirs())).toEqual(["2", "1", "60"]);
    expect(await read(await ours())).toEqual([undefined, undefined, undefined]);
    // Half of the bucket is away, and back in half a minute.
    expect(await read(await ours({ fields: { x: "delta" } }))).toEqual(["2", "1", "30"]);
  },
  "`enableDraftSpec` sends the fields of an early draft": async () => {
    const { headers } = await get(await theirs({ enableDraftSpec: true }));
    expect(headers).toMatchObject({ "ratelimit-limit": "2", "ratelimit-remaining": "1", "ratelimit-reset": "60" });
    expect((await get(await ours())).headers).toMatchObject({
      "ratelimit-policy": '"minute";q=2;w=60',
      ratelimit: '"minute";r=1;t=30',
    });
  },
  "`addHeaders`, `addHeadersOnExceeding`": async () => {
    const none = { "x-ratelimit-limit": false, "x-ratelimit-remaining": false, "x-ratelimit-reset": false };
    for (const app of [await theirs({ addHeadersOnExceeding: none }), await ours({ fields: false })]) {
      expect(Object.keys((await get(app)).headers).filter((name) => name.includes("ratelimit"))).toEqual([]);
    }
  },
  "runs in `onRequest`, before the body is read": async () => {
    let read = 0;
    const count: Add = (app) => {
      app.addHook("preParsing", async () => void read++);
      app.post("/", async () => "ok");
    };
    for (const app of [await theirs({ max: 0 }, count), await ours({}, count)]) {
      read = 0;
      const seen = await statuses(app, 3, { method: "POST", payload: "x", headers: { "content-type": "text/plain" } });
      expect(read).toBe(seen.filter((status) => status === 200).length);
    }
  },
  '`hook: "preHandler"`': async () => {
    const login: Add = (app) => {
      app.addHook("preHandler", async () => undefined);
      app.post("/", async () => "ok");
    };
    const asked = (user: string): InjectOptions => ({ method: "POST", payload: { user } });
    const userOf = (body: unknown) => (body as { user: string }).user;
    const apps = [
      await theirs({ hook: "preHandler", keyGenerator: ({ body }) => userOf(body) }, login),
      await ours({ hook: "preHandler", identify: ({ body }) => ({ key: userOf(body), tier: "anonymous" }) }, login),
    ];
    for (const app of apps) {
      expect(await statuses(app, 3, asked("a"))).toEqual([200, 200, 429]);
      expect(await statuses(app, 1, asked("b"))).toEqual([200]);
    }
  },
  "`keyGenerator`": () => byKey((key) => key),
  "`keyGenerator` may be async": () => byKey(async (key) => key),
  "the key is the address, of IPv6 its /64 (`ipv6Subnet`)": async () => {
    for (const app of [await theirs(), await ours()]) {
      const from = (remoteAddress: string) => statuses(app, 1, { remoteAddress });
      const seen: number[] = [];
      for (const address of ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]) {
        seen.push(...(await from(address)));
      }
      expect(seen).toEqual([200, 200, 429, 200]);
      expect([...(await from("203.0.113.1")), ...(await from("::ffff:203.0.113.1"))]).toEqual([200, 200]);
      expect(await from("203.0.113.1")).toEqual([429]);
    }
  },
  "believes `X-Forwarded-For` with `trustProxy: true`": async () => {
    vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    onTestFinished(() => void vi.restoreAllMocks());
    const asClient = (app: FastifyInstance, address: string) =>
      statuses(app, 1, { remoteAddress: "10.0.0.1", headers: { "x-forwarded-for": address } });
    const hop = { trustProxy: true };
    const seen: number[][] = [];
    for (const app of [
      await theirs({}, addRoot, hop),
      await ours({}, addRoot, hop),
      await ours({ trustProxy: ["10.0.0.0/8"] }),
    ]) {
      seen.push([
        ...(await asClient(app, "1.1.1.1")),
        ...(await asClient(app, "2.2.2.2")),
        ...(await asClient(app, "3.3.3.3")),
      ]);
    }
    expect(seen).toEqual([
      [200, 200, 200],
      [200, 200, 429],
      [200, 200, 200],
    ]);
  },
  "`max` may be a function": async () => {
    const apps = [
      await theirs({ max: ({ headers }) => (headers["x-plan"] === "large" ? 4 : 2) }),
      await ours({
        identify: ({ headers }) => ({ key: "a", tier: headers["x-plan"] === "large" ? "large" : "anonymous" }),
      }),
    ];
    for (const app of apps) {
      expect(await statuses(app, 5, { headers: { "x-plan": "large" } })).toEqual([200, 200, 200, 200, 429]);
    }
  },
  "`allowList` of addresses": async () => {
    for (const app of [await theirs({ allowList: ["127.0.0.1"] }), await ours({ trusted: ["127.0.0.1/32"] })]) {
      expect(await statuses(app, 3)).toEqual([200, 200, 200]);
      expect(await statuses(app, 3, { remoteAddress: "127.0.0.2" })).toEqual([200, 200, 429]);
    }
  },
  "all routes without an own `config.rateLimit` count together": async () => {
    const two: Add = (app) => {
      app.get("/", async () => "ok");
      app.get("/other", async () => "ok");
    };
    for (const app of [await theirs({}, two), await ours({}, two)]) {
      await statuses(app, 2);
      expect(await statuses(app, 1, { url: "/other" })).toEqual([429]);
    }
  },
  "a route with an own `config.rateLimit` counts by itself": async () => {
    const own: Add = (app) => {
      app.get("/", async () => "ok");
      app.get("/theirs", { config: { rateLimit: { max: 1 } } }, async () => "ok");
      app.get("/ours", { config: { toll: { cost: 2 } } }, async () => "ok");
      app.get(
        "/apart",
        { config: { toll: { identify: () => ({ key: "apart", tier: "anonymous" }) } } },
        async () => "ok",
      );
    };
    const app = await theirs({}, own);
    expect(await statuses(app, 2, { url: "/theirs" })).toEqual([200, 429]);
    expect(await statuses(app, 3)).toEqual([200, 200, 429]);
    const here = await ours({}, own);
    expect(await statuses(here, 2, { url: "/ours" })).toEqual([200, 429]);
    expect(await statuses(here, 1)).toEqual([429]);
    expect(await statuses(here, 3, { url: "/apart" })).toEqual([200, 200, 429]);
  },
  "`config.rateLimit: false`": async () => {
    const free: Add = (app) => {
      app.get("/", { config: { rateLimit: false, toll: false } }, async () => "ok");
    };
    for (const app of [await theirs({}, free), await ours({}, free)]) {
      expect(await statuses(app, 3)).toEqual([200, 200, 200]);
    }
  },
  "an unknown `config.rateLimit` fails when the route is added": async () => {
    const wrong: Add = (app) => {
      app.get("/", { config: { rateLimit: "fast", toll: "fast" } as never }, async () => "ok");
    };
    await expect(theirs({}, wrong)).rejects.toThrow("Unknown value for route rate-limit configuration");
    await expect(ours({}, wrong)).rejects.toThrow("toll is fast");
  },
  "a path that there is not counts nothing": async () => {
    expect(await statuses(await theirs(), 3, { url: "/nowhere" })).toEqual([404, 404, 404]);
    expect(await statuses(await ours(), 3, { url: "/nowhere" })).toEqual([404, 404, 429]);
  },
  "a `HEAD` counts as its `GET` does": async () => {
    for (const app of [await theirs(), await ours()]) {
      expect(await statuses(app, 2, { method: "HEAD" })).toEqual([200, 200]);
      expect(await statuses(app, 1)).toEqual([429]);
    }
  },
  "calls that fail with 500 count": async () => {
    const failing: Add = (app) => {
      app.get("/", async () => Promise.reject(new Error("broken")));
    };
    for (const app of [await theirs({}, failing), await ours({}, failing)]) {
      expect(await statuses(app, 3)).toEqual([500, 500, 429]);
    }
  },
  "registered in a plugin, limits its routes only": async () => {
    const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.now() });
    for (const [plugin, options] of [
      [rateLimit, { max: 2 }],
      [tollkeeper, { limiter }],
    ] as const) {
      const app = fastify();
      onTestFinished(() => app.close());
      app.get("/", async () => "ok");
      await app.register(async (child) => {
        await child.register(plugin as never, options as never);
        child.get("/limited", async () => "ok");
      });
      expect(await statuses(app, 3)).toEqual([200, 200, 200]);
      expect(await statuses(app, 3, { url: "/limited" })).toEqual([200, 200, 429]);
    }
    await limiter.close();
  },
  "registered twice, each counts": async () => {
    const again: Add = async (app, limiter) => {
      if (limiter === undefined) await app.register(rateLimit, { max: 1, keyGenerator: () => "all" });
      else await app.register(tollkeeper, { limiter, identify: () => ({ key: "all", tier: "anonymous" }) });
      app.get("/", async () => "ok");
    };
    for (const app of [await theirs({ max: 2 }, again), await ours({}, again)]) {
      const seen: number[] = [];
      for (const remoteAddress of ["1.1.1.1", "1.1.1.2", "1.1.1.3"])
        seen.push(...(await statuses(app, 1, { remoteAddress })));
      expect(seen.at(-1)).toBe(429);
    }
  },
  "a store that fails makes a 500": async () => {
    class Broken {
      incr(_key: string, callback: (error: Error) => void) {
        callback(new Error("the store is away"));
      }
      child() {
        return this;
      }
    }
    expect((await get(await theirs({ store: Broken as never }))).statusCode).toBe(500);
    expect((await get(await theirs({ store: Broken as never, skipOnError: true }))).statusCode).toBe(200);
    for (const [onOutage, status] of [
      ["closed", 503],
      ["open", 200],
    ] as const) {
      const storage = { type: "redis", url: "redis://127.0.0.1:1", onOutage } as const;
      const limiter = createLimiter({ tiers: TIERS, storage, onStorageError: () => undefined });
      onTestFinished(() => limiter.close());
      expect((await get(await ours({ limiter }))).statusCode).toBe(status);
    }
  },
  "a key that falls out of the `cache` begins anew": async () => {
    const limiter = createLimiter({ tiers: TIERS, engine: "js", maxKeys: 1, clock: () => Date.now() });
    onTestFinished(() => limiter.close());
    const as = (app: FastifyInstance, remoteAddress: string, count: number) => statuses(app, count, { remoteAddress });
    const app = await theirs({ cache: 1 });
    await as(app, "1.1.1.1", 2);
    await as(app, "1.1.1.2", 1);
    expect(await as(app, "1.1.1.1", 2)).toEqual([200, 200]);
    const here = await ours({ limiter });
    await as(here, "1.1.1.1", 2);
    await as(here, "1.1.1.2", 2);
    expect(await as(here, "1.1.1.1", 1)).toEqual([429]);
  },
  "`app.createRateLimit()` decides by hand": async () => {
    const byHand: Add = (app, limiter) => {
      app.get("/", async (request) => {
        if (limiter !== undefined) return limiter.peek("a", "anonymous").allowed;
        const state = await app.createRateLimit({ max: 2 })(request, { increment: false });
        return state.isAllowed || !state.isExceeded;
      });
    };
    for (const app of [await theirs({}, byHand), await ours({}, byHand)]) expect((await get(app)).body).toBe("true");
  },
  "`onExceeding`, `onExceeded`": async () => {
    const exceeded = vi.fn();
    const onDenied: TollkeeperOptions["onDenied"] = (_request, reply) => {
      exceeded();
      void reply.code(429).send();
    };
    for (const app of [await theirs({ onExceeded: exceeded }), await ours({ onDenied })]) {
      exceeded.mockClear();
      await denied(app);
      expect(exceeded).toHaveBeenCalledOnce();
    }
  },
};

async function byKey(of: (key: string) => string | Promise<string>): Promise<void> {
  const apps = [
    await theirs({ keyGenerator: ({ headers }) => of(String(headers["x-account"])) }),
    await ours({
      identify: async ({ headers }) => ({ key: await of(String(headers["x-account"])), tier: "anonymous" }),
    }),
  ];
  for (const app of apps) {
    expect(await statuses(app, 3, { headers: { "x-account": "a" } })).toEqual([200, 200, 429]);
    expect(await statuses(app, 1, { headers: { "x-account": "b" } })).toEqual([200]);
  }
}

/** Rows of another part of the product, whose tests are elsewhere. */
const ELSEWHERE = ["`redis`, `nameSpace`"];

describe("@fastify/rate-limit", () => {
  const rows = rowsOf("@fastify/rate-limit");
  const tried = rows.filter(({ what, mark }) => mark !== "not there" && !ELSEWHERE.includes(what));

  it("has a test of each row, and a row of each test", () => {
    expect(Object.keys(CASES).sort()).toEqual(tried.map(({ what }) => what).sort());
    expect(rows.filter(({ mark }) => !["same", "other", "not there"].includes(mark))).toEqual([]);
  });

  it.each(Object.entries(CASES))("%s", async (_what, run) => run());
});

describe("express-rate-limit", () => {
  /** Statuses of calls whose handler answers what the query says. */
  async function play(limit: RequestHandler, asked: number[]): Promise<number[]> {
    const app = express();
    app.get("/", limit, (request, response) => void response.status(Number(request.query["status"])).end());
    const server = app.listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const seen: number[] = [];
    for (const status of asked) seen.push((await fetch(`http://127.0.0.1:${port}/?status=${status}`)).status);
    return seen;
  }

  it.each<[string, Partial<ExpressPeerOptions>, Partial<ExpressOptions>, asked: number[], seen: number[]]>([
    ["`limit`", {}, {}, [200, 200, 200], [200, 200, 429]],
    [
      "`skipSuccessfulRequests`",
      { skipSuccessfulRequests: true },
      { refundOn: "success" },
      [200, 200, 200, 401, 401, 401],
      [200, 200, 200, 401, 401, 429],
    ],
    [
      "`skipFailedRequests`",
      { skipFailedRequests: true },
      { refundOn: ({ status }) => status >= 400 && "all" },
      [401, 401, 401, 200, 200, 200],
      [401, 401, 401, 200, 200, 429],
    ],
    ["`skip`", { skip: () => true }, { cost: () => 0 }, [200, 200, 200], [200, 200, 200]],
  ])("%s", async (_option, peer, own, asked, seen) => {
    const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.now() });
    onTestFinished(() => limiter.close());
    expect(await play(expressPeer({ windowMs: 60_000, limit: 2, ...peer }), asked)).toEqual(seen);
    expect(await play(onExpress({ limiter, ...own }), asked)).toEqual(seen);
  });
});

it("rate-limiter-flexible's consume(key, points)", async () => {
  const theirs = new RateLimiterMemory({ points: 2, duration: 60 });
  const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.now() });
  onTestFinished(() => limiter.close());
  for (const [points, passes] of [
    [2, true],
    [1, false],
  ] as const) {
    const answer = theirs.consume("a", points).then(
      () => true,
      () => false,
    );
    expect([await answer, limiter.consume("a", "anonymous", points).allowed]).toEqual([passes, passes]);
  }
});

describe("every option of a peer is on the page", () => {
  const text = (file: string) => readFileSync(join(ROOT, "node_modules", file), "utf8");
  const optionsIn = (source: string) => [...source.matchAll(/^\s+(\w+)\??:/gm)].map(([, name]) => String(name));
  const PEERS: Record<string, () => string[]> = {
    "@fastify/rate-limit": () => {
      const types = text("@fastify/rate-limit/types/index.d.ts");
      const [, own = ""] = types.split("export interface CreateRateLimitOptions");
      const events = ["req", "context"]; // Arguments, on lines of their own.
      return optionsIn(own.split("\n}\n")[0] ?? "").filter((name) => !events.includes(name));
    },
    "express-rate-limit": () => {
      const [, options = ""] = text("express-rate-limit/dist/index.d.ts").split("export type Options = {");
      return optionsIn(options.split("\n};")[0] ?? "");
    },
    "rate-limiter-flexible": () => {
      const types = text("rate-limiter-flexible/types.d.ts");
      const interfaces = ["IRateLimiterOptions", "IRateLimiterStoreOptions extends IRateLimiterOptions"];
      return interfaces.flatMap((name) => optionsIn(types.split(`interface ${name} {`)[1]?.split("\n}")[0] ?? ""));
    },
  };

  it.each(Object.entries(PEERS))("%s", (peer, options) => {
    const [, section = ""] = page.split(`\n## ${peer}\n`);
    const own = section.split("\n## ")[0] ?? "";
    const names = options();
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(own))).toEqual([]);
  });
});
