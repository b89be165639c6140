import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { Readable } from "node:stream";
import express from "express";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  identifyByAddress,
  problem,
  type Tolled,
  type TollkeeperOptions,
  tollkeeper,
} from "../../../src/express/index.js";
import { NO_ACCOUNT } from "../../../src/http/index.js";
import { createLimiter, type Tiers, TollkeeperError } from "../../../src/index.js";

const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 3, windowSeconds: 60, burst: 1 },
      { name: "day", type: "quota", limit: 100, period: "day" },
    ],
  },
  anonymous: { limits: [] },
};

type Options = TollkeeperOptions<IncomingMessage & Tolled>;
type Handle = (response: ServerResponse, request: IncomingMessage & Tolled) => unknown;

const limiterOf = () => {
  const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.UTC(2026, 10, 10) });
  onTestFinished(() => limiter.close());
  return limiter;
};

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** A server of `node:http` with limits before its only handler. */
async function open(handle: Handle, options: Partial<Options> = {}) {
  const limiter = limiterOf();
  const limit = tollkeeper<IncomingMessage & Tolled>({
    limiter,
    identify: () => ({ key: "acct:1", tier: "free" }),
    ...options,
  });
  const errors: unknown[] = [];
  const origin = await listen((request, response) => {
    limit(request, response, (error) => {
      if (error === undefined) return void handle(response, request);
      errors.push(error);
      response.writeHead(500).end();
    });
  });
  const left = () => limiter.peek("acct:1", "free", 0).limits.map(({ remaining }) => remaining);
  return { origin, left, errors };
}

const FIELD = '"minute";r=2;t=20, "day";r=99;t=86400';

describe("the fields are sent however the answer is written", () => {
  it.each<[string, Handle]>([
    ["end", (response) => response.end("ok")],
    ["writeHead with an object", (response) => response.writeHead(200, { "x-own": "1" }).end("ok")],
    ["writeHead with a list", (response) => response.writeHead(200, ["x-own", "1"]).end("ok")],
    ["writeHead with a reason", (response) => response.writeHead(200, "Fine", { "x-own": "1" }).end("ok")],
    [
      "flushHeaders",
      (response) => {
        response.flushHeaders();
        response.end("ok");
      },
    ],
    ["a stream", (response) => Readable.from(["o", "k"]).pipe(response)],
  ])("%s", async (_how, handle) => {
    const { origin, left } = await open(handle);
    const answer = await fetch(origin);
    expect([answer.status, answer.headers.get("ratelimit"), await answer.text()]).toEqual([200, FIELD, "ok"]);
    expect(left()).toEqual([2, 99]);
  });
});

describe("the status that is final decides what is given back", () => {
  it.each<[string, Handle, left: number]>([
    ["writeHead(503)", (response) => response.writeHead(503).end(), 100],
    ["a stream of 503", (response) => Readable.from(["no"]).pipe(response.writeHead(503)), 100],
    ["503 set, and 200 written", (response) => Object.assign(response, { statusCode: 503 }).writeHead(200).end(), 99],
    ["404", (response) => response.writeHead(404).end(), 99],
  ])("%s", async (_how, handle, day) => {
    const { origin, left } = await open(handle);
    await (await fetch(origin)).text();
    await vi.waitFor(() => expect(left()).toEqual([2, day]));
  });

  it("nothing where the caller leaves before it has taken an answer that failed", async () => {
    const { origin, left } = await open((response, { method }) => {
      if (method === "HEAD") response.end();
      else response.writeHead(503).end(Buffer.alloc(64 * 2 ** 20));
    });
    const { port } = new URL(origin);
    const socket = connect(Number(port), "127.0.0.1").pause();
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await vi.waitFor(() => expect(left()).toEqual([2, 99]));
    socket.destroy();
    await (await fetch(`${origin}/`, { method: "HEAD" })).text();
    expect(left()).toEqual([1, 98]);
  });

  it("nothing where the answer breaks off after its header", async () => {
    const { origin, left } = await open((response) => {
      response.writeHead(503, { "content-length": "10" }).write("half");
      setImmediate(() => response.destroy());
    });
    await expect(fetch(origin).then((answer) => answer.text())).rejects.toThrow();
    expect(left()).toEqual([2, 99]);
  });
});

