import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Gateway, startGateway } from "../../scripts/operations/gateway.mjs";
import { type Consumer, configOf, type KongFile, readKongFile } from "../../scripts/operations/kong-file.mjs";
import { compilePreFunction } from "../../scripts/operations/pre-function.mjs";
import { type AppProcess, startApp } from "../gateway/app.js";

const SECRET = "the-secret-of-the-gateway-in-these-tests";
const KEY = "the-key-of-deployment-check-in-these-tests";
const PRO_KEY = "the-key-of-a-consumer-whose-tier-is-pro";
const FINGERPRINT = { fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } };

let app: AppProcess;
let gateway: Gateway;

/** The file that is deployed, with one consumer more, as an operator would add it. */
function fileWith(secret: string): KongFile {
  const file = readKongFile({
    DECK_APP_TARGET: "app:8080",
    DECK_GATEWAY_SECRET: secret,
    DECK_VERIFY_KEY: KEY,
    DECK_KONG_REDIS_PASSWORD: "none",
  });
  const pro: Consumer = { username: "acme", acls: [{ group: "pro" }], keyauth_credentials: [{ key: PRO_KEY }] };
  return { ...file, consumers: [...file.consumers, pro] };
}

beforeAll(async () => {
  app = await startApp({ RATE_LIMIT_GATEWAY_SECRET: SECRET, RATE_LIMIT_CORS_ORIGINS: "" });
  gateway = await startGateway(fileWith(SECRET), [app.url]);
});
afterAll(async () => {
  await gateway.stop();
  await app.stop();
});

function identify(url: string, headers: Record<string, string>, path = "/v1/identify"): Promise<Response> {
  return fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(FINGERPRINT),
  });
}

describe("through the gateway", () => {
  test.each([
    ["free", KEY],
    ["pro", PRO_KEY],
  ])("the tier %s arrives", async (tier, key) => {
    const response = await identify(gateway.url, { "x-api-key": key });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-quota-tier")).toBe(tier);
  });

  test("whoever shows no key, or one that is unknown, is refused", async () => {
    expect((await identify(gateway.url, {})).status).toBe(401);
    const response = await identify(gateway.url, { "x-api-key": "made-up" });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ status: 401, code: "authentication_required" });
  });

  test.each([
    ["X-Consumer-Groups", "enterprise"],
    ["X-Consumer-Custom-ID", "victim"],
    ["X-Consumer-Username", "victim"],
    ["X-Anonymous-Consumer", "false"],
    ["X-Gateway-Auth", "a-guess-at-the-secret-of-the-gateway-"],
    ["X-Consumer-Tier", "enterprise"],
  ])("a client's own %s dies", async (name, value) => {
    const before = await identify(gateway.url, { "x-api-key": PRO_KEY });
    const response = await identify(gateway.url, { "x-api-key": PRO_KEY, [name]: value });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-quota-tier")).toBe("pro");
    const left = (from: Response) => Number(from.headers.get("x-quota-monthly-remaining"));
    expect(left(response)).toBe(left(before) - 1);
    expect((await identify(gateway.url, { [name]: value })).status).toBe(401);
  });

  test("a client's own groups die behind more fields than Kong lists", async () => {
    const [service] = fileWith(SECRET).services;
    const preFunction = await compilePreFunction(configOf(service?.plugins, "pre-function")?.access ?? []);
    const fields = new Map(Array.from({ length: 1100 }, (_, index) => [`a${index}`, "1"]));
    for (const name of ["x-consumer-groups", "x-consumer-username", "x-gateway-auth"]) fields.set(name, "mine");
    preFunction(fields);
    expect([...fields.values()]).not.toContain("mine");
    expect(fields.size).toBe(1100);
  });

  test("a page of the listed origin reads one set of fields, Kong's for CORS and the app's for limits", async () => {
    const origin = "https://app.example.com";
    const { headers } = await identify(gateway.url, { "x-api-key": PRO_KEY, origin });
    expect(headers.get("access-control-allow-origin")).toBe(origin);
    expect(headers.get("access-control-allow-credentials")).toBeNull();
    const exposed = headers.get("access-control-expose-headers")?.toLowerCase().split(/, ?/) ?? [];
    for (const name of ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "x-quota-tier"]) {
      expect(exposed).toContain(name);
      expect(headers.get(name)).not.toBeNull();
    }
    for (const kongs of ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-ratelimit-limit-second"]) {
      expect(headers.get(kongs)).toBeNull();
    }
  });

  test("a preflight is answered without a key", async () => {
    const headers = { origin: "https://app.example.com", "access-control-request-method": "POST" };
    const response = await fetch(`${gateway.url}/v1/batch`, { method: "OPTIONS", headers });
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-headers")).toContain("X-API-Key");
  });

  test.each(["/identify", "/v1/identify", "/compare", "/v1/compare", "/batch", "/v1/batch"])(
    "%s leads to the app",
    async (path) => {
      const response = await identify(gateway.url, { "x-api-key": PRO_KEY }, path);
      expect(response.headers.get("x-quota-tier")).toBe("pro");
    },
  );

  test.each(["/metrics", "/health", "/api/v1/rate-limit/status", "/v1/identify/more"])(
    "%s leads nowhere",
    async (path) => {
      expect((await identify(gateway.url, { "x-api-key": PRO_KEY }, path)).status).toBe(404);
    },
  );

  test("past the burst the app's own denial comes through", async () => {
    const statuses: number[] = [];
    let denied: Response | undefined;
    for (let call = 0; call < 160 && denied === undefined; call++) {
      const response = await identify(gateway.url, { "x-api-key": KEY });
      statuses.push(response.status);
      if (response.status === 429) denied = response;
    }
    expect(denied?.headers.get("retry-after")).toMatch(/^\d+$/);
    expect(await denied?.json()).toMatchObject({ code: "rate_limit_exceeded", "violated-policies": ["minute"] });
  });
});

describe("past the gateway", () => {
  test("its fields mean nothing without its secret", async () => {
    const fields = { "x-consumer-username": "acme", "x-consumer-groups": "pro" };
    const response = await identify(app.url, fields);
    expect(response.headers.get("x-quota-tier")).toBe("anonymous");
    const guessed = await identify(app.url, { ...fields, "x-gateway-auth": "a-guess" });
    expect(guessed.headers.get("x-quota-tier")).not.toBe("pro");
  });
});

test("while its secret is rotated, the old and the new one are good", async () => {
  const rotating = await startApp({
    RATE_LIMIT_GATEWAY_SECRET: "the-new-secret-of-the-gateway-in-these-tests",
    RATE_LIMIT_GATEWAY_SECRET_PREVIOUS: SECRET,
  });
  try {
    for (const secret of [SECRET, "the-new-secret-of-the-gateway-in-these-tests"]) {
      const one = await startGateway(fileWith(secret), [rotating.url]);
      const response = await identify(one.url, { "x-api-key": PRO_KEY });
      expect(response.headers.get("x-quota-tier")).toBe("pro");
      await one.stop();
    }
  } finally {
    await rotating.stop();
  }
});
