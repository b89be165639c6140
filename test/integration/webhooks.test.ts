import { Webhook as Verifier } from "standardwebhooks";
import { expect, it } from "vitest";
import { HookServer } from "../unit/service/webhooks/hook-server.js";
import { startService } from "./service.js";

const ALLOWED = { RATE_LIMIT_WEBHOOK_NETWORKS: "127.0.0.0/8" };
const EVENTS = ["usage.threshold", "quota.exhausted"];

/** A service and an administrator of it. */
async function start(environment: Record<string, string> = ALLOWED) {
  const service = await startService(environment);
  const call = async (method: "GET" | "POST" | "PATCH" | "DELETE", path: string, body?: object) => {
    const headers = { authorization: `Bearer ${service.admin}` };
    const answer = await service.app.inject({ method, url: `/api/v1${path}`, headers, ...(body && { body }) });
    return { status: answer.statusCode, body: answer.json() };
  };
  return { ...service, call };
}

it("has webhooks made, changed, tested, rotated and deleted", async () => {
  const hooks = await HookServer.start();
  const { call, log } = await start();
  const { status, body: made } = await call("POST", "/webhooks", { url: hooks.url, events: EVENTS });
  expect(status).toBe(201);
  const { secret, ...shown } = made;
  expect((await call("GET", "/webhooks")).body).toEqual({ items: [shown] });

  expect((await call("POST", `/webhooks/${made.id}/test`)).body).toEqual({ delivered: true, outcome: "200" });
  const [heard] = hooks.heard;
  const told = new Verifier(secret).verify(heard?.body ?? "", heard?.headers as never);
  expect(told).toMatchObject({ type: "webhook.test", data: { webhook: made.id } });

  const rotated = await call("POST", `/webhooks/${made.id}/rotate`, { overlap_hours: 0 });
  expect(rotated.body).toMatchObject({ id: made.id, previous_secret_until: null });
  expect(rotated.body.secret).not.toBe(secret);
  expect((await call("PATCH", `/webhooks/${made.id}`, { enabled: false })).body.enabled).toBe(false);
  expect((await call("DELETE", `/webhooks/${made.id}`)).status).toBe(200);
  expect((await call("GET", "/webhooks")).body).toEqual({ items: [] });

  const audited = log.join("");
  for (const action of ["create", "test", "rotate", "change", "delete"])
    expect(audited).toContain(`"webhooks.${action}"`);
  for (const one of [secret, rotated.body.secret]) expect(audited).not.toContain(one);
});

it.each<
  [
    what: string,
    method: "POST" | "PATCH" | "DELETE",
    path: string,
    body: object | undefined,
    status: number,
    code: string,
  ]
>([
  [
    "an address of one's own network",
    "POST",
    "/webhooks",
    { url: "https://10.0.0.1/", events: EVENTS },
    422,
    "webhook_invalid",
  ],
  [
    "an address without TLS",
    "POST",
    "/webhooks",
    { url: "http://example.com/", events: EVENTS },
    422,
    "webhook_invalid",
  ],
  ["no event", "POST", "/webhooks", { url: "https://example.com/", events: [] }, 400, "body_invalid"],
  [
    "an event that there is not",
    "POST",
    "/webhooks",
    { url: "https://example.com/", events: ["x"] },
    400,
    "body_invalid",
  ],
  [
    "a member that there is not",
    "POST",
    "/webhooks",
    { url: "https://a.com/", events: EVENTS, secret: "x" },
    400,
    "body_invalid",
  ],
  ["one that there is not", "PATCH", "/webhooks/0123456789abcdef", { enabled: true }, 404, "webhook_unknown"],
  ["one that there is not", "DELETE", "/webhooks/0123456789abcdef", undefined, 404, "webhook_unknown"],
  ["one that there is not", "POST", "/webhooks/0123456789abcdef/test", undefined, 404, "webhook_unknown"],
  ["an overlap of years", "POST", "/webhooks/0123456789abcdef/rotate", { overlap_hours: 9000 }, 400, "body_invalid"],
  ["no id", "POST", "/webhooks/x/test", undefined, 400, "parameter_invalid"],
  [
    "no delivery",
    "POST",
    `/webhook-deliveries/evt_${"0".repeat(32)}.0123456789abcdef/redeliver`,
    undefined,
    404,
    "delivery_unknown",
  ],
])("refuses %s: %s %s", async (_, method, path, body, status, code) => {
  const { call } = await start();
  const answer = await call(method, path, body);
  expect([answer.status, answer.body.code]).toEqual([status, code]);
});

it("has at most 20 webhooks", async () => {
  const { call } = await start();
  const make = () => call("POST", "/webhooks", { url: "https://example.com/", events: EVENTS });
  for (let index = 0; index < 20; index++) expect((await make()).status).toBe(201);
  const { status, body } = await make();
  expect([status, body.code]).toEqual([409, "webhook_limit_reached"]);
});

it("is for administrators only", async () => {
  const { app, reader, free } = await start();
  for (const [key, status] of [
    [reader, 403],
    [free, 403],
    ["", 401],
  ] as const) {
    const headers = key === "" ? {} : { authorization: `Bearer ${key}` };
    expect((await app.inject({ url: "/api/v1/webhooks", headers })).statusCode).toBe(status);
  }
});
