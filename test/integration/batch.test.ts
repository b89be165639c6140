import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { json } from "node:stream/consumers";
import { describe, expect, it, onTestFinished } from "vitest";
import { loadFingerprintText } from "../../src/fingerprint/index.js";
import { batch, startService, type TestService } from "./service.js";

const GOOD = '{"id":"good","fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}';

function post({ app, pro }: TestService, payload: string | Buffer, headers: Record<string, string> = {}) {
  const sent = { "x-api-key": pro, "content-type": "application/json", ...headers };
  return app.inject({ method: "POST", url: "/v1/batch", payload, headers: sent });
}

/** The computations, whose batches wait between outline and answer, and tell what becomes of each by its number. */
function watched(going: Promise<unknown>) {
  const text = loadFingerprintText();
  const events = new EventEmitter();
  let batches = 0;
  const rawBatch = () => {
    const raw = text.rawBatch();
    const number = ++batches;
    return {
      ...raw,
      outline: async () => {
        const outline = await raw.outline();
        events.emit(`outlined ${number}`);
        await going;
        return outline;
      },
      results: (count: number) => {
        const results = raw.results(count);
        events.emit(`results of ${number}`, results);
        return results;
      },
      free: () => {
        raw.free();
        events.emit(`freed ${number}`);
      },
    };
  };
  return { load: () => ({ ...text, rawBatch }), events };
}

/** The text of a call of that many bytes, of which there may be fewer. */
function raw(key: string, body: string, bytes = body.length): string {
  const head = `host: x\r\nx-api-key: ${key}\r\ncontent-type: application/json\r\ncontent-length: ${bytes}`;
  return `POST /v1/batch HTTP/1.1\r\n${head}\r\n\r\n${body}`;
}

interface Result {
  id: string | null;
  result?: { fingerprint_id: string };
  problem?: { code: string; path: string; detail: string };
}

/** The results of items, each the text of one. */
async function resultsOf(...items: string[]): Promise<Result[]> {
  const answer = await post(await startService(), `{"items":[${items.join(",")}]}`);
  expect(answer.statusCode, answer.body).toBe(200);
  return answer.json<{ results: Result[] }>().results;
}

