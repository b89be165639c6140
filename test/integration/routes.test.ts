import type { LightMyRequestResponse } from "fastify";
import { describe, expect, it } from "vitest";
import { identify, startService, type TestService } from "./service.js";

const SIGNALS = { http: { headers: [["user-agent", "curl/8.5.0"]] } };
const MANAGED = "/api/v1/rate-limit";
const NO_HOOK = "0123456789abcdef";
const UNKNOWN_KEY = "fpk_test_0000000000000000000000000000000000000000000_000000";

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
type Call = [method: Method, url: string, payload?: object | string | undefined];

interface Route {
  good: Call;
  status: number;
  bad: [call: Call, status: number, code: string][];
  /** What a key must be good for; undefined where one of no scope in particular, or none, will do. */
  scope: "fingerprint" | "quota:read" | "usage:read" | "billing" | "admin" | undefined;
  /** Whether a call without a key is let in. */
  keyless: boolean;
}

const open = { scope: undefined, keyless: true, bad: [] };
const computed = { scope: "fingerprint", keyless: true, status: 200 } as const;
const readable = { scope: "quota:read", keyless: false, status: 200 } as const;
const administered = { scope: "admin", keyless: false, status: 200 } as const;

/** The table of routes, as docs/http.md has it. */
const ROUTES: Route[] = [
  ...["/v1", ""].flatMap((prefix): Route[] => [
    {
      ...computed,
      good: ["POST", `${prefix}/identify`, { fingerprint: SIGNALS }],
      bad: [
        [["POST", `${prefix}/identify`, { fingerprint: 17 }], 400, "body_invalid"],
        [["POST", `${prefix}/identify`, "{"], 400, "json_malformed"],
        [["POST", `${prefix}/identify`, { fingerprint: { tls: { ja3: "x".repeat(17_000) } } }], 413, "body_too_large"],
        [["GET", `${prefix}/identify`], 405, "method_not_allowed"],
      ],
    },
    {
      ...computed,
      good: ["POST", `${prefix}/compare`, { a: SIGNALS, b: SIGNALS }],
      bad: [[["POST", `${prefix}/compare`, { a: SIGNALS }], 400, "body_invalid"]],
    },
    {
      ...computed,
      good: ["POST", `${prefix}/batch`, { items: [{ id: "1", fingerprint: SIGNALS }] }],
      bad: [
        [["POST", `${prefix}/batch`, { items: [] }], 400, "body_invalid"],
        [["POST", `${prefix}/batch`, { items: Array(101).fill({}) }], 400, "body_invalid"],
      ],
    },
  ]),
  { ...open, status: 200, good: ["GET", "/v1/quota"] },
  {
    ...open,
    keyless: false,
    status: 200,
    good: ["GET", "/v1/usage?from=2026-11-01&to=2026-12-01&by=month&group=meter,plan"],
    bad: [
      [["GET", "/v1/usage?group=account"], 400, "parameter_invalid"],
      [["GET", "/v1/usage?by=day&anchorDay=31"], 422, "report_invalid"],
    ],
  },
  ...["usage", "accounts/test-free/usage"].map(
    (name): Route => ({
      ...readable,
      scope: "usage:read",
      good: ["GET", `/api/v1/${name}?from=2026-11-01&to=2026-12-01&by=month&anchorDay=31`],
      bad: [
        [["GET", `/api/v1/${name}?by=week`], 400, "parameter_invalid"],
        [["GET", `/api/v1/${name}?group=tier`], 400, "parameter_invalid"],
        [["GET", `/api/v1/${name}?from=2026-11-01T00:30Z`], 422, "report_invalid"],
        [["GET", `/api/v1/${name}?from=2026-11-01&to=2026-11-01`], 422, "report_invalid"],
        [["GET", `/api/v1/${name}?after=nonsense`], 422, "report_invalid"],
      ],
    }),
  ),
  {
    ...readable,
    scope: "usage:read",
    good: ["GET", "/api/v1/usage/top?meter=compare&by=calls&size=3"],
    bad: [
      [["GET", "/api/v1/usage/top?size=0"], 400, "parameter_invalid"],
      [["GET", "/api/v1/usage/top?meter=search"], 422, "report_invalid"],
    ],
  },
  { ...open, status: 200, good: ["GET", "/health"] },
  { ...open, status: 200, good: ["GET", "/ready"] },
  { ...open, status: 200, good: ["GET", "/metrics"] },
  { ...open, status: 200, good: ["GET", "/openapi.json"] },
  { ...open, status: 200, good: ["GET", "/docs"] },
  ...["status", "health", "metrics", "metrics/json"].map(
    (name): Route => ({ ...readable, good: ["GET", `${MANAGED}/${name}`], bad: [] }),
  ),
  ...["tiers", "endpoints"].map(
    (name): Route => ({
      ...readable,
      good: ["GET", `${MANAGED}/${name}?limit=3`],
      bad: [
        [["GET", `${MANAGED}/${name}?limit=0`], 400, "parameter_invalid"],
        [["GET", `${MANAGED}/${name}?limit=many`], 400, "parameter_invalid"],
      ],
    }),
  ),
  {
    ...readable,
    good: ["GET", `${MANAGED}/quota/test-free`],
    bad: [
      [["GET", `${MANAGED}/quota/nobody`], 404, "account_unknown"],
      [["GET", `${MANAGED}/quota/ip:300.0.0.1`], 404, "subject_unknown"],
      [["GET", `${MANAGED}/quota/nobody?tier=gold`], 422, "tier_unknown"],
    ],
  },
  {
    ...readable,
    good: ["POST", `${MANAGED}/check`, { subject: "acct:test-free", cost: 2.5 }],
    bad: [
      [["POST", `${MANAGED}/check`, { subject: "test-free", cost: -1 }], 400, "body_invalid"],
      [["POST", `${MANAGED}/check`, { subject: "test-free", cost: 0.0001 }], 422, "cost_invalid"],
      [["POST", `${MANAGED}/check`, { subject: "test-free", cost: 151 }], 422, "cost_exceeds_capacity"],
      [["POST", `${MANAGED}/check`, { subject: "nobody" }], 404, "account_unknown"],
    ],
  },
  {
    ...administered,
    good: ["POST", `${MANAGED}/quota/ip:203.0.113.7/reset`],
    bad: [[["POST", `${MANAGED}/quota/${encodeURIComponent("a b")}/reset`], 404, "subject_unknown"]],
  },
  {
    ...administered,
    good: ["POST", `${MANAGED}/quota/test-free/grant`, { tokens: 2.5, limit: "month", keep: true }],
    bad: [
      [["POST", `${MANAGED}/quota/test-free/grant`, { tokens: 0 }], 400, "body_invalid"],
      [["POST", `${MANAGED}/quota/test-free/grant`, { tokens: 1, keep: 1 }], 400, "body_invalid"],
      [["POST", `${MANAGED}/quota/test-free/grant`, { tokens: 0.0001 }], 422, "grant_invalid"],
      [["POST", `${MANAGED}/quota/test-free/grant`, { tokens: 1, limit: "minute" }], 422, "grant_invalid"],
      [["POST", `${MANAGED}/quota/ip:203.0.113.7/grant`, { tokens: 1 }], 422, "grant_invalid"],
      [["POST", `${MANAGED}/quota/nobody/grant`, { tokens: 1 }], 404, "account_unknown"],
      [["POST", `${MANAGED}/quota/nobody/grant`, { tokens: 1, tier: "gold" }], 422, "tier_unknown"],
    ],
  },
  {
    ...administered,
    good: ["PUT", `${MANAGED}/quota/somebody-new/tier`, { tier: "pro" }],
    bad: [
      [["PUT", `${MANAGED}/quota/test-free/tier`, { tier: "gold" }], 422, "tier_unknown"],
      [["PUT", `${MANAGED}/quota/test-free/tier`, { tier: 7 }], 400, "body_invalid"],
      [["PUT", `${MANAGED}/quota/ip:203.0.113.7/tier`, { tier: "pro" }], 422, "subject_is_address"],
    ],
  },
  {
    ...administered,
    good: [
      "PUT",
      `${MANAGED}/quota/test-free/overrides`,
      { limits: { minute: { limit: 500, burst: 2 }, month: null } },
    ],
    bad: [
      [["PUT", `${MANAGED}/quota/nobody/overrides`, { limits: {} }], 404, "account_unknown"],
      [["PUT", `${MANAGED}/quota/test-free/overrides`, { limits: { hour: { limit: 5 } } }], 422, "overrides_invalid"],
      [["PUT", `${MANAGED}/quota/test-free/overrides`, { limits: { month: { burst: 2 } } }], 422, "overrides_invalid"],
      [
        ["PUT", `${MANAGED}/quota/test-free/overrides`, { limits: { minute: { limit: 0.0001 } } }],
        422,
        "overrides_invalid",
      ],
      [["PUT", `${MANAGED}/quota/test-free/overrides`, { limits: { minute: { limit: -1 } } }], 400, "body_invalid"],
    ],
  },
  {
    ...administered,
    good: ["GET", "/api/v1/keys?account=test-free&limit=1"],
    bad: [[["GET", "/api/v1/keys?limit=101"], 400, "parameter_invalid"]],
  },
  {
    ...administered,
    status: 201,
    good: [
      "POST",
      "/api/v1/keys",
      { account: "another", tier: "free", name: "CI", expires: "2199-01-01T00:00:00+02:00" },
    ],
    bad: [
      [["POST", "/api/v1/keys", { account: "nobody" }], 404, "account_unknown"],
      [["POST", "/api/v1/keys", { account: "nobody", tier: "gold" }], 422, "tier_unknown"],
      [["POST", "/api/v1/keys", { account: "test-free", tier: "pro" }], 409, "tier_contradicts"],
      [["POST", "/api/v1/keys", { account: "ops" }], 409, "key_limit_reached"],
      [["POST", "/api/v1/keys", { account: "test-free", scopes: ["all"] }], 400, "body_invalid"],
      [["POST", "/api/v1/keys", { account: "a b" }], 400, "body_invalid"],
      [["POST", "/api/v1/keys", { account: "test-free", name: "a\nb" }], 400, "body_invalid"],
      [["POST", "/api/v1/keys", { account: "test-free", expires: "2027-01-01" }], 400, "body_invalid"],
      [["POST", "/api/v1/keys", { account: "test-free", expires: "2020-01-01T00:00:00Z" }], 422, "expiry_invalid"],
    ],
  },
  {
    ...administered,
    good: ["DELETE", "/api/v1/keys/ID"],
    bad: [
      [["DELETE", "/api/v1/keys/0000000000000000"], 404, "key_unknown"],
      [["DELETE", "/api/v1/keys/short"], 400, "parameter_invalid"],
    ],
  },
  {
    ...administered,
    good: ["GET", "/api/v1/accounts?search=test&plan=free&state=active&limit=1"],
    bad: [[["GET", "/api/v1/accounts?state=gone"], 400, "parameter_invalid"]],
  },
  {
    ...administered,
    status: 201,
    good: ["POST", "/api/v1/accounts", { account: "another", plan: "free", externalId: "e1" }],
    bad: [
      [["POST", "/api/v1/accounts", { account: "test-free", plan: "free" }], 409, "account_exists"],
      [["POST", "/api/v1/accounts", { account: "another", plan: "gold" }], 422, "tier_unknown"],
      [["POST", "/api/v1/accounts", { account: "another" }], 400, "body_invalid"],
    ],
  },
  {
    ...administered,
    good: ["GET", "/api/v1/accounts/test-free"],
    bad: [
      [["GET", "/api/v1/accounts/nobody"], 404, "account_unknown"],
      [["GET", "/api/v1/accounts/a%20b"], 400, "parameter_invalid"],
      [["POST", "/api/v1/accounts/test-free"], 405, "method_not_allowed"],
    ],
  },
  {
    ...administered,
    good: ["PATCH", "/api/v1/accounts/test-free", { displayName: "Test", anchorDay: 31 }],
    bad: [
      [["PATCH", "/api/v1/accounts/nobody", {}], 404, "account_unknown"],
      [["PATCH", "/api/v1/accounts/test-free", { anchorDay: 32 }], 400, "body_invalid"],
      [["PATCH", "/api/v1/accounts/test-free", { plan: "gold" }], 422, "tier_unknown"],
      [
        ["PATCH", "/api/v1/accounts/test-free", { then: { plan: "pro", at: "2020-01-01T00:00:00Z" } }],
        422,
        "account_invalid",
      ],
    ],
  },
  ...["suspend", "resume", "archive"].map(
    (action): Route => ({
      ...administered,
      good: ["POST", `/api/v1/accounts/test-free/${action}`],
      bad: [
        [["POST", `/api/v1/accounts/nobody/${action}`], 404, "account_unknown"],
        ...(action === "resume"
          ? []
          : ([[["POST", `/api/v1/accounts/ops/${action}`], 409, "account_in_use"]] as Route["bad"])),
      ],
    }),
  ),
  {
    ...administered,
    good: ["DELETE", "/api/v1/accounts/test-free?force=true"],
    bad: [
      [["DELETE", "/api/v1/accounts/nobody"], 404, "account_unknown"],
      [["DELETE", "/api/v1/accounts/test-free"], 409, "account_state_contradicts"],
      [["DELETE", "/api/v1/accounts/test-free?force=yes"], 400, "parameter_invalid"],
    ],
  },
  {
    ...administered,
    scope: "billing",
    good: ["GET", "/api/v1/accounts/test-free/preview?at=2026-11-10"],
    bad: [
      [["GET", "/api/v1/accounts/nobody/preview"], 404, "account_unknown"],
      [["GET", "/api/v1/accounts/test-free/preview?at=never"], 422, "report_invalid"],
    ],
  },
  { ...administered, good: ["GET", "/api/v1/webhooks"], bad: [] },
  {
    ...administered,
    status: 201,
    good: ["POST", "/api/v1/webhooks", { url: "https://example.com/hooks", events: ["usage.threshold"] }],
    bad: [
      [["POST", "/api/v1/webhooks", { url: "https://example.com/", events: [] }], 400, "body_invalid"],
      [["POST", "/api/v1/webhooks", { url: "https://10.0.0.1/", events: ["usage.threshold"] }], 422, "webhook_invalid"],
    ],
  },
  ...(["PATCH", "DELETE"] as const).map(
    (method): Route => ({
      ...administered,
      good: [method, "/api/v1/webhooks/HOOK", method === "PATCH" ? { description: "of the shop" } : undefined],
      bad: [
        [
          [method, `/api/v1/webhooks/${NO_HOOK}`, method === "PATCH" ? { enabled: true } : undefined],
          404,
          "webhook_unknown",
        ],
        [
          [method, "/api/v1/webhooks/short", method === "PATCH" ? { enabled: true } : undefined],
          400,
          "parameter_invalid",
        ],
      ],
    }),
  ),
  {
    ...administered,
    good: ["POST", "/api/v1/webhooks/HOOK/rotate", { overlap_hours: 1 }],
    bad: [
      [["POST", `/api/v1/webhooks/${NO_HOOK}/rotate`, {}], 404, "webhook_unknown"],
      [["POST", `/api/v1/webhooks/${NO_HOOK}/rotate`, { overlap_hours: 721 }], 400, "body_invalid"],
    ],
  },
  {
    ...administered,
    good: ["POST", "/api/v1/webhooks/HOOK/test"],
    bad: [[["POST", `/api/v1/webhooks/${NO_HOOK}/test`], 404, "webhook_unknown"]],
  },
  {
    ...administered,
    good: ["GET", "/api/v1/webhook-deliveries?state=dead&limit=1"],
    bad: [[["GET", "/api/v1/webhook-deliveries?state=lost"], 400, "parameter_invalid"]],
  },
  {
    ...administered,
    good: ["POST", "/api/v1/webhook-deliveries/DELIVERY/redeliver"],
    bad: [
      [["POST", `/api/v1/webhook-deliveries/evt_${"0".repeat(32)}.${NO_HOOK}/redeliver`], 404, "delivery_unknown"],
      [["POST", "/api/v1/webhook-deliveries/short/redeliver"], 400, "parameter_invalid"],
    ],
  },
];

