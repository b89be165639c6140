import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type TollkeeperOptions, tollkeeper, tollOf, tollsOf } from "../../../src/fetch/index.js";
import { createLimiter, type Tiers, TollkeeperError } from "../../../src/index.js";

const TIERS: Tiers = {
  free: {
    limits: [
      { name: "minute", type: "bucket", limit: 3, windowSeconds: 60, burst: 1 },
      { name: "day", type: "quota", limit: 100, period: "day" },
    ],
  },
  anonymous: { limits: [{ name: "minute", type: "bucket", limit: 3, windowSeconds: 60, burst: 1 }] },
};

function open(options: Partial<TollkeeperOptions> = {}) {
  const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.UTC(2026, 10, 10) });
  onTestFinished(() => limiter.close());
  const limit = tollkeeper({ limiter, identify: () => ({ key: "acct:1", tier: "free" }), ...options });
  const left = () => limiter.peek("acct:1", "free", 0).limits.map(({ remaining }) => remaining);
  return { limiter, limit, left };
}

const ask = (init?: RequestInit) => new Request("http://127.0.0.1/", init);
const FIELD = '"minute";r=2;t=20, "day";r=99;t=86400';

describe("the fields are on whatever a handler answers", () => {
  it.each<[string, () => Response | Promise<Response>, status: number]>([
    ["a Response", () => new Response("ok"), 200],
    ["a promise of one", async () => Response.json("ok"), 200],
    ["a redirect, whose header can't be changed", () => Response.redirect("http://127.0.0.1/there", 302), 302],
    ["what fetch has got", () => fetch("data:text/plain,ok"), 200],
    ["nothing", () => new Response(null, { status: 204 }), 204],
  ])("%s", async (_what, handler, status) => {
    const { limit } = open();
    const answer = await limit(handler)(ask());
    expect([answer.status, answer.headers.get("ratelimit")]).toEqual([status, FIELD]);
    if (status === 302) expect(answer.headers.get("location")).toBe("http://127.0.0.1/there");
  });

  it("which is sent as it comes", async () => {
    const { limit } = open();
    const body = new ReadableStream({ pull: (controller) => controller.enqueue("more") });
    const response = new Response(body);
    expect(await limit(() => response)(ask())).toBe(response);
  });
});

describe("the quota is given back", () => {
  const thrown = (error: unknown) => async (): Promise<Response> => Promise.reject(error);

  it.each<[string, () => Promise<Response>, left: number]>([
    ["where the handler throws", thrown(new Error("broken")), 100],
    ["where it throws nothing", thrown(undefined), 100],
    [
      "but not where it throws what is answered with 404",
      thrown(Object.assign(new Error("none"), { status: 404 })),
      99,
    ],
    ["nor where it throws a redirect", thrown({ status: 302, location: "/" }), 99],
  ])("%s", async (_what, handler, day) => {
    const { limit, left } = open();
    await limit(handler)(ask()).then(
      () => expect.unreachable(),
      () => undefined,
    );
    expect(left()).toEqual([2, day]);
  });

  it("not where the caller is gone", async () => {
    const { limit, left } = open();
    const gone = new AbortController();
    const answer = await limit(async () => {
      gone.abort();
      return new Response("no", { status: 503 });
    })(ask({ signal: gone.signal }));
    expect([answer.status, left()]).toEqual([503, [2, 99]]);
  });
});

it("hands on whatever comes with the request, and asks for the address with it", async () => {
  const { limiter } = open();
  const limit = tollkeeper({ limiter, address: (_request, server: { ip: string }) => server.ip });
  const GET = limit(async (_request, server, context) => Response.json([server, context]));
  const answer = await GET(ask(), { ip: "203.0.113.1" }, { params: { id: 1 } });
  expect(await answer.json()).toEqual([{ ip: "203.0.113.1" }, { params: { id: 1 } }]);
  expect(limiter.peek("ip:203.0.113.1", "anonymous", 0).limits[0]?.remaining).toBe(2);
});

