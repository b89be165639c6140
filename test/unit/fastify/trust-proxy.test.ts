import { once } from "node:events";
import { request as send } from "node:http";
import fastify, { type FastifyInstance, type FastifyServerOptions } from "fastify";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, onTestFinished, vi } from "vitest";
import tollkeeper, { identifyByAddress, type TollkeeperOptions } from "../../../src/fastify/index.js";
import { createLimiter } from "../../../src/index.js";

const bucket = { name: "minute", type: "bucket", limit: 5, windowSeconds: 60, burst: 1 } as const;

async function open(server: FastifyServerOptions, options: Partial<TollkeeperOptions> = {}, isNested = false) {
  const limiter = createLimiter({
    tiers: { anonymous: { limits: [bucket] } },
    engine: "js",
    clock: () => Date.UTC(2026, 10, 10),
  });
  const app = fastify(server);
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  const add = async (app: FastifyInstance) => {
    await app.register(tollkeeper, { limiter, fields: { x: "epoch" }, ...options });
    app.get("/", async () => "ok");
  };
  if (isNested) await app.register(async (child) => void (await child.register(add)));
  else await app.register(add);
  /** What is left of the one that a header names, calling from an address. */
  return async (from: string, forwarded?: string) => {
    const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
    const answer = await app.inject({ url: "/", remoteAddress: from, headers });
    return answer.headers["x-ratelimit-remaining"] ?? answer.statusCode;
  };
}

let warnings: MockInstance<(...warning: unknown[]) => void>;
beforeEach(() => {
  warnings = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined) as typeof warnings;
});
afterEach(() => warnings.mockRestore());

describe("Fastify's own trustProxy", () => {
  it.each([
    ["a network", "10.0.0.0/8", "10.1.2.3"],
    ["an address", "10.1.2.3", "10.1.2.3"],
    ["a list in text", "127.0.0.1, 10.0.0.0/8", "10.1.2.3"],
    ["a list", ["127.0.0.1", "10.0.0.0/8"], "10.1.2.3"],
    ["a network with a netmask", "10.0.0.0/255.0.0.0", "10.1.2.3"],
    ["a network by name", "loopback", "127.0.0.1"],
    ["networks by name", ["loopback", "uniquelocal"], "192.168.7.7"],
    ["a network by name, of IPv6", ["linklocal"], "fe80::1"],
    ["a mapped address", "::ffff:10.1.2.3", "10.1.2.3"],
    ["IPv6", "2001:db8::/32", "2001:db8::1"],
  ])("is taken where it names networks: %s", async (_what, trustProxy, proxy) => {
    for (const isNested of [false, true]) {
      const left = await open({ trustProxy }, {}, isNested);
      expect([await left(proxy, "203.0.113.1"), await left(proxy, "203.0.113.2")]).toEqual(["4", "4"]);
      expect(await left(proxy, "1.1.1.1, 203.0.113.1")).toBe("3");
      expect(warnings).not.toHaveBeenCalled();
    }
  });

  it("is taken by an identify of one's own, too", async () => {
    const byAddress = identifyByAddress();
    const left = await open({ trustProxy: "10.0.0.0/8" }, { identify: (request) => byAddress(request) });
    expect([await left("10.0.0.1", "203.0.113.1"), await left("10.0.0.1", "203.0.113.2")]).toEqual(["4", "4"]);
  });

  it.each([
    ["true", true],
    ["a hop count", 1 as never],
    ["a function", () => true],
    ["two halves of everything", ["0.0.0.0/1", "128.0.0.0/1"]],
    ["all of IPv4 in IPv6", ["10.0.0.0/8", "::ffff:0:0/96"]],
  ])("is not where it does not, which a process warning says once: %s", async (_what, trustProxy) => {
    const left = await open({ trustProxy });
    expect(await left("10.0.0.1")).toBe("4");
    expect(warnings).not.toHaveBeenCalled();
    expect(await left("10.0.0.1", "203.0.113.1")).toBe("3");
    expect(await left("10.0.0.1", "203.0.113.2")).toBe("2");
    expect(warnings).toHaveBeenCalledTimes(1);
    expect(warnings).toHaveBeenCalledWith(
      expect.stringMatching(/tollkeeper's option trustProxy; Fastify's own trustProxy \(/),
      { type: "TollkeeperWarning", code: "TOLLKEEPER_PROXY_NOT_TRUSTED" },
    );
  });

  it("is not where the plugin has its own", async () => {
    const left = await open({ trustProxy: "10.0.0.0/8" }, { trustProxy: ["172.16.0.0/12"] });
    expect([await left("10.0.0.1", "203.0.113.1"), await left("172.16.0.1", "203.0.113.1")]).toEqual(["4", "4"]);
    expect(await left("10.0.0.1")).toBe("3");
    expect(warnings).toHaveBeenCalledTimes(1);
  });

  it("is that of each app, where two have one identify", async () => {
    const identify = identifyByAddress();
    const [first, second] = [await open({ trustProxy: "10.0.0.0/8" }, { identify }), await open({}, { identify })];
    expect([await first("10.0.0.1", "203.0.113.1"), await second("10.0.0.1", "203.0.113.1")]).toEqual(["4", "4"]);
    expect([await first("10.0.0.1", "203.0.113.2"), await second("10.0.0.1", "203.0.113.2")]).toEqual(["4", "3"]);
  });
});

describe("X-Forwarded-For of a peer that is not trusted", () => {
  it.each([
    ["none is", {}],
    ["others are", { trustProxy: ["172.16.0.0/12"] }],
    ["none is, by name", { trustProxy: [] }],
  ])("is ignored, and a process warning says so once: %s", async (_what, options) => {
    const left = await open({}, options);
    for (const remaining of ["4", "3", "2"]) expect(await left("10.0.0.1", "203.0.113.1")).toBe(remaining);
    expect(warnings).toHaveBeenCalledTimes(1);
    expect(String(warnings.mock.calls[0])).not.toContain("Fastify");
  });

  it("that has no value says nothing", async () => {
    const left = await open({});
    expect(await left("10.0.0.1", "")).toBe("4");
    expect(warnings).not.toHaveBeenCalled();
  });

  it("comes by a Unix socket, too", async () => {
    const limiter = createLimiter({ tiers: { anonymous: { limits: [bucket] } }, engine: "js" });
    const app = fastify();
    onTestFinished(async () => {
      await app.close();
      await limiter.close();
    });
    await app.register(tollkeeper, { limiter });
    const socketPath = `\0tollkeeper-trust-${process.pid}`;
    await app.listen({ path: socketPath });
    const request = send({ socketPath, headers: { "x-forwarded-for": "203.0.113.1" } }).end();
    const [response] = await once(request, "response");
    response.resume();
    expect(response.statusCode).toBe(403);
    expect(warnings).toHaveBeenCalledTimes(1);
  });
});
