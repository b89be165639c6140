import { describe, expect, it } from "vitest";
import { identify, startService } from "./service.js";

const FIELDS = {
  none: {},
  "Origin alone": { origin: "https://app.example" },
  "Access-Control-Request-Method alone": { "access-control-request-method": "POST" },
  both: { origin: "https://app.example", "access-control-request-method": "POST" },
  "both, of another origin": { origin: "https://evil.example", "access-control-request-method": "POST" },
};
const BODIES = {
  none: {},
  "of length 0": { headers: { "content-length": "0" } },
  JSON: { headers: { "content-type": "application/json" }, payload: "{}" },
  "malformed JSON": { headers: { "content-type": "application/json" }, payload: "{" },
  "JSON in pieces": { headers: { "content-type": "application/json", "transfer-encoding": "chunked" }, payload: "{}" },
};
const PATHS = ["/v1/identify", "/batch", "/v1/quota", "/health", "/api/v1/keys/1", "/nowhere", "/%zz", "*"];

const CALLS = PATHS.flatMap((url) =>
  Object.entries(BODIES).flatMap(([body, call]) =>
    Object.entries(FIELDS).map(([fields, headers]) => ({ url, body, fields, call: { url, ...call }, headers })),
  ),
);

describe.each([
  ["without CORS", ""],
  ["with CORS for all", "*"],
  ["with CORS for one origin", "https://app.example"],
])("OPTIONS %s", (_what, origins) => {
  it("is a call like any other, unless it is a preflight that is answered", async () => {
    const { app, clock } = await startService({ RATE_LIMIT_CORS_ORIGINS: origins });
    const left = async () => Number((await app.inject(identify())).headers["x-ratelimit-remaining"]);
    const wrong: string[] = [];
    for (const { url, body, fields, call, headers } of CALLS) {
      clock.nowMs += 3_600_000;
      const before = await left();
      const own = "headers" in call ? call.headers : {};
      const remoteAddress = "198.51.100.7";
      const { statusCode } = await app.inject({
        method: "OPTIONS",
        remoteAddress,
        ...call,
        headers: { ...own, ...headers },
      });
      const spent = before - 1 - (await left());
      const isFree = fields.startsWith("both") && (body === "none" || body === "of length 0") && origins !== "";
      const isRight = isFree ? spent === 0 && statusCode === 204 : spent === 1 && [400, 404, 405].includes(statusCode);
      if (!isRight) wrong.push(`${url}, body ${body}, fields ${fields}: ${statusCode}, spent ${spent}`);
    }
    expect(wrong).toEqual([]);
  });

  it("has no body read for callers who have nothing left, or are refused", async () => {
    const { app } = await startService({ RATE_LIMIT_CORS_ORIGINS: origins });
    for (let call = 0; call < 31; call++) await app.inject(identify());
    for (const url of PATHS) {
      const call = { method: "OPTIONS", url, remoteAddress: "198.51.100.7", ...BODIES["malformed JSON"] } as const;
      for (const headers of Object.values(FIELDS)) {
        const answer = await app.inject({ ...call, headers: { ...call.headers, ...headers } });
        expect([url, answer.statusCode]).toEqual([url, 429]);
      }
    }
    const strict = await startService({ RATE_LIMIT_CORS_ORIGINS: origins, RATE_LIMIT_REQUIRE_AUTHENTICATION: "true" });
    const refused = await strict.app.inject({ method: "OPTIONS", url: "/v1/identify", ...BODIES["malformed JSON"] });
    expect(refused.statusCode).toBe(401);
  });
});