describe("a body that can't be used", () => {
  it.each<[string, string | Buffer, code: string, path?: string, detail?: string]>([
    ["empty", "", "json_malformed"],
    ["blank", " \n", "json_malformed"],
    ["cut off", `{"items":[${GOOD}`, "json_malformed"],
    ["followed by more", `{"items":[${GOOD}]}]`, "json_malformed"],
    ["of a trailing comma", `{"items":[${GOOD},]}`, "json_malformed"],
    ["with a bare line feed in a string", '{"items":["\n"]}', "json_malformed"],
    ["of UTF-16", Buffer.from(`{"items":[${GOOD}]}`, "utf16le"), "json_malformed"],
    ["poisoned by __proto__", `{"items":[${GOOD}],"__proto__":{"admin":true}}`, "json_malformed"],
    ["poisoned by an escaped __proto__", '{"items":[1],"\\u005f_proto__":null}', "json_malformed"],
    ["null", "null", "body_invalid", "", "expected object, received null"],
    ["a number", "-1e3", "body_invalid", "", "expected object, received number"],
    ["a string", '"items"', "body_invalid", "", "expected object, received string"],
    ["an array", `[${GOOD}]`, "body_invalid", "", "expected object, received array"],
    ["without items", "{}", "body_invalid", "items", "expected array, received undefined"],
    ["of items that are null", '{"items":null}', "body_invalid", "items", "expected array, received null"],
    ["of items that are an object", '{"items":{"0":1}}', "body_invalid", "items", "expected array, received object"],
    ["of items that are text", '{"items":"[1]"}', "body_invalid", "items", "expected array, received string"],
    ["of no items", '{"items":[]}', "body_invalid", "items", ">=1 items"],
    ["of 101 items", `{"items":[${Array(101).fill(1)}]}`, "body_invalid", "items", "<=100 items"],
    ["of very many items", `{"items":[${Array(200_000).fill(1)}]}`, "body_invalid", "items", "<=100 items"],
    ["with another field", '{"items":[1],"tier":{"a":[1]}}', "body_invalid", "", 'Unrecognized key: "tier"'],
    ["with constructor", '{"items":[1],"constructor":{"a":1}}', "body_invalid", "", '"constructor"'],
    ["whose last items are none", `{"items":[${GOOD}],"items":7}`, "body_invalid", "items", "received number"],
  ])("%s is 400, pays for one call and nothing of the quota", async (_, payload, code, path, detail) => {
    const service = await startService();
    const answer = await post(service, payload);
    expect(answer.statusCode).toBe(400);
    expect(answer.headers).toMatchObject({ "content-type": "application/problem+json", "x-request-cost": "1" });
    expect(answer.headers["ratelimit"]).toMatch(/r=999\b.*r=999999\b/);
    const { limits } = service.limiter.peek("acct:test-pro", "pro");
    expect(limits.map(({ remaining }) => remaining)).toEqual([999, 1_000_000]);
    const problem = answer.json();
    expect(problem.code).toBe(code);
    if (path !== undefined) expect(problem.errors).toEqual([{ path, detail: expect.stringContaining(detail ?? "") }]);
    expect(Object.hasOwn(Object.prototype, "admin")).toBe(false);
  });

  it("is not answered at length, however many fields are wrong", async () => {
    const fields = Array.from({ length: 25_000 }, (_, index) => `"field${index}":[]`);
    const answer = await post(await startService(), `{${fields.join(",")}}`);
    expect(answer.statusCode).toBe(400);
    expect(answer.body.length).toBeLessThan(2048);
    expect(answer.json().errors).toEqual([
      { path: "items", detail: expect.any(String) },
      { path: "", detail: expect.stringMatching(/^Unrecognized keys: "field0", "field1", .{100,}…$/) },
    ]);
  });

  it("of another charset than UTF-8 is read as UTF-8 all the same, with or without a byte order mark", async () => {
    const service = await startService();
    for (const body of [`{"items":[${GOOD}]}`, `\ufeff{"items":[${GOOD}]}`]) {
      for (const type of ["application/json", "application/json; charset=utf-8", "application/json;charset=latin1"]) {
        expect((await post(service, body, { "content-type": type })).statusCode).toBe(200);
      }
    }
  });
});

describe("the bytes of a body", () => {
  it.each<[string, Record<string, string | number>]>([
    ["said to be", { "content-length": 512 * 1024 + 1 }],
    ["found to be", { "transfer-encoding": "chunked" }],
  ])("that are %s too many are 413, which the sender can read", async (_, headers) => {
    const { app, pro } = await startService();
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const sent = request(`${url}/v1/batch`, {
      method: "POST",
      headers: { "x-api-key": pro, "content-type": "application/json", ...headers },
      agent: false,
    });
    for (let bytes = 0; bytes <= 512; bytes += 64) sent.write(" ".repeat(64 * 1024));
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(413);
    expect(await json(answer)).toMatchObject({ code: "body_too_large" });
    sent.destroy();
  });

  it.each([-1, 1])("that are not as many as they are said to be, by %i, are 400", async (more) => {
    const body = `{"items":[${GOOD}]}`;
    const answer = await post(await startService(), body, { "content-length": `${body.length + more}` });
    expect([answer.statusCode, answer.json().code]).toEqual([400, "length_contradicts"]);
  });

  it("stay a caller's own where they come from no connection", async () => {
    const bytes = Buffer.from(new TextEncoder().encode(`{"items":[${GOOD}]}`).buffer);
    expect((await post(await startService(), bytes)).statusCode).toBe(200);
    expect(bytes.toString()).toBe(`{"items":[${GOOD}]}`);
  });

  it("that nobody else reads are taken, and others copied", async () => {
    const batch = loadFingerprintText().rawBatch();
    const [start, end] = [new TextEncoder().encode('{"items":['), new TextEncoder().encode("7]}")];
    batch.take(start.buffer);
    batch.push(end);
    expect([start.length, end.length]).toEqual([0, 3]);
    expect(await batch.outline()).toBe('{"items":[null]}');
    const [{ problem }] = JSON.parse(await batch.results(1)) as [Result];
    expect(problem?.path).toBe("items[0]");
  });

  it("can be freed while they are computed with, and are gone then", async () => {
    const batch = loadFingerprintText().rawBatch();
    batch.push(Buffer.from(`{"items":[${GOOD}]}`));
    await batch.outline();
    const results = batch.results(1);
    batch.free();
    expect(JSON.parse(await results)).toMatchObject([{ id: "good", result: {} }]);
    await expect(batch.results(1)).rejects.toThrow(
      "ERR_ENGINE_FAILED: a batch was asked for items that it does not have",
    );
  });
});

