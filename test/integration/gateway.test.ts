import { describe, expect, it } from "vitest";
import { identify, startService } from "./service.js";

const SECRET = "a secret of the gateway";
const PREVIOUS = "the secret before that";
const ENVIRONMENT = { RATE_LIMIT_GATEWAY_SECRET: SECRET, RATE_LIMIT_GATEWAY_SECRET_PREVIOUS: PREVIOUS };
const CONSUMER = { "x-consumer-custom-id": "42", "x-consumer-username": "somebody", "x-consumer-groups": "pro" };
const CLIENT = { "x-real-ip": "203.0.113.7" };

/** A service behind a gateway, and how a call with these header fields is charged. */
async function behindGateway(environment: Record<string, string> = {}) {
  const service = await startService({ ...ENVIRONMENT, ...environment });
  const call = async (headers: Record<string, string>, secret: string | null = SECRET) => {
    const auth = secret === null ? {} : { "x-gateway-auth": secret };
    const answer = await service.app.inject({ ...identify(undefined, "10.0.0.1"), headers: { ...headers, ...auth } });
    const { "x-quota-tier": tier, "x-ratelimit-remaining": left } = answer.headers;
    return { status: answer.statusCode, tier, left, code: answer.statusCode < 400 ? undefined : answer.json().code };
  };
  return { ...service, call };
}

describe("a consumer of the gateway", () => {
  it("is an account, of the one tier among its groups", async () => {
    const { call, limiter } = await behindGateway();
    expect(await call({ ...CONSUMER, "x-consumer-groups": "staff, pro ,eu" })).toMatchObject({
      tier: "pro",
      left: "999",
    });
    expect(limiter.peek("acct:42", "pro", 0).limits[0]?.remaining).toBe(999);
  });

  it("goes by its user name if it has no id", async () => {
    const { call, limiter } = await behindGateway();
    await call({ "x-consumer-username": "somebody", "x-consumer-groups": "free" });
    expect(limiter.peek("acct:somebody", "free", 0).limits[0]?.remaining).toBe(99);
  });

  it.each([["free,pro"], ["staff"], [""]])(
    "in groups %j, which name no tier or several, is of its account's tier, or the least",
    async (groups) => {
      const { call, keys } = await behindGateway();
      const consumer = { ...CONSUMER, "x-consumer-groups": groups };
      expect(await call(consumer)).toMatchObject({ tier: "anonymous", left: "29" });
      await keys.accounts.setTier("42", "pro");
      expect(await call(consumer)).toMatchObject({ tier: "pro" });
    },
  );

  it("has its account's own limits", async () => {
    const { call, keys } = await behindGateway();
    await keys.accounts.setTier("42", "free");
    await keys.accounts.setOverrides("42", { minute: { limit: 7 } });
    expect(await call(CONSUMER)).toMatchObject({ tier: "pro", left: "6" });
  });

  it("whose name can't be an account's is refused", async () => {
    const { call } = await behindGateway();
    expect(await call({ "x-consumer-custom-id": "a b" })).toMatchObject({ status: 400, code: "consumer_invalid" });
    expect(await call({ "x-consumer-custom-id": "x".repeat(129) })).toMatchObject({ status: 400 });
    expect(await call({ "x-consumer-custom-id": Buffer.from("kunde-ä").toString("latin1") })).toMatchObject({
      status: 400,
    });
  });

  it("may not manage, whatever its tier: that takes an API key", async () => {
    const { app, admin } = await behindGateway();
    const headers = { ...CONSUMER, ...CLIENT, "x-gateway-auth": SECRET };
    expect((await app.inject({ url: "/api/v1/keys", headers })).statusCode).toBe(401);
    expect((await app.inject({ url: "/api/v1/keys", headers: { ...headers, "x-api-key": admin } })).statusCode).toBe(
      200,
    );
  });
});

describe("the gateway's secret", () => {
  it("is either of two, while one is changed for the other", async () => {
    const { call } = await behindGateway();
    expect(await call(CONSUMER, PREVIOUS)).toMatchObject({ tier: "pro" });
  });

  it.each([[null], [""], ["another secret"], [`${SECRET} `], [SECRET.slice(0, -1)]])(
    "%j is none: consumer headers without the secret are ignored",
    async (secret) => {
      const { call, limiter } = await behindGateway();
      const claims = { ...CONSUMER, ...CLIENT, "x-anonymous-consumer": "false" };
      expect(await call(claims, secret)).toMatchObject({ status: 200, tier: "anonymous", left: "29" });
      expect(limiter.peek("ip:10.0.0.1", "anonymous", 0).limits[0]?.remaining).toBe(29);
    },
  );

  it("is no one's where none is configured", async () => {
    const { app } = await startService();
    for (const secret of ["", "undefined", SECRET]) {
      const headers = { ...CONSUMER, "x-gateway-auth": secret };
      expect((await app.inject({ ...identify(), headers })).headers["x-quota-tier"]).toBe("anonymous");
    }
  });

  it("is in no log", async () => {
    const { call, log } = await behindGateway();
    await call(CONSUMER);
    await call(CONSUMER, "another secret");
    expect(log.join("")).not.toMatch(/secret of the gateway|another secret|"42"/);
  });
});

describe("a call that the gateway knows nobody for", () => {
  const anonymous = { "x-anonymous-consumer": "true", "x-consumer-username": "anonymous" };

  it("counts for the address that the gateway has seen", async () => {
    const { call } = await behindGateway({ RATE_LIMIT_IP_WHITELIST: "198.51.100.0/24" });
    expect(await call({ ...anonymous, ...CLIENT })).toMatchObject({ tier: "anonymous", left: "29" });
    expect(await call(CLIENT)).toMatchObject({ left: "28" });
    expect(await call({ ...anonymous, "x-real-ip": "203.0.113.8" })).toMatchObject({ left: "29" });
    expect(await call({ ...anonymous, "x-real-ip": "198.51.100.1" })).toMatchObject({ tier: "trusted" });
  });

  it.each([[{}], [{ "x-real-ip": "unknown" }], [{ "x-real-ip": "203.0.113.7, 203.0.113.8" }]])(
    "without an address, %j, is refused: no address means unlimited, or one shared bucket",
    async (address) => {
      const { call } = await behindGateway();
      expect(await call({ ...anonymous, ...address })).toMatchObject({ status: 403, code: "address_unknown" });
    },
  );

  it("may show an API key of its own", async () => {
    const { call, free } = await behindGateway();
    expect(await call({ ...anonymous, ...CLIENT, "x-api-key": free })).toMatchObject({ tier: "free" });
    expect(await call({ ...anonymous, ...CLIENT, "x-api-key": "made-up" })).toMatchObject({ status: 401, left: "29" });
  });

  it("is refused where authentication is required", async () => {
    const { call } = await behindGateway({ RATE_LIMIT_REQUIRE_AUTHENTICATION: "true" });
    expect(await call({ ...anonymous, ...CLIENT })).toMatchObject({ status: 401, left: "29" });
    expect(await call(CONSUMER)).toMatchObject({ status: 200, tier: "pro" });
  });
});