describe("what is wrong", () => {
  it("goes to next as an error that tells clients nothing, and to onFault as it is", async () => {
    const onFault = vi.fn();
    const { origin, errors } = await open(() => undefined, {
      identify: () => ({ key: "acct:1", tier: "secret" }),
      onFault,
    });
    await fetch(origin);
    expect(errors).toEqual([expect.objectContaining({ message: "The call can't be charged.", status: 500 })]);
    expect(onFault).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: "ERR_TIER_UNKNOWN" }));
  });

  it("is a process warning by default, once of each code", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    onTestFinished(() => warn.mockRestore());
    const { origin } = await open(() => undefined, { identify: () => ({ key: "acct:1", tier: "secret" }) });
    for (let made = 0; made < 3; made++) await fetch(origin);
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      expect.stringContaining("secret"),
      expect.objectContaining({ code: "TOLLKEEPER_CALL_NOT_CHARGED" }),
    );
  });

  it("of refundOn is told, and harms no answer", async () => {
    const onFault = vi.fn();
    const { origin } = await open((response) => response.end("ok"), {
      onFault,
      refundOn: () => {
        throw new Error("broken");
      },
    });
    expect(await (await fetch(origin)).text()).toBe("ok");
    await vi.waitFor(() => expect(onFault).toHaveBeenCalledWith(new Error("broken")));
  });

  it("is told where afterBody is forgotten, so that a total is never charged", async () => {
    const onFault = vi.fn();
    const { origin } = await open((response) => response.end("ok"), { onFault, total: () => 3 });
    await (await fetch(origin)).text();
    await vi.waitFor(() =>
      expect(onFault).toHaveBeenCalledExactlyOnceWith(
        expect.objectContaining({ message: expect.stringContaining("put afterBody between") }),
      ),
    );
  });

  it("of onDenied goes to next, thrown or rejected", async () => {
    for (const onDenied of [
      () => {
        throw new Error("broken");
      },
      async () => Promise.reject(new Error("broken")),
    ]) {
      const { origin, errors } = await open((response) => response.end("ok"), { onDenied });
      for (let made = 0; made < 4; made++) await fetch(origin);
      expect(errors).toEqual([new Error("broken")]);
    }
  });

  it.each<[string, Record<string, unknown>]>([
    ["fast is unknown", { fast: true }],
    ["limiter is undefined", { limiter: undefined }],
    ["onDenied is 1", { onDenied: 1 }],
    ["onFault is 1", { onFault: 1 }],
    ["cost is -1; it may be", { cost: -1 }],
    ["total is 3", { total: 3 }],
    ["trusted is", { trusted: ["10.0.0.0/8"], identify: () => ({ key: "a", tier: "free" }) }],
    ["limiter is without a tier trusted", { trusted: ["10.0.0.0/8"] }],
    ["trustProxy is true", { trustProxy: true }],
  ])("%s", (message, options) => {
    const limiter = limiterOf();
    expect(() => tollkeeper({ limiter, ...options } as never)).toThrow(new RegExp(`^${message}`));
  });
});

it.each<[what: string, tier: string, cost: number, passes: number]>([
  ["let in", "free", 1, 1],
  ["denied", "free", 4, 0],
])(
  "answers nothing more where somebody has answered while it was asked who calls: %s",
  async (_what, tier, cost, passes) => {
    let identified: (identity: { key: string; tier: string }) => void = () => undefined;
    const limit = tollkeeper({
      limiter: limiterOf(),
      cost,
      identify: () =>
        new Promise((resolve) => {
          identified = resolve;
        }),
    });
    const passed = vi.fn();
    const decided = new Promise<void>((resolve) => {
      void listen((request, response) => {
        limit(request, response, passed);
        response.end("timed out");
        identified({ key: "acct:1", tier });
        setImmediate(resolve);
      }).then(async (origin) => expect(await (await fetch(origin)).text()).toBe("timed out"));
    });
    await decided;
    expect(passed).toHaveBeenCalledTimes(passes);
  },
);