describe("an item", () => {
  it("may be anything, and fails alone", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const odd = ["null", "17", '"text"', "[]", "{}", deep, '{"id":"\\ud800"}', "1e999", '{"__proto__":{"admin":true}}'];
    const results = await resultsOf(GOOD, ...odd, GOOD);
    expect(results.map(({ problem }) => problem?.path?.replace(/\..*/, ""))).toEqual([
      undefined,
      ...odd.map((_, index) => `items[${index + 1}]`),
      undefined,
    ]);
    expect(results.at(-1)).toEqual(results[0]);
    expect(Object.hasOwn(Object.prototype, "admin")).toBe(false);
  });

  it("has its text as id, of at most 256 bytes", async () => {
    const fingerprint = '"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}';
    const longest = "é".repeat(128);
    const ids = [`"${longest}"`, `"${longest}x"`, `"${"x".repeat(100_000)}"`, "7", "null", '["a"]', '"\\u0041\\n\\""'];
    const results = await resultsOf(...ids.map((id) => `{"id":${id},${fingerprint}}`), `{${fingerprint}}`);
    expect(results.map(({ id }) => id)).toEqual([longest, null, null, null, null, null, 'A\n"', null]);
    expect(results.map(({ problem }) => problem?.path)).toEqual([
      undefined,
      "items[1].id",
      "items[2].id",
      "items[3].id",
      undefined,
      "items[5].id",
      undefined,
      undefined,
    ]);
  });

  it("whose fields come twice is read by the last of each", async () => {
    const [result] = await resultsOf(
      '{"id":7,"id":"last","fingerprint":7,"fingerprint":{"tls":{"version":1,"ja3":""}}}',
    );
    expect(result).toMatchObject({ id: "last", problem: { path: "items[0].fingerprint.tls.extensions" } });
  });

  it("with a field that there is not is refused by its name", async () => {
    const [result] = await resultsOf('{"id":"a","tier":"pro","fingerprint":{}}');
    expect(result?.problem).toMatchObject({ path: "items[0]", detail: expect.stringContaining('"tier"') });
  });

  it("may write whole numbers with a fraction of zero", async () => {
    const item = (version: string) => `{"fingerprint":{"tls":{"version":${version},"ciphers":[4865],"extensions":[]}}}`;
    const [whole, fraction, power, half] = await resultsOf(item("771"), item("771.0"), item("7.71e2"), item("771.5"));
    expect(whole?.result).toBeDefined();
    expect([fraction, power]).toEqual([whole, whole]);
    expect(half?.problem?.path).toBe("items[3].fingerprint.tls.version");
  });

  it("of bytes that are no UTF-8 is read with U+FFFD in their place", async () => {
    const { rawBatch, ...text } = loadFingerprintText();
    const kept: Uint8Array[] = [];
    const service = await startService({}, () => ({
      ...text,
      rawBatch: () => {
        const raw = rawBatch();
        const push = (chunk: Uint8Array) => {
          kept.push(chunk);
          raw.push(chunk);
        };
        return { ...raw, push };
      },
    }));
    const payload = Buffer.concat([Buffer.from('{"items":[{"id":"a'), Buffer.of(0xff, 0xc3), Buffer.from('b"}]}')]);
    expect((await post(service, payload)).json().results).toMatchObject([{ id: "a\ufffd\ufffdb" }]);
    // Read so on the thread pool, which is given the bytes that came: half a megabyte of it takes milliseconds.
    expect(Buffer.concat(kept)).toEqual(payload);
  });
});

