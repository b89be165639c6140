import { describe, expect, it, vi } from "vitest";
import { identify, startService } from "./service.js";

const SECRET = "a secret of the gateway";
const PREVIOUS = "the secret before that";
const ENVIRONMENT = { RATE_LIMIT_GATEWAY_SECRET: SECRET, RATE_LIMIT_GATEWAY_SECRET_PREVIOUS: PREVIOUS };
const CONSUMER = { "x-consumer-custom-id": "42", "x-consumer-username": "somebody", "x-consumer-groups": "pro" };
const { "x-consumer-groups": _groups, ...WITHOUT_GROUPS } = CONSUMER;
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
    for (const noId of [{}, { "x-consumer-custom-id": "" }]) {
      await call({ ...noId, "x-consumer-username": "somebody", "x-consumer-groups": "free" });
    }
    expect(limiter.peek("acct:somebody", "free", 0).limits[0]?.remaining).toBe(98);
  });

  it.each([["free,pro"], ["staff"], [""], ["pro2"], ["Pro"], ["toString"], ["__proto__"]])(
    "in groups %j, which name no tier or several, is refused, whatever its account's tier, and spends nothing",
    async (groups) => {
      const { call, keys, limiter } = await behindGateway();
      await keys.accounts.setTier("42", "pro");
      for (const consumer of [{ ...CONSUMER, "x-consumer-groups": groups }, { ...WITHOUT_GROUPS }]) {
        expect(await call({ ...consumer, ...CLIENT })).toMatchObject({ status: 403, code: "consumer_tier_unknown" });
      }
      for (const key of ["acct:42", "ip:203.0.113.7", "ip:10.0.0.1"]) {
        expect(limiter.peek(key, "free", 0).limits[0]?.remaining).toBe(100);
      }
    },
  );

  it("who is not named is refused: only Kong's anonymous consumer, or its group, is nobody", async () => {
    const { call } = await behindGateway();
    for (const unnamed of [{}, { "x-consumer-groups": "pro" }, { "x-consumer-id": "7" }]) {
      expect(await call({ ...unnamed, ...CLIENT })).toMatchObject({ status: 403, code: "consumer_unknown" });
    }
  });

  it("seen with an id of its own never goes by its user name", async () => {
    const { call } = await behindGateway();
    const { "x-consumer-custom-id": _, ...byUserName } = CONSUMER;
    expect(await call(CONSUMER)).toMatchObject({ left: "999" });
    expect(await call(byUserName)).toMatchObject({ status: 403, code: "consumer_unknown" });
    expect(await call({ ...byUserName, "x-consumer-username": "another" })).toMatchObject({ left: "999" });
    expect(await call(CONSUMER)).toMatchObject({ left: "998" });
  });

  it.each([
    ["custom-id", "acct:42", "x-consumer-custom-id"],
    ["username", "acct:somebody", "x-consumer-username"],
  ])("goes by %s alone where that is configured", async (account, key, field) => {
    const { call, limiter } = await behindGateway({ RATE_LIMIT_GATEWAY_ACCOUNT: account });
    expect(await call({ ...CONSUMER, [field]: "" })).toMatchObject({ status: 403, code: "consumer_unknown" });
    expect(await call(CONSUMER)).toMatchObject({ status: 200, tier: "pro" });
    expect(limiter.peek(key, "pro", 0).limits[0]?.remaining).toBe(999);
  });

  it("has its account's own limits", async () => {
    const { call, keys } = await behindGateway();
    await keys.accounts.setTier("42", "free");
    await keys.accounts.setOverrides("42", { minute: { limit: 7 } });
    expect(await call(CONSUMER)).toMatchObject({ tier: "pro", left: "6" });
  });

  it("becomes an account at first sight, which follows its group, and may be suspended", async () => {
    const { app, call, keys, admin } = await behindGateway();
    expect(await call(CONSUMER)).toMatchObject({ status: 200, tier: "pro" });
    await vi.waitFor(() => expect(keys.accounts.get("42")).toMatchObject({ tier: "pro", source: "gateway" }));
    const headers = { "x-api-key": admin };
    const { items } = (await app.inject({ url: "/api/v1/accounts?search=42", headers })).json();
    expect(items).toMatchObject([{ account: "42", plan: "pro", source: "gateway", state: "active" }]);
    await app.inject({ method: "POST", url: "/api/v1/accounts/42/suspend", headers });
    const suspended = { status: 403, code: "account_suspended", tier: undefined, left: undefined };
    for (const groups of ["pro", "free"]) {
      expect(await call({ ...CONSUMER, ...CLIENT, "x-consumer-groups": groups })).toEqual(suspended);
    }
    await app.inject({ method: "POST", url: "/api/v1/accounts/42/archive", headers });
    expect(await call(CONSUMER)).toMatchObject({ status: 403, code: "account_archived" });
    await app.inject({ method: "POST", url: "/api/v1/accounts/42/resume", headers });
    expect(await call({ ...CONSUMER, "x-consumer-groups": "free" })).toMatchObject({ status: 200, tier: "free" });
  });

  it("is decided by its group while its account can't be written", async () => {
    const { call, keys } = await behindGateway();
    vi.spyOn(keys.accounts, "follow").mockRejectedValue(new Error("away"));
    for (let calls = 1; calls < 4; calls++) expect(await call(CONSUMER)).toMatchObject({ left: `${1000 - calls}` });
    expect(keys.accounts.get("42")).toBeUndefined();
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
    expect(
      await call({ "x-consumer-username": "anonymous", "x-consumer-groups": "anonymous", ...CLIENT }),
    ).toMatchObject({
      left: "28",
    });
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

/** All that a gateway says of a call, and which name of a consumer is its account's. */
const SAID: [who: string, account: string, fields: Record<string, string>][] = [
  ["a consumer with both names", "either", { ...CONSUMER, "x-consumer-id": "7", "x-credential-identifier": "8" }],
  ["a consumer with both names", "custom-id", { ...CONSUMER, "x-consumer-id": "7", "x-credential-identifier": "8" }],
  ["a consumer with both names", "username", { ...CONSUMER, "x-consumer-id": "7", "x-credential-identifier": "8" }],
  [
    "a consumer with an id",
    "either",
    { "x-consumer-custom-id": "42", "x-consumer-groups": "pro", "x-consumer-id": "7" },
  ],
  ["a consumer with a user name", "either", { "x-consumer-username": "somebody", "x-consumer-groups": "free" }],
  [
    "nobody",
    "either",
    { "x-consumer-username": "anonymous", "x-consumer-groups": "anonymous", "x-anonymous-consumer": "true" },
  ],
];

describe("what is taken out between the gateway and here", () => {
  it.each(SAID)("of %s, by %s, makes no other caller: it is the same or refused", async (_who, account, fields) => {
    const { call } = await behindGateway({
      RATE_LIMIT_REQUIRE_GATEWAY: "true",
      RATE_LIMIT_GATEWAY_ACCOUNT: account,
      RATE_LIMIT_IP_FALLBACK_LIMIT: "1000",
      RATE_LIMIT_FREE_MINUTE_LIMIT: "1000",
    });
    const said = { ...fields, ...CLIENT, "x-gateway-auth": SECRET };
    const { tier, left } = await call(said, null);
    let remaining = Number(left);
    const names = Object.keys(said);
    const wrong: string[] = [];
    for (let taken = 1; taken < 2 ** names.length; taken++) {
      const isTaken = (name: string) => (taken & (1 << names.indexOf(name))) !== 0;
      const answer = await call(Object.fromEntries(Object.entries(said).filter(([name]) => !isTaken(name))), null);
      if (answer.status === 200) remaining--;
      const isSame = answer.status === 200 && answer.tier === tier && answer.left === `${remaining}`;
      const isRefused = answer.status === 403 && answer.tier === undefined;
      if (!isSame && !isRefused) wrong.push(`${names.filter(isTaken)}: ${answer.status} ${answer.tier} ${answer.left}`);
    }
    expect(wrong).toEqual([]);
  });
});

describe("where the gateway is required", () => {
  const REQUIRED = { RATE_LIMIT_REQUIRE_GATEWAY: "true" };

  it.each([[{}], [CONSUMER], [{ "x-gateway-auth": "another secret" }], [{ "x-api-key": "made-up" }]])(
    "a call without its secret is refused, %j, and charged to no address",
    async (headers) => {
      const { call, limiter } = await behindGateway(REQUIRED);
      expect(await call(headers, null)).toMatchObject({ status: 403, code: "gateway_required", tier: undefined });
      expect(limiter.peek("ip:10.0.0.1", "anonymous", 0).limits[0]?.remaining).toBe(30);
    },
  );

  it("a good API key counts as before, and probes are open", async () => {
    const { app, call, free, admin } = await behindGateway(REQUIRED);
    expect(await call({ "x-api-key": free }, null)).toMatchObject({ status: 200, tier: "free" });
    expect((await app.inject({ url: "/api/v1/keys", headers: { "x-api-key": admin } })).statusCode).toBe(200);
    for (const url of ["/health", "/ready", "/metrics"]) expect((await app.inject(url)).statusCode).toBe(200);
  });

  it("without a secret by which to know it, the service does not start", async () => {
    await expect(startService(REQUIRED)).rejects.toThrow(
      /requireGateway is true; it may be true with RATE_LIMIT_GATEWAY_SECRET/,
    );
  });
});
