import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type BatchItem, FingerprintError, loadFingerprint, type Signals } from "../../../src/fingerprint/index.js";
import { loadText } from "../../../src/fingerprint/text.js";

const { identify, compare, batch } = loadFingerprint();
const data = new URL("../../../crates/fingerprint/data/curl.json", import.meta.url);
const [curl] = JSON.parse(readFileSync(data, "utf8")) as [{ client_hello: string; akamai_h2: string }];
const http2 = { akamai: curl.akamai_h2 };

describe("a ClientHello", () => {
  it("may be bytes or base64, and comes to the same", () => {
    const bytes = Buffer.from(curl.client_hello, "base64");
    const text = identify({ tls: { client_hello: curl.client_hello } });
    const within = new Uint8Array([...new Uint8Array(3), ...bytes]).subarray(3);
    for (const client_hello of [bytes, new Uint8Array(bytes), within]) {
      expect(identify({ tls: { client_hello } })).toEqual(text);
      expect(compare({ tls: { client_hello } }, { tls: { client_hello: curl.client_hello } }).similarity).toBe(1);
    }
    expect(text.candidates.map(({ client }) => client)).toContain("curl");
  });
});

/** Signals as callers in plain JavaScript may make them. */
function nested(depth: number): Signals {
  let signals: object = {};
  for (let level = 0; level < depth; level++) signals = { tls: signals };
  return signals;
}

function circular(): Signals {
  const signals: { tls?: object } = {};
  signals.tls = signals;
  return signals;
}

function bigint(): Signals {
  return { tls: { version: 771n } } as unknown as Signals;
}

describe("refused signals", () => {
  it.each<[string, () => unknown, string, string]>([
    ["no signal", () => identify({}), "ERR_NO_SIGNAL", ""],
    [
      "bad bytes",
      () => identify({ tls: { client_hello: Uint8Array.of(1, 2) } }),
      "ERR_CLIENT_HELLO_TRUNCATED",
      "tls.client_hello",
    ],
    ["a bad side", () => compare({ http2 }, { tls: { ja4: "x" } }), "ERR_SIGNAL_INVALID", "b.tls.ja4"],
    ["nothing in common", () => compare({ http2 }, { tls: { ja3: "0".repeat(32) } }), "ERR_NOT_COMPARABLE", ""],
    ["nothing at all", () => identify(undefined as unknown as Signals), "ERR_SIGNAL_INVALID", ""],
    ["signals nested beyond the stack", () => identify(nested(100_000)), "ERR_INPUT_NOT_JSON", ""],
    ["signals that hold themselves", () => identify(circular()), "ERR_INPUT_NOT_JSON", ""],
    ["a number that JSON has not", () => compare({ http2 }, bigint()), "ERR_INPUT_NOT_JSON", ""],
  ])("%s", (_, use, code, path) => {
    expect(use).toThrow(expect.objectContaining({ name: "FingerprintError", code, path }));
    expect(use).toThrow(FingerprintError);
  });
});

describe("a batch", () => {
  it("answers each item in its place, however many there are", async () => {
    const items: BatchItem[] = Array.from({ length: 100 }, (_, index) => ({
      id: `item ${index}`,
      fingerprint: index % 10 === 7 ? { tls: { ja4: "x" } } : { http2 },
    }));
    const answers = await batch(items);
    expect(answers.map(({ id }) => id)).toEqual(items.map(({ id }) => id));
    const alone = identify({ http2 });
    for (const [index, { result, problem }] of answers.entries()) {
      if (index % 10 === 7) expect(problem?.path).toBe(`items[${index}].fingerprint.tls.ja4`);
      else expect(result).toEqual(alone);
    }
  });

  it("takes bytes, and refuses what is no item, alone", async () => {
    const client_hello = Buffer.from(curl.client_hello, "base64");
    const odd = [undefined, 17, null, "é"] as unknown as BatchItem[];
    const answers = await batch([...odd, { fingerprint: { tls: { client_hello } } }]);
    expect(answers.slice(0, 4).map(({ problem }) => problem?.code)).toEqual(Array(4).fill("ERR_SIGNAL_INVALID"));
    expect(answers[4]?.result).toEqual(identify({ tls: { client_hello } }));
  });

  it("refuses alone what can't be written as JSON", async () => {
    const answers = await batch(
      [nested(100_000), circular(), bigint(), { http2 }].map((fingerprint) => ({ fingerprint })),
    );
    const codes = answers.map(({ problem }) => problem?.code);
    expect(codes).toEqual([...Array(3).fill("ERR_INPUT_NOT_JSON"), undefined]);
    expect(answers[2]?.problem?.path).toBe("items[2]");
  });

  it.each([[undefined], [null], [{}], ["text"]])("that is %j is refused", async (items) => {
    await expect(batch(items as unknown as BatchItem[])).rejects.toMatchObject({
      name: "FingerprintError",
      code: "ERR_SIGNAL_INVALID",
      path: "items",
    });
  });

  it("of text is held to the size that one job may have", async () => {
    const { batch } = loadText();
    await expect(batch(Array(101).fill("{}"), 0)).rejects.toMatchObject({
      name: "FingerprintError",
      code: "ERR_INPUT_TOO_LARGE",
      path: "items",
    });
  });

  it("of nothing is nothing", async () => {
    expect(await batch([])).toEqual([]);
  });
});
