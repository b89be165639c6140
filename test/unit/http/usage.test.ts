/** A meter that is misspelt is an error when it is configured, and a ledger that fails is nobody's fault who calls. */
import { once } from "node:events";
import express from "express";
import fastify from "fastify";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { tollkeeper as middleware } from "../../../src/express/index.js";
import tollkeeper, { type RouteToll } from "../../../src/fastify/index.js";
import { tollkeeper as wrapper } from "../../../src/fetch/index.js";
import type { CallUsage, Meter, UsageLedger } from "../../../src/http/index.js";
import { createLimiter } from "../../../src/index.js";

const minute = { name: "minute", type: "bucket", limit: 3, windowSeconds: 60, burst: 1 } as const;
const identify = () => ({ key: "acct:1", tier: "free" });
const invalid = (message: string) =>
  expect.objectContaining({ code: "ERR_OPTION_INVALID", message: expect.stringContaining(message) });

function open(record: (usage: CallUsage) => void = () => undefined) {
  const limiter = createLimiter({ tiers: { free: { limits: [minute] } }, engine: "js" });
  onTestFinished(() => limiter.close());
  return { limiter, identify, ledger: { meters: ["calls", "tokens"], record } satisfies UsageLedger };
}

async function openFastify(toll: RouteToll, record?: (usage: CallUsage) => void, meter?: Meter, log: string[] = []) {
  const app = fastify({ logger: { level: "error", stream: { write: (line) => void log.push(line) } } });
  onTestFinished(() => app.close());
  await app.register(tollkeeper, { ...open(record), meter });
  app.get("/", { config: { toll } }, async () => "ok");
  await app.ready();
  return app;
}

const WRONG: [string, unknown][] = [
  ["is call; it may be one of calls, tokens", "call"],
  ["is call; it may be one of calls, tokens", { name: "call", limit: "minute" }],
  [".limit is tokens; it may be one of minute", { name: "tokens", limit: "tokens" }],
  ["is { name: 'calls' }; it may be the name of a meter, { name, limit }, or false for none", { name: "calls" }],
  ["is { name: 'calls', limit: 'minute', unit: 1 }", { name: "calls", limit: "minute", unit: 1 }],
  ["is true; it may be the name of a meter", true],
  ["is null; it may be the name of a meter", null],
];

describe.each(WRONG)("a meter that %s", (message, wrong) => {
  const meter = wrong as Meter;
  it("is an error of the layer's", async () => {
    const options = { ...open(), meter };
    expect(() => middleware(options)).toThrow(invalid(`meter${message.startsWith(".") ? "" : " "}${message}`));
    expect(() => wrapper(options)).toThrow(invalid(message));
    await expect(fastify().register(tollkeeper, options).ready()).rejects.toThrow(invalid(message));
  });

  it("is an error of the route's", async () => {
    await expect(openFastify({ meter })).rejects.toThrow(invalid(`config.toll.meter`));
  });
});

it.each<[string, object]>([
  ["ledger is 1; it may be what openLedger returned", { ledger: 1 }],
  ["it may be what openLedger returned", { ledger: { meters: ["calls"] } }],
  ["meter is calls; it may be left out without a ledger", { ledger: undefined, meter: "calls" }],
])("says that %s", (message, wrong) => {
  expect(() => middleware({ ...open(), ...wrong })).toThrow(invalid(message));
});

it("takes a route's meter in place of the layer's, none included, and its own limit", async () => {
  const counted: string[] = [];
  const record = ({ meter }: CallUsage) => void counted.push(meter);
  for (const toll of [
    {},
    { meter: "tokens" },
    { meter: { name: "tokens", limit: "minute" } },
    { meter: false },
  ] as const) {
    await (await openFastify(toll, record, "calls")).inject("/");
  }
  await expect.poll(() => counted).toEqual(["calls", "tokens", "tokens"]);
});

it("answers as if there were no ledger where that fails, and tells who runs the app", async () => {
  const fault = new Error("the disk is full");
  const fail = () => {
    throw fault;
  };
  const onFault = vi.fn();
  const log: string[] = [];
  const app = await openFastify({ meter: "calls" }, fail, undefined, log);
  expect((await app.inject("/")).statusCode).toBe(200);
  const GET = wrapper({ ...open(fail), meter: "calls", onFault })(() => new Response(null));
  expect((await GET(new Request("http://127.0.0.1/"))).status).toBe(200);
  expect(onFault.mock.calls).toEqual([[fault]]);

  const site = express().use(middleware({ ...open(fail), meter: "calls", onFault }), (_request, response) => {
    response.end("ok");
  });
  const server = site.listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("ok");
  await expect.poll(() => onFault.mock.calls).toEqual([[fault], [fault]]);
  expect(log.join("")).toContain("the disk is full");
});
