import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { startService } from "./service.js";

const run = promisify(execFile);

async function documented() {
  const { app } = await startService();
  return { app, document: (await app.inject("/openapi.json")).json() };
}

describe("/openapi.json", () => {
  it("is good OpenAPI 3.1 to Redocly's linter, without an error or a warning", async () => {
    const { document } = await documented();
    expect(document.openapi).toBe("3.1.0");
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-openapi-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "openapi.json");
    writeFileSync(file, JSON.stringify(document));
    const lint = run("node_modules/.bin/redocly", ["lint", "--format=json", file], {
      env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" },
    }).catch((error: { stdout: string }) => error);
    const { problems } = JSON.parse((await lint).stdout) as { problems: { ruleId: string; message: string }[] };
    expect(problems).toEqual([]);
  });

  it("describes what is sent as it is checked, and what goes wrong as a problem document", async () => {
    const { document } = await documented();
    const { requestBody, responses, security } = document.paths["/v1/identify"].post;
    const { tls } = requestBody.content["application/json"].schema.properties.fingerprint.properties;
    const numbers = { type: "array", maxItems: 256, items: { type: "integer", maximum: 65_535 } };
    expect(tls.anyOf[0].properties.ciphers.anyOf).toMatchObject([numbers, { type: "null" }]);
    expect(responses["429"].content["application/problem+json"].schema).toEqual({
      $ref: "#/components/schemas/Problem",
    });
    expect(security).toEqual([{ bearer: ["fingerprint"] }, { apiKey: ["fingerprint"] }, {}]);
    expect(document.components.schemas.LimitState.properties.remaining.type).toEqual(["number", "null"]);
  });

  it("describes an item of a batch by what identify takes, though each is checked alone", async () => {
    const { document } = await documented();
    const bodyOf = (path: string) =>
      document.paths[path].post.requestBody.content["application/json"].schema.properties;
    const { items, maxItems } = bodyOf("/v1/batch").items;
    expect(maxItems).toBe(100);
    expect(items).toMatchObject({ type: "object", required: ["fingerprint"], additionalProperties: false });
    expect(items.properties.fingerprint).toEqual(bodyOf("/v1/identify").fingerprint);
    expect(items.properties.id.anyOf).toMatchObject([{ type: "string", maxLength: 256 }, { type: "null" }]);
  });

  it("describes each field of an identification and of a comparison", async () => {
    const { app, document } = await documented();
    const { Identification, Comparison } = document.components.schemas;
    const signals = { http2: { akamai: "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p" } };
    const answer = async (url: string, payload: object) => (await app.inject({ method: "POST", url, payload })).json();
    const identified = await answer("/v1/identify", { fingerprint: signals });
    const compared = await answer("/v1/compare", { a: signals, b: signals });
    const fields = (value: object) => Object.keys(value).sort();
    expect(fields(Identification.properties)).toEqual(fields(identified));
    expect(fields(Identification.properties.computed.properties)).toEqual(fields(identified.computed));
    expect(fields(Identification.properties.candidates.items.properties)).toEqual(fields(identified.candidates[0]));
    expect(fields(Comparison.properties)).toEqual(fields(compared));
    expect(fields(Comparison.properties.components.properties)).toEqual(fields(compared.components));
  });
});

describe("what is managed", () => {
  it("is described field by field as it is answered: accounts, keys, and what is left of one that is deleted", async () => {
    const { app, admin } = await startService();
    const { schemas } = (await app.inject("/openapi.json")).json().components;
    const ask = async (method: "GET" | "POST" | "DELETE", url: string, payload?: object) => {
      const body = payload === undefined ? {} : { payload };
      const answer = await app.inject({ method, url, headers: { "x-api-key": admin }, ...body });
      expect(answer.statusCode, answer.body).toBeLessThan(300);
      return answer.json();
    };
    const fields = (value: object) => Object.keys(value).sort();
    const account = await ask("POST", "/api/v1/accounts", { account: "acme", plan: "free" });
    expect(fields(schemas.Account.properties)).toEqual(fields(account));
    expect(schemas.Account.required.sort()).toEqual(fields(account));
    const made = await ask("POST", "/api/v1/keys", { account: "acme" });
    expect(fields(schemas.NewKey.properties)).toEqual(fields(made));
    const { items } = await ask("GET", "/api/v1/keys?account=acme");
    expect(fields(schemas.Key.properties)).toEqual(fields(items[0]));
    const deleted = await ask("DELETE", "/api/v1/accounts/acme?force=true");
    expect(fields(schemas.DeletedAccount.properties)).toEqual(fields(deleted));
  });
});

describe("/docs", () => {
  it("has every operation, and loads and runs nothing", async () => {
    const { app, document } = await documented();
    const { headers, body } = await app.inject("/docs");
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "strict-transport-security": expect.stringContaining("max-age="),
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
    });
    expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; /);
    expect(body).not.toMatch(/<script|<link|<img|style="|https?:\/\/(?!iana)/);
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const method of Object.keys(operations as object)) {
        expect(body).toContain(`<code>${method.toUpperCase()} ${path}</code>`);
      }
    }
  });
});
