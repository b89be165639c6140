import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { TollkeeperError } from "../../src/index.js";
import { batch, compare, identify, startService } from "./service.js";

function post(payload: string | Buffer, headers: Record<string, string> = {}, url = "/v1/identify") {
  return { method: "POST", url, payload, headers: { "content-type": "application/json", ...headers } } as const;
}

const SIGNALS = JSON.stringify(identify().payload);

describe("a body that can't be used", () => {
  it.each([
    ["cut off", '{"fingerprint":', "json_malformed"],
    ["empty", "", "json_malformed"],
    ["no JSON", "fingerprint", "json_malformed"],
    ["poisoned by __proto__", '{"fingerprint":{},"__proto__":{"admin":true}}', "json_malformed"],
    ["poisoned by constructor", '{"fingerprint":{},"constructor":{"prototype":{"admin":true}}}', "json_malformed"],
  ])("%s is 400", async (_what, payload, code) => {
    const { app } = await startService();
    const { statusCode, headers, body } = await app.inject(post(payload));
    expect(statusCode).toBe(400);
    expect(headers["content-type"]).toBe("application/problem+json");
    expect(JSON.parse(body)).toMatchObject({ type: "about:blank", title: "Bad Request", status: 400, code });
    expect(Object.hasOwn(Object.prototype, "admin")).toBe(false);
  });

  it.each([
    ["/v1/identify", "null", ""],
    ["/v1/identify", "[]", ""],
    ["/v1/identify", '{"fingerprint":7}', "fingerprint"],
    ["/v1/identify", '{"fingerprint":{"tls":{"ja4":7}}}', "fingerprint.tls.ja4"],
    ["/v1/identify", '{"fingerprint":{"http":{"headers":[["a","b"],["c"]]}}}', "fingerprint.http.headers[1]"],
    ["/v1/compare", '{"a":{}}', "b"],
    ["/v1/batch", '{"items":[]}', "items"],
    ["/v1/batch", "{}", "items"],
  ])("at %s, %s is 400 with the path of the field, %j", async (url, payload, path) => {
    const { app } = await startService();
    const { statusCode, body } = await app.inject(post(payload, {}, url));
    expect(statusCode).toBe(400);
    const problem = JSON.parse(body);
    expect(problem.code).toBe("body_invalid");
    expect(problem.errors[0].path).toBe(path);
    expect(problem.errors[0].detail).not.toBe("");
  });

  it.each([
    ["/v1/compare", { a: { tls: { ciphers: Array.from({ length: 10_800 }, () => []) } }, b: {} }],
    ["/v1/compare", Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`field${index}`, 1]))],
    ["/v1/identify", { fingerprint: { tls: { ciphers: Array.from({ length: 250 }, () => "x") } } }],
    ["/v1/identify", { fingerprint: { ["x".repeat(15_000)]: 1 } }],
  ])("at %s is not answered at length, however much of it is wrong", async (url, payload) => {
    const { app } = await startService();
    const { statusCode, body } = await app.inject(post(JSON.stringify(payload), {}, url));
    expect(statusCode).toBe(400);
    expect(body.length).toBeLessThan(8 * 1024);
    expect(JSON.parse(body).errors.length).toBeLessThanOrEqual(20);
  });

  it("names fields that there are not", async () => {
    const { app } = await startService();
    const { statusCode, body } = await app.inject(post('{"fingerprint":{},"tier":"enterprise"}'));
    expect(statusCode).toBe(400);
    expect(body).toContain("tier");
  });

  it.each([
    ["/v1/identify", 16],
    ["/v1/compare", 32],
    ["/v1/batch", 512],
  ])("of %s is 413 above %d KiB, and not at it", async (url, kibibytes) => {
    const { app, pro } = await startService();
    const authorization = `Bearer ${pro}`;
    const size = kibibytes * 1024;
    const text = (bytes: number) => `{${" ".repeat(bytes - 2)}}`;
    expect((await app.inject(post(text(size), { authorization }, url))).statusCode).toBe(400);
    const { statusCode, headers, body } = await app.inject(post(text(size + 1), { authorization }, url));
    expect(statusCode).toBe(413);
    expect(headers["x-ratelimit-remaining"]).toBeDefined();
    expect(JSON.parse(body)).toMatchObject({ status: 413, code: "body_too_large" });
  });

  it.each(["gzip", "br", "identity, gzip"])("encoded as %s is 415", async (coding) => {
    const { app } = await startService();
    const { statusCode, body } = await app.inject(post(gzipSync(SIGNALS), { "content-encoding": coding }));
    expect(statusCode).toBe(415);
    expect(JSON.parse(body)).toMatchObject({ status: 415, code: "content_coding_unsupported" });
    expect(JSON.parse(body).detail).toContain(coding);
  });

  it("that says it is not encoded is read", async () => {
    const { app } = await startService();
    expect(await app.inject(post(SIGNALS, { "content-encoding": "identity" }))).toMatchObject({ statusCode: 200 });
  });

  it.each(["text/plain", "application/xml", "multipart/form-data; boundary=x"])("of type %s is 415", async (type) => {
    const { app } = await startService();
    const { statusCode, body } = await app.inject(post("{}", { "content-type": type }));
    expect(statusCode).toBe(415);
    expect(JSON.parse(body)).toMatchObject({ status: 415, code: "media_type_unsupported" });
  });
});

