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
    expect(tls.properties.ciphers).toMatchObject({
      type: "array",
      maxItems: 256,
      items: { type: "integer", maximum: 65_535 },
    });
    expect(responses["429"].content["application/problem+json"].schema).toEqual({
      $ref: "#/components/schemas/Problem",
    });
    expect(security).toEqual([{ bearer: ["fingerprint"] }, { apiKey: ["fingerprint"] }, {}]);
    expect(document.components.schemas.LimitState.properties.remaining.type).toEqual(["number", "null"]);
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
