import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { startService } from "./service.js";

interface Capture {
  client: string;
  akamai_h2: string;
  client_hello: string;
}

/** A connection captured from a real client. */
function captured(client: string): Capture {
  const file = new URL(`../../crates/fingerprint/data/${client}.json`, import.meta.url);
  const [capture] = JSON.parse(readFileSync(file, "utf8")) as [Capture];
  return capture;
}

const chromium = captured("chromium");
const firefox = captured("firefox");

/** Calls a route of the service with a key of the tier pro. */
async function call(route: string, payload: object) {
  const { app, pro } = await startService();
  const answer = await app.inject({ method: "POST", url: route, payload, headers: { "x-api-key": pro } });
  return { status: answer.statusCode, body: answer.json() };
}

function signals({ client_hello, akamai_h2 }: Capture) {
  return { tls: { client_hello }, http2: { akamai: akamai_h2 } };
}

describe("identify", () => {
  it("knows a browser by its ClientHello and HTTP/2 frames", async () => {
    const { status, body } = await call("/v1/identify", { fingerprint: signals(chromium) });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      fingerprint_id: expect.stringMatching(/^fp1_/),
      computed: { ja4: expect.stringMatching(/^t13d1517h2_8daaf6152771_/), akamai_h2: chromium.akamai_h2 },
      cost: 1,
    });
    expect(body.candidates[0].client).toBe("chromium");
  });

  it("answers 200 and no candidates to signals that match nothing", async () => {
    const { status, body } = await call("/identify", {
      fingerprint: { tls: { ja4: "t10i010100_000000000000_000000000000" } },
    });
    expect(status).toBe(200);
    expect(body.candidates).toEqual([]);
  });

  it("takes null for what is not known, as compare and batch do", async () => {
    const known = { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } };
    const unknown = { client_hello: null, ja3: null, ja4_r: null, version: null, ciphers: null, alpn: null };
    const fingerprint = { tls: { ...known.tls, ...unknown }, http2: null, http: { headers: null } };
    const { body } = await call("/v1/identify", { fingerprint: known });
    expect((await call("/v1/identify", { fingerprint })).body).toEqual({ ...body, request_id: expect.any(String) });
    expect((await call("/v1/compare", { a: known, b: fingerprint })).body.similarity).toBe(1);
    const { results } = (await call("/v1/batch", { items: [{ id: null, fingerprint }] })).body;
    expect(results[0].result.fingerprint_id).toBe(body.fingerprint_id);
    expect((await call("/v1/identify", { fingerprint: { tls: null } })).body.code).toBe("ERR_NO_SIGNAL");
  });

  it("takes as many protocol names as a ClientHello may have", async () => {
    const offering = (names: number) => ({
      fingerprint: { tls: { version: 771, ciphers: [4865], extensions: [16], alpn: Array(names).fill("h2") } },
    });
    expect((await call("/v1/identify", offering(128))).status).toBe(200);
    expect((await call("/v1/identify", offering(129))).body).toMatchObject({
      status: 400,
      errors: [{ path: "fingerprint.tls.alpn" }],
    });
  });

  it.each([
    [{ tls: { client_hello: "!!" } }, "ERR_SIGNAL_INVALID", "fingerprint.tls.client_hello"],
    [{ tls: { client_hello: "AAAA" } }, "ERR_CLIENT_HELLO_NOT_TLS", "fingerprint.tls.client_hello"],
    [{ tls: { ja4: "nonsense" } }, "ERR_SIGNAL_INVALID", "fingerprint.tls.ja4"],
    [{}, "ERR_NO_SIGNAL", "fingerprint"],
  ])("refuses %j with %s at %s", async (fingerprint, code, path) => {
    const { status, body } = await call("/v1/identify", { fingerprint });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      type: "about:blank",
      status: 400,
      code,
      errors: [{ path, detail: expect.any(String) }],
    });
  });
});

describe("compare", () => {
  it("finds a client like itself and unlike another", async () => {
    const same = await call("/v1/compare", { a: signals(chromium), b: signals(chromium) });
    const other = await call("/v1/compare", { a: signals(chromium), b: signals(firefox) });
    expect(same.status).toBe(200);
    expect(same.body).toMatchObject({ similarity: 1, match: true, cost: 2, request_id: expect.any(String) });
    expect(other.body.similarity).toBeLessThan(1);
    expect(other.body.match).toBe(false);
  });

  it("refuses what can't be compared", async () => {
    const { status, body } = await call("/v1/compare", {
      a: { http2: { akamai: chromium.akamai_h2 } },
      b: { tls: { client_hello: chromium.client_hello } },
    });
    expect(status).toBe(400);
    expect(body.code).toBe("ERR_NOT_COMPARABLE");
  });
});

describe("batch", () => {
  it("answers in order, each a result or a problem; a bad item does not fail the others", async () => {
    const { status, body } = await call("/v1/batch", {
      items: [
        { id: "good", fingerprint: signals(chromium) },
        { id: "bad", fingerprint: { tls: { ja4: "nonsense" } } },
        17,
        { id: "also good", fingerprint: signals(firefox) },
      ],
    });
    expect(status).toBe(200);
    expect(body.cost).toBe(2); // Items that fail are free.
    expect(body.results).toHaveLength(4);
    expect(body.results).toMatchObject([
      { id: "good", result: { fingerprint_id: expect.stringMatching(/^fp1_/) } },
      { id: "bad", problem: { code: "ERR_SIGNAL_INVALID", path: "items[1].fingerprint.tls.ja4" } },
      { problem: { path: "items[2]" } },
      {
        id: "also good",
        result: { candidates: expect.arrayContaining([expect.objectContaining({ client: "firefox" })]) },
      },
    ]);
  });

  it("names the depth that an item of any greater depth may have", async () => {
    const { app, pro } = await startService();
    const deep = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    const payload = `{"items":[${deep(200)},${deep(100_000)}]}`;
    const headers = { "x-api-key": pro, "content-type": "application/json" };
    const answer = await app.inject({ method: "POST", url: "/v1/batch", payload, headers });
    expect(answer.statusCode).toBe(200);
    const problem = { code: "ERR_INPUT_NOT_JSON", detail: expect.stringContaining("nested 127 deep") };
    expect(answer.json().results).toMatchObject([{ problem }, { problem }]);
  });
});

it.each([
  ["identify", '{"fingerprint":', "}"],
  ["identify", '{"fingerprint":{"tls":{"ciphers":', "}}}"],
  ["compare", '{"b":{},"a":{"http":{"headers":', "}}}"],
  ["batch", '{"items":{"0":', "}}"],
])("%s of %s… nested deep is 400", async (route, start, end) => {
  const { app, pro } = await startService();
  const headers = { "x-api-key": pro, "content-type": "application/json" };
  for (const depth of [200, 8000]) {
    const payload = start + "[".repeat(depth) + "]".repeat(depth) + end;
    const answer = await app.inject({ method: "POST", url: `/v1/${route}`, payload, headers });
    expect(answer.statusCode).toBe(400);
    expect(answer.json().errors[0].detail).not.toBe("");
  }
});