describe("an address", () => {
  it("that is not there is 404, and its text is not repeated", async () => {
    const { app } = await startService();
    const { statusCode, body } = await app.inject("/v1/<script>");
    expect(statusCode).toBe(404);
    expect(body).not.toContain("script");
    expect(JSON.parse(body)).toMatchObject({ status: 404, code: "not_found" });
  });

  it("that can't be decoded is 400, charged and counted like any other", async () => {
    const { app, free } = await startService();
    for (const url of ["/%zz", "/v1/identify/%e0%a4"]) {
      const { statusCode, headers, body } = await app.inject({ url, headers: { "x-api-key": free } });
      expect(statusCode).toBe(400);
      expect(headers["content-type"]).toBe("application/problem+json");
      expect(headers["x-request-cost"]).toBe("1");
      expect(JSON.parse(body)).toMatchObject({ status: 400, code: "address_malformed" });
    }
    expect((await app.inject("/metrics")).body).toContain('route="/unreadable-address",status="400"} 2');
  });

  it("called by another method is 405 and says which it takes", async () => {
    const { app } = await startService();
    const { statusCode, headers, body } = await app.inject({ method: "DELETE", url: "/v1/compare?x=1" });
    expect(statusCode).toBe(405);
    expect(headers["allow"]).toBe("POST");
    expect(JSON.parse(body)).toMatchObject({ status: 405, code: "method_not_allowed" });
    expect((await app.inject({ method: "POST", url: "/health" })).headers["allow"]).toBe("GET, HEAD");
  });
});

describe("without the native binary", () => {
  it("the fingerprint routes are 503, which the log gives the reason of, and all else works", async () => {
    const { app, log } = await startService({}, () => {
      throw new TollkeeperError("ERR_NATIVE_MISSING", "fingerprints need the native binary, and it was left at home");
    });
    for (const call of [identify(), compare(), batch(3)]) {
      const { statusCode, headers, body } = await app.inject(call);
      expect(statusCode).toBe(503);
      expect(headers["ratelimit"]).toBeDefined();
      expect(JSON.parse(body)).toMatchObject({ code: "ERR_NATIVE_MISSING" });
      expect(body).not.toContain("left at home");
    }
    expect(log.filter((line) => line.includes("left at home"))).toHaveLength(3);
    for (const url of ["/health", "/ready", "/metrics"]) expect((await app.inject(url)).statusCode).toBe(200);
  });
});

describe("on a socket", () => {
  async function exchange(port: number, text: string): Promise<string> {
    const socket = connect(port, "127.0.0.1");
    socket.end(text);
    let answer = "";
    for await (const chunk of socket) answer += chunk;
    return answer;
  }

  it("what is not HTTP is 400 as a problem, and is not logged", async () => {
    const { app, log } = await startService();
    await app.listen({ port: 0 });
    const { port } = app.server.address() as { port: number };
    const answer = await exchange(port, "GET / HTTP/9.9\r\nx-api-key: fpk_secret\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(answer).toContain("application/problem+json");
    expect(log.join("")).not.toContain("fpk_secret");
  });

  it("a header that is too large is 431 as a problem", async () => {
    const { app } = await startService();
    await app.listen({ port: 0 });
    const { port } = app.server.address() as { port: number };
    const answer = await exchange(port, `GET / HTTP/1.1\r\nhost: x\r\nx-api-key: ${"x".repeat(20_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain("application/problem+json");
  });

  it("a call that does not arrive in time is 408: slow senders hold every connection", async () => {
    const { app } = await startService();
    expect(app.server.requestTimeout).toBe(30_000);
    app.server.requestTimeout = 100;
    await app.listen({ port: 0 });
    const { port } = app.server.address() as { port: number };
    const socket = connect(port, "127.0.0.1");
    socket.write("POST /v1/identify HTTP/1.1\r\nhost: x\r\n");
    let answer = "";
    for await (const chunk of socket) answer += chunk;
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer).toContain("request_timeout");
  });

  it("a caller is known by its own address", async () => {
    const { app } = await startService();
    const url = await app.listen({ port: 0, host: "127.0.0.1" });
    const { payload } = identify();
    const answer = await fetch(`${url}/v1/identify`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-forwarded-for": "203.0.113.9" },
      body: JSON.stringify(payload),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-ratelimit-remaining")).toBe("29");
    expect((await app.inject(identify(undefined, "127.0.0.1"))).headers["x-ratelimit-remaining"]).toBe("28");
  });
});