/** A webhook, and a delivery to it that was given up. */
async function webhookOf(service: TestService): Promise<{ hook: string; delivery: string }> {
  const body = { url: "https://example.com/hooks", events: ["usage.threshold"] };
  const { id: hook } = (await send(service, ["POST", "/api/v1/webhooks", body], service.admin)).json();
  const delivery = `evt_${"1".repeat(32)}.${hook}`;
  const dead = { type: "usage.threshold", state: "dead", attempts: 10, outcome: "500", body: "{}", by: "another" };
  const times = { createdMs: Date.now(), endedMs: Date.now(), dueMs: Date.now() };
  await service.limiter.records.put(`webhook-delivery:${delivery}`, JSON.stringify({ ...dead, ...times }));
  return { hook, delivery };
}

function send(
  { app }: TestService,
  [method, url, payload]: Call,
  key: string | undefined,
): Promise<LightMyRequestResponse> {
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const type = payload === undefined ? {} : { "content-type": "application/json" };
  const body = payload === undefined ? {} : { payload };
  return app.inject({ method, url, headers: { ...authorization, ...type }, ...body });
}

function expectProblem(answer: LightMyRequestResponse, status: number, code: string): void {
  expect([answer.statusCode, answer.json().code], answer.body).toEqual([status, code]);
  expect(answer.headers).toMatchObject({ "content-type": "application/problem+json", "cache-control": "no-store" });
  const text = expect.any(String);
  expect(answer.json()).toMatchObject({ type: text, title: text, status, detail: text, code });
}