it("identifies by address in an identify of one's own", async () => {
  const byAddress = identifyByAddress({ trustProxy: ["127.0.0.0/8"] });
  const seen: unknown[] = [];
  const { origin } = await open((response) => response.end("ok"), {
    identify: (request) => {
      seen.push(byAddress(request));
      return { key: "acct:1", tier: "free" };
    },
  });
  await fetch(origin, { headers: { "x-forwarded-for": "203.0.113.1" } });
  expect(seen).toEqual([{ key: "ip:203.0.113.1", tier: "anonymous", account: NO_ACCOUNT }]);
});

describe("a call is not let in by what is thrown, and the process goes on", () => {
  const denied = { cost: 3 };
  const thrown = [
    undefined,
    "route",
    "router",
    new Error("own"),
    new TollkeeperError("ERR_TIER_UNKNOWN", "one of gold"),
  ];
  const isOwn = (error: unknown) =>
    error instanceof Error && ["own", "The call can't be charged."].includes(error.message);

  it.each(thrown)("by onDenied: %s", async (error) => {
    for (const onDenied of [() => Promise.reject(error), () => fail(error)]) {
      const { origin, errors } = await open((response) => response.end("in"), {
        ...denied,
        onDenied,
        onFault: vi.fn(),
      });
      expect((await fetch(origin)).status).toBe(200);
      expect([(await fetch(origin)).status, errors.map(isOwn)]).toEqual([500, [true]]);
    }
  });

  it.each(thrown)("by identify: %s", async (error) => {
    for (const identify of [() => Promise.reject(error), () => fail(error)]) {
      const { origin, errors } = await open((response) => response.end("in"), { identify, onFault: vi.fn() });
      expect([(await fetch(origin)).status, errors.map(isOwn)]).toEqual([500, [true]]);
    }
  });

  it.each<[string, unknown]>([
    ["without a status", { refusal: {} }],
    ["of a status that lets in", { refusal: { status: 200 } }],
    ["that is null", { refusal: null }],
    ["with a field that can't be sent", { refusal: problem(401, "own", ""), headers: { "www-authenticate": "a\nb" } }],
  ])("by a refusal %s", async (_what, refusal) => {
    for (const given of [refusal, Promise.resolve(refusal)]) {
      const identify = (() => given) as Options["identify"];
      const { origin, errors } = await open((response) => response.end("in"), { identify, onFault: vi.fn() });
      expect([(await fetch(origin)).status, errors.length]).toEqual([500, 1]);
    }
  });

  it("has Express answer 500, and not 429, where onDenied fails", async () => {
    const app = express();
    const onDenied = () => fail(new Error("own"));
    app.use(tollkeeper({ limiter: limiterOf(), identify: () => ({ key: "a", tier: "free" }), cost: 3, onDenied }));
    app.get("/", (_request, response) => void response.send("in"));
    app.set("env", "test"); // Not a word on the console.
    const origin = await listen(app);
    await fetch(origin);
    expect((await fetch(origin)).status).toBe(500);
  });

  it("denies though shadow is async by mistake", async () => {
    const shadow = (async () => false) as unknown as () => boolean;
    const { origin } = await open((response) => response.end("in"), { ...denied, shadow });
    expect([(await fetch(origin)).status, (await fetch(origin)).status]).toEqual([200, 429]);
  });

  it.each(["cost", "refundOn"] as const)("tells of %s that is async by mistake", async (option) => {
    const rejected = vi.fn();
    process.on("unhandledRejection", rejected);
    onTestFinished(() => void process.off("unhandledRejection", rejected));
    const onFault = vi.fn();
    const { origin } = await open((response) => response.end("in"), {
      [option]: () => Promise.reject(new Error("own")),
      onFault,
    });
    await (await fetch(origin)).text();
    await vi.waitFor(() => expect(onFault.mock.calls).toMatchObject([[{ code: "ERR_OPTION_INVALID" }]]));
    expect(rejected).not.toHaveBeenCalled();
  });
});

function fail(error: unknown): never {
  throw error;
}