it("tells the handler of the decision, and nobody else", async () => {
  const { limit } = open();
  const request = ask();
  expect([tollOf(request), tollsOf(request)]).toEqual([undefined, []]);
  await limit((request) => {
    expect(tollOf(request)?.tier).toBe("free");
    expect(tollsOf(request).map(({ cost }) => cost)).toEqual([1]);
    return new Response();
  })(request);
});

it("costs nothing where the cost is 0, and asks nobody", async () => {
  const identify = vi.fn();
  const { limit, left } = open({ cost: 0, identify });
  const answer = await limit(() => new Response("ok"))(ask());
  expect([answer.headers.get("ratelimit"), left()]).toEqual([null, [3, 100]]);
  expect(identify).not.toHaveBeenCalled();
});

describe("what is wrong", () => {
  it("is thrown as an error that tells clients nothing, and told to onFault as it is", async () => {
    const onFault = vi.fn();
    const handler = vi.fn(() => new Response());
    const { limit } = open({ identify: () => ({ key: "acct:1", tier: "secret" }), onFault });
    await expect(limit(handler)(ask())).rejects.toThrow("The call can't be charged.");
    expect(onFault).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: "ERR_TIER_UNKNOWN" }));
    expect(handler).not.toHaveBeenCalled();
  });

  it("lets nobody in where total gives no number", async () => {
    const handler = vi.fn(() => new Response());
    const { limit, left } = open({ total: (async () => undefined) as never, onFault: () => undefined });
    await expect(limit(handler)(ask())).rejects.toThrow("The call can't be charged.");
    expect(left()).toEqual([2, 100]);
    expect(handler).not.toHaveBeenCalled();
  });

  it.each<[string, Record<string, unknown>]>([
    ["address is undefined; it may be a function, or identify in its place", { identify: undefined }],
    ["fast is unknown", { fast: true }],
    ["onDenied is 1", { onDenied: 1 }],
    ["total is 3", { total: 3 }],
    ["trusted is", { trusted: ["10.0.0.0/8"] }],
  ])("%s", (message, options) => {
    expect(() => open(options as never)).toThrow(message);
  });
});

describe("a denied call is not let in", () => {
  it.each<[string, TollkeeperOptions["onDenied"]]>([
    ["answers nothing", (() => undefined) as unknown as TollkeeperOptions["onDenied"]],
    ["answers no Response", (() => "no") as unknown as TollkeeperOptions["onDenied"]],
    ["fails by the name of a tier", () => Promise.reject(new TollkeeperError("ERR_TIER_UNKNOWN", "one of gold"))],
  ])("where onDenied %s", async (_what, onDenied) => {
    const onFault = vi.fn();
    const handler = vi.fn(() => new Response("in"));
    const { limit } = open({ cost: 3, onDenied, onFault });
    await limit(handler)(ask());
    await expect(limit(handler)(ask())).rejects.toThrow(/^The call can't be charged\.$/);
    expect([handler.mock.calls.length, onFault.mock.calls.length]).toEqual([1, 1]);
  });

  it("where the same Request is handed in once more", async () => {
    const { limit, left } = open({ cost: 3 });
    const request = ask();
    const called = limit(() => new Response(`of ${tollsOf(request).length}`));
    const answers = [await called(request), await called(request), await called(request)];
    expect([answers.map(({ status }) => status), left()[0]]).toEqual([[200, 429, 429], 0]);
    expect(await answers[0]?.text()).toBe("of 1");
  });
});

describe("a connection that is taken over goes its own way", () => {
  it("by a handler that returns nothing, as with Bun's server.upgrade", async () => {
    const { limit, left } = open();
    const upgrade = (() => undefined) as unknown as () => Response;
    expect([await limit(limit(upgrade))(ask()), left()[0]]).toEqual([undefined, 1]);
  });

  it.each([101, 0])("by an answer of status %d, whose header can't be changed", async (status) => {
    const { limit } = open();
    const response = Object.defineProperty(Response.error(), "status", { value: status });
    expect(await limit(() => response)(ask())).toBe(response);
  });
});
