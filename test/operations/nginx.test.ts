import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Gateway, startGateway } from "../../scripts/operations/gateway.mjs";
import { FORMS, HARMLESS, RELIED_ON } from "../../scripts/operations/hops.mjs";
import type { KongFile } from "../../scripts/operations/kong-file.mjs";
import { debianTools } from "../../scripts/operations/tools.mjs";
import { startApp } from "../gateway/app.js";
import { call, expectSameAccounts, fileOfCallers, SETTINGS } from "../gateway/hops.js";
import { startNginx } from "../gateway/nginx.js";

beforeAll(() => debianTools("nginx", "/usr/lib/nginx/modules/ngx_http_lua_module.so"));

/** The file without what refuses, so that all that Kong does after it is seen. */
function fileWithoutPreFunction(): KongFile {
  const file = fileOfCallers();
  const services = file.services.map((service) => ({
    ...service,
    plugins: service.plugins.filter(({ name }) => name !== "pre-function"),
  }));
  return { ...file, services };
}

test("through a real nginx that runs Kong's file in Kong's order, no listed header changes account or tier", async () => {
  const app = await startApp(SETTINGS);
  const nginx = await startNginx(fileOfCallers(), app.url);
  try {
    await expectSameAccounts(nginx.url, app.url);
  } finally {
    await nginx.stop();
    await app.stop();
  }
});

describe("the stand-in hands on what a real nginx does", () => {
  let received: string[] = [];
  const upstream = createServer(({ rawHeaders, method, url }, response) => {
    received = [`${method} ${url}`];
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = String(rawHeaders[at]).toLowerCase();
      if (!MADE_UP.has(name)) received.push(`${name}: ${rawHeaders[at + 1]}`);
    }
    received.sort();
    response.end();
  });
  /** What each makes up for itself. */
  const MADE_UP = new Set(["x-consumer-id", "x-credential-identifier", "x-forwarded-port", "x-kong-request-id"]);
  let gateways: Gateway[] = [];

  beforeAll(async () => {
    await once(upstream.listen(0, "127.0.0.1"), "listening");
    const target = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const file = fileWithoutPreFunction();
    gateways = [await startGateway(file, [target]), await startNginx(file, target)];
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.stop();
    upstream.close();
    upstream.closeAllConnections();
  });

  /** What arrives behind either, for a call with these. */
  async function arrives(
    connection: readonly string[],
    fields: Record<string, string | string[]>,
  ): Promise<string[][]> {
    const each: string[][] = [];
    for (const { url } of gateways) {
      received = [];
      await call(url, "the-key-of-acme-in-these-tests", connection, { host: "api.example.com", ...fields });
      each.push(received);
    }
    return each;
  }

  test.each(RELIED_ON)("where Connection names %s", async (name) => {
    const own = ["Host", "Content-Length", "Transfer-Encoding", "Trailer", "Expect"].includes(name)
      ? {}
      : { [name]: "of the client" };
    for (const [form, lines] of Object.entries(FORMS)) {
      const [standIn, nginx] = await arrives(lines(name), own);
      expect(standIn, form).toEqual(nginx);
      expect(nginx?.length).toBeGreaterThan(5);
    }
  });

  test.each<[string, Record<string, string | string[]>]>([
    [
      "fields in several lines",
      { "X-Consumer-Groups": ["a", "b"], "X-Other": ["1", "2"], "X-Forwarded-For": ["1.1.1.1", "2.2.2.2"] },
    ],
    [
      "names with underscores",
      { X_Consumer_Groups: "enterprise", X_Gateway_Auth: "a", "X-Gateway_Auth": "b", x_api_key: "c" },
    ],
    [
      "fields of proxies",
      { "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive", Proxy: "x", "Proxy-Authorization": "Basic eA==" },
    ],
    ["trailers", { TE: "deflate, trailers" }],
    ["other codings", { TE: "deflate;q=0.5" }],
    ["an upgrade to HTTP/2", { Upgrade: "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA" }],
    ["an upgrade to WebSocket", { Upgrade: "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" }],
    [
      "the address in all its fields",
      { "X-Real-IP": "9.9.9.9", "X-Forwarded-For": "9.9.9.9", Forwarded: "for=9.9.9.9", Via: "1.0 a" },
    ],
    ["hosts", { "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "X-Forwarded-Proto": "https" }],
  ])("%s", async (_name, fields) => {
    for (const [form, lines] of Object.entries(HARMLESS)) {
      const [standIn, nginx] = await arrives(lines, fields);
      expect(standIn, form).toEqual(nginx);
      expect(nginx?.length).toBeGreaterThan(5);
    }
  });
});