describe.each(ROUTES)("$good.0 $good.1", ({ good, status, bad, scope, keyless }) => {
  const isOpen = scope === undefined && !/^\/v1\/(quota|usage)/.test(good[1]);

  it(`without a key is ${keyless ? "let in" : "401"}`, async () => {
    const answer = await send(await startService(), good, undefined);
    if (keyless) expect(answer.statusCode, answer.body).toBe(status);
    else expectProblem(answer, 401, "authentication_required");
  });

  it(`with a wrong key is ${isOpen ? "let in" : "401, charged to the address"}`, async () => {
    const service = await startService();
    const answer = await send(service, good, UNKNOWN_KEY);
    if (isOpen) return expect(answer.statusCode).toBe(status);
    expectProblem(answer, 401, "api_key_invalid");
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
    expect(answer.headers).toMatchObject({ "x-quota-tier": "anonymous", "x-ratelimit-limit": "30" });
    expect(Number(answer.headers["x-ratelimit-remaining"])).toBeLessThan(30);
  });

  if (scope !== undefined)
    it("with a key of another scope is 403, charged to its account", async () => {
      const service = await startService();
      const answer = await send(service, good, scope === "fingerprint" ? service.reader : service.free);
      expectProblem(answer, 403, "scope_missing");
      expect(answer.json().detail).toContain(scope);
    });

  it(`with a good key and input is ${status}`, async () => {
    const service = await startService();
    const [id] = service.keys.list(1, { account: "test-pro" }).items.map((key) => key.id);
    const [method, url, payload] = good;
    const { hook, delivery } = await webhookOf(service);
    const named = url.replace("DELIVERY", delivery).replace("HOOK", hook).replace("ID", `${id}`);
    const answer = await send(service, [method, named, payload], service.admin);
    expect(answer.statusCode, answer.body).toBe(status);
    if (url.startsWith("/api/")) expect(answer.headers["cache-control"]).toBe("no-store");
  });

  if (bad.length > 0)
    it(`with bad input is ${bad.map(([, status]) => status).join(", ")}`, async () => {
      const service = await startService();
      for (const [call, status, code] of bad) expectProblem(await send(service, call, service.admin), status, code);
    });
});

