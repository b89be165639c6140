import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Gateway, startGateway } from "../../scripts/operations/gateway.mjs";
import { type AppProcess, startApp } from "../gateway/app.js";
import { call, expectSameAccounts, fileOfCallers, SETTINGS } from "../gateway/hops.js";

let app: AppProcess;
let gateway: Gateway;

beforeAll(async () => {
  app = await startApp(SETTINGS);
  gateway = await startGateway(fileOfCallers(), [app.url]);
});
afterAll(async () => {
  await gateway.stop();
  await app.stop();
});

describe("through the stand-in with Kong's stripping", () => {
  test("no listed header changes account or tier", () => expectSameAccounts(gateway.url, app.url), 180_000);

  test("a refusal is a problem, which a page of the listed origin may read", async () => {
    const origin = "https://app.example.com";
    const { status, headers, body } = await call(gateway.url, undefined, ["X-Consumer-Groups"], { origin });
    expect(status).toBe(400);
    expect(headers["content-type"]).toBe("application/problem+json");
    expect(headers["access-control-allow-origin"]).toBe(origin);
    expect(JSON.parse(body)).toMatchObject({ title: "Bad Request", status: 400, code: "connection_option_refused" });
  });

  test("a call with more fields than Kong lists is refused", async () => {
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`a-${index}`, "1"]));
    const { status, body } = await call(gateway.url, undefined, [], many);
    expect([status, JSON.parse(body).code]).toEqual([431, "header_too_large"]);
  });
});