describe("a full batch", () => {
  const file = new URL("../../crates/fingerprint/data/chromium.json", import.meta.url);
  const [capture] = JSON.parse(readFileSync(file, "utf8")) as [{ client_hello: string; headers: [string, string][] }];
  const fingerprint = { tls: { client_hello: capture.client_hello }, http: { headers: capture.headers } };
  const full = JSON.stringify({ items: Array.from({ length: 100 }, (_, id) => ({ id: `${id}`, fingerprint })) });

  it("is answered as identify does, with type and length", async () => {
    const service = await startService();
    const { statusCode, headers, rawPayload } = await post(service, full);
    expect(statusCode).toBe(200);
    expect(headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(headers["content-length"]).toBe(String(rawPayload.length));
    const { results, request_id, cost, ...others } = JSON.parse(rawPayload.toString());
    expect([request_id, cost, others]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), 100, {}]);
    const result = JSON.parse(loadFingerprintText().identify(JSON.stringify(fingerprint)));
    expect(results).toEqual(Array.from({ length: 100 }, (_, id) => ({ id: `${id}`, result })));
  });

  it("and others at once each get their own answer, and the service may close meanwhile", async () => {
    const service = await startService();
    const { app, pro } = service;
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    const arrived = new Promise<void>((resolve) => {
      let calls = 0;
      app.server.on("request", () => ++calls === 6 && resolve());
    });
    const answers = Promise.all(
      Array.from({ length: 6 }, async (_, call) => {
        const body = full.replaceAll('{"id":"', `{"id":"${call}-`);
        const headers = { "x-api-key": pro, "content-type": "application/json", "content-length": body.length };
        // Of no agent, so that no connection is kept for another call and waited for.
        const sent = request(`${url}/v1/batch`, { method: "POST", headers, agent: false }).end(body);
        const [answer] = (await once(sent, "response")) as [IncomingMessage];
        return ((await json(answer)) as { results: Result[] }).results;
      }),
    );
    await arrived;
    await app.close();
    for (const [call, results] of (await answers).entries()) {
      expect(results.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_, id) => `${call}-${id}`));
      expect(results.every(({ result }) => result !== undefined)).toBe(true);
    }
  });

  it("whose sender goes away halfway has paid for one call, and harms nobody", async () => {
    const service = await startService();
    const { app, pro } = service;
    await app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = app.server.address() as { port: number };
    const socket = connect(port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.write(raw(pro, full.slice(0, full.length / 2), full.length));
    const [upload] = (await once(app.server, "request")) as [IncomingMessage];
    await once(upload, "data");
    const gone = new Promise((resolve) => upload.on("close", resolve));
    socket.destroy();
    await gone;
    const { statusCode, headers } = await app.inject(batch(1, pro));
    expect([statusCode, headers["x-ratelimit-remaining"], headers["x-quota-monthly-remaining"]]).toEqual([
      200,
      "998",
      "999998",
    ]);
  });

  it("whose sender goes away before it is answered is computed all the same, and no fault of the service", async () => {
    let goOn: () => void = () => undefined;
    const { load, events } = watched(new Promise<void>((resolve) => (goOn = resolve)));
    const { app, pro, log } = await startService({}, load);
    await app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = app.server.address() as { port: number };
    const [outlined, connected] = [once(events, "outlined 1"), once(app.server, "connection")];
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    socket.write(raw(pro, `{"items":[${GOOD}]}`));
    const [connection] = await connected;
    await outlined;
    const [gone, freed, results] = [once(connection, "close"), once(events, "freed 1"), once(events, "results of 1")];
    socket.destroy();
    await gone;
    goOn();
    expect(await (await results)[0]).toContain('"id":"good"');
    await freed;
    expect(log.filter((line) => JSON.parse(line).level >= 40)).toEqual([]);
  });

  it("that is cut off is freed", async () => {
    const { load, events } = watched(Promise.resolve());
    const { app, pro } = await startService({}, load);
    await app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = app.server.address() as { port: number };
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    const called = once(app.server, "request");
    socket.write(raw(pro, full.slice(0, full.length / 2), full.length));
    const [call] = (await called) as [IncomingMessage];
    await once(call, "data");
    const freed = once(events, "freed 1");
    socket.destroy();
    await freed;
  });
});