it("management routes unauthenticated: none is, and every route of the service is in the table", async () => {
  const service = await startService();
  const all: string[] = [];
  for (let after = ""; ; ) {
    const answer = await send(
      service,
      ["GET", `${MANAGED}/endpoints?limit=7&after=${encodeURIComponent(after)}`],
      service.reader,
    );
    const { items, next } = answer.json();
    all.push(...items.map(({ method, path }: { method: string; path: string }) => `${method} ${path}`));
    if (next === null) break;
    after = next;
  }
  const shape = (method: string, url: string) =>
    `${method} ${url
      .replace(/\?.*$/, "")
      .replace(/quota\/[^/]+/, "quota/:subject")
      .replace(/accounts\/[^/]+/, "accounts/:account")
      .replace(/ID|HOOK|DELIVERY/, ":id")}`;
  const tabled = ROUTES.map(({ good: [method, url] }) => shape(method, url));
  const undescribed = ["GET /openapi.json", "GET /docs"];
  expect([...all, ...undescribed].sort()).toEqual(tabled.sort());
  const managed = ROUTES.filter(({ good: [, url] }) => url.startsWith("/api/"));
  expect(managed.every(({ scope, keyless }) => scope !== undefined && !keyless)).toBe(true);
});

it("a flood of 401 is denied like any other, and its address's own calls with it", async () => {
  const service = await startService();
  const statuses: number[] = [];
  for (let call = 0; call < 31; call++) {
    statuses.push((await send(service, ["GET", "/api/v1/keys"], UNKNOWN_KEY)).statusCode);
  }
  expect(statuses).toEqual([...Array(30).fill(401), 429]);
  expect((await service.app.inject(identify(service.free, "127.0.0.1"))).statusCode).toBe(200);
});
