import { describe, expect, it } from "vitest";
import { identify, startService, type TestService } from "./service.js";

const MANAGED = "/api/v1/rate-limit";

/** Calls the management API as an administrator; gives the answer's body. */
async function manage(
  { app, admin }: TestService,
  method: "GET" | "POST" | "PUT" | "DELETE",
  url: string,
  payload?: object,
) {
  const body = payload === undefined ? {} : { payload };
  const answer = await app.inject({ method, url, headers: { "x-api-key": admin }, ...body });
  expect(answer.statusCode, answer.body).toBeLessThan(300);
  return answer.json();
}

/** Spends until a call is denied; returns how many passed. */
async function spend({ app }: TestService, key: string): Promise<number> {
  let passed = 0;
  while ((await app.inject(identify(key))).statusCode === 200) passed++;
  return passed;
}

describe("the tier of an account", () => {
  it("raised while it is being denied lets it pass within 100 ms: a remembered denial that outlives an upgrade", async () => {
    const service = await startService();
    const { app, free, clock } = service;
    expect(await spend(service, free)).toBe(100);
    await manage(service, "PUT", `${MANAGED}/quota/test-free/tier`, { tier: "pro" });
    // An empty bucket stays empty, and is filled at the rate of the new tier: a token every 60 ms.
    expect((await app.inject(identify(free))).headers["x-quota-tier"]).toBe("pro");
    clock.nowMs += 100;
    expect((await app.inject(identify(free))).statusCode).toBe(200);
  });

  it("that is not configured any more is the least, and not a fault of the service", async () => {
    const { app, keys, free } = await startService();
    await keys.accounts.setTier("test-free", "gold");
    const { statusCode, headers } = await app.inject(identify(free));
    expect([statusCode, headers["x-quota-tier"]]).toEqual([200, "anonymous"]);
  });

  it("that a reload takes away is the least from the next call on, for keys that were just seen, too", async () => {
    const service = await startService();
    const { app, keys, limiter, free } = service;
    const { gold, ...others } = { ...limiter.tiers, gold: { limits: [] } };
    limiter.reload({ ...others, gold });
    await keys.accounts.setTier("test-free", "gold");
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, { limits: { minute: { limit: 40 } } });
    const tierOf = async () => (await app.inject(identify(free))).headers["x-quota-tier"];
    expect(await tierOf()).toBe("gold");
    limiter.reload(others);
    expect(await tierOf()).toBe("anonymous");
    const own = { tier: "anonymous", limits: [{ name: "minute", limit: 40 }, { name: "month" }] };
    expect(await manage(service, "GET", `${MANAGED}/quota/test-free`)).toMatchObject(own);
    expect(await manage(service, "POST", `${MANAGED}/check`, { subject: "test-free" })).toMatchObject({ quota: own });
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, { limits: {} });
    limiter.reload({ ...others, gold });
    expect(await tierOf()).toBe("gold");
  });

  it("is set by a name as long as there are, whatever signs are in it", async () => {
    const service = await startService();
    for (const name of ["x".repeat(128), "%".repeat(128), "a/b?c#d%"]) {
      const url = `${MANAGED}/quota/${encodeURIComponent(`acct:${name}`)}/tier`;
      expect(await manage(service, "PUT", url, { tier: "pro" })).toMatchObject({ account: name, tier: "pro" });
    }
  });

  it("is that of all its keys", async () => {
    const service = await startService();
    const second = await service.keys.create("test", { account: "test-free", scopes: ["fingerprint"] });
    await manage(service, "PUT", `${MANAGED}/quota/acct:test-free/tier`, { tier: "enterprise" });
    for (const key of [service.free, second.key]) {
      expect((await service.app.inject(identify(key))).headers["x-quota-tier"]).toBe("enterprise");
    }
  });
});

describe.each(["native", "js"] as const)("limits of an account's own, %s engine", (engine) => {
  const environment = { RATE_LIMIT_ENGINE: engine };

  it("hold from the next call on, and are counted under the tier's name", async () => {
    const service = await startService(environment);
    const { app, free } = service;
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, { limits: { minute: { limit: 10 } } });
    const { headers } = await app.inject(identify(free));
    expect(headers).toMatchObject({ "x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-quota-tier": "free" });
    expect(headers["ratelimit-policy"]).toBe('"minute";q=15;w=90, "month";q=50000;w=2592000');
    expect(await spend(service, free)).toBe(9);
    const metrics = (await app.inject("/metrics")).body;
    expect(metrics).toContain('tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""} 10');
    expect(metrics).toContain('tollkeeper_decisions_total{tier="free",outcome="denied",limit="minute"} 1');
    expect(metrics).not.toContain("free{");
  });

  it("are of that account only, and gone when they are taken back", async () => {
    const service = await startService(environment);
    const { app, free, keys } = service;
    await keys.accounts.setTier("other", "free");
    const other = (await keys.create("test", { account: "other", scopes: ["fingerprint"] })).key;
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, {
      limits: { minute: { limit: 10, burst: 1 } },
    });
    expect((await app.inject(identify(other))).headers["x-ratelimit-limit"]).toBe("100");
    expect(await spend(service, free)).toBe(10);
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, { limits: {} });
    const { overrides, limits } = await manage(service, "GET", `${MANAGED}/quota/test-free`);
    expect(overrides).toBeNull();
    expect(limits[0]).toMatchObject({ name: "minute", limit: 100, capacity: 150, remaining: 0 });
    expect(limits[1]).toMatchObject({ name: "month", remaining: 49_990 });
  });

  it("can take a limit away, or bring one that the tier lacks", async () => {
    const service = await startService(environment);
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, {
      limits: { minute: null, month: { limit: 150 } },
    });
    expect(await spend(service, service.free)).toBe(150);
    await manage(service, "PUT", `${MANAGED}/quota/test-enterprise/overrides`, { limits: { month: { limit: 3 } } });
    expect(await spend(service, service.enterprise)).toBe(3);
    const denied = await service.app.inject(identify(service.enterprise));
    expect(denied.json()).toMatchObject({ code: "monthly_quota_exceeded", "violated-policies": ["month"] });
    expect(denied.headers["x-quota-tier"]).toBe("enterprise");
  });

  it("can let calls go beyond the quota's limit, which the answers and whoever asks are told", async () => {
    const service = await startService(environment);
    const { app, free } = service;
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, {
      limits: { month: { limit: 3, overage: { max: 2 } } },
    });
    expect(await spend(service, free)).toBe(5);
    const denied = await app.inject(identify(free));
    expect(denied.json()).toMatchObject({ code: "monthly_quota_exceeded" });
    expect(denied.headers).toMatchObject({ "x-quota-monthly-remaining": "0", "x-quota-overage": "2" });
    const month = { name: "month", limit: 3, capacity: 5, remaining: 0, overage: 2 };
    const managed = await manage(service, "GET", `${MANAGED}/quota/test-free`);
    expect(managed).toMatchObject({
      overrides: { month: { overage: { max: 2 } } },
      limits: [{ name: "minute" }, month],
    });
    const own = (await app.inject({ url: "/v1/quota", headers: { "x-api-key": free } })).json();
    expect(own.limits[1]).toMatchObject(month);
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, {
      limits: { month: { limit: 6, overage: null } },
    });
    expect((await manage(service, "GET", `${MANAGED}/quota/test-free`)).limits[1]).not.toHaveProperty("overage");
    expect(await spend(service, free)).toBe(1);
  });

  it("bound what a batch may cost, under the tier's name", async () => {
    const service = await startService(environment);
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, {
      limits: { minute: { limit: 2, burst: 1 } },
    });
    const items = Array.from({ length: 3 }, (_, id) => ({ id: `${id}`, fingerprint: {} }));
    const headers = { "x-api-key": service.free };
    const answer = await service.app.inject({ method: "POST", url: "/v1/batch", headers, payload: { items } });
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ maximum: 2, detail: expect.stringContaining("tier free never") });
  });

  it("follow the tiers when those are reloaded", async () => {
    const service = await startService(environment);
    const { app, free, limiter } = service;
    await manage(service, "PUT", `${MANAGED}/quota/test-free/overrides`, { limits: { minute: { burst: 3 } } });
    expect((await app.inject(identify(free))).headers["ratelimit-policy"]).toContain('"minute";q=300;w=180');
    const { free: tier, ...others } = limiter.tiers;
    const limits = (tier?.limits ?? []).map((limit) => (limit.name === "minute" ? { ...limit, limit: 200 } : limit));
    limiter.reload({ ...others, free: { limits } });
    expect((await app.inject(identify(free))).headers["ratelimit-policy"]).toContain('"minute";q=600;w=180');
  });

  it.each([
    { minut: { limit: 5 } },
    { minute: { limit: -5 } },
    { minute: { limit: "500" } },
    { minute: { limit: 1.2345 } },
    { minute: { limit: 1e300 } },
    { minute: { burst: 0 } },
    { minute: { windowSeconds: 1 } },
    { minute: 500 },
    { month: { burst: 2 } },
    { toString: { limit: 5 } },
    JSON.parse('{"__proto__":{"limit":5}}'),
    [],
  ])("that can't be meant are refused, and the old ones stay: %j", async (limits) => {
    const service = await startService(environment);
    const url = `${MANAGED}/quota/test-free/overrides`;
    await manage(service, "PUT", url, { limits: { minute: { limit: 40 } } });
    const headers = { "x-api-key": service.admin, "content-type": "application/json" };
    const payload = JSON.stringify({ limits });
    const answer = await service.app.inject({ method: "PUT", url, headers, payload });
    expect([400, 422], answer.body).toContain(answer.statusCode);
    const { overrides } = await manage(service, "GET", `${MANAGED}/quota/test-free`);
    expect(overrides).toEqual({ minute: { limit: 40 } });
  });
});

describe("looking", () => {
  it("spends nothing: check that spends", async () => {
    const service = await startService();
    for (let call = 0; call < 3; call++) {
      const answer = await manage(service, "POST", `${MANAGED}/check`, { subject: "test-free", cost: 60 });
      expect(answer).toMatchObject({ allowed: true, denied_by: null, retry_after: null, cost: 60 });
      expect(answer.quota.limits[0].remaining).toBe(100);
    }
    expect(service.limiter.stats().keys).toBe(0);
    await spend(service, service.free);
    const denied = await manage(service, "POST", `${MANAGED}/check`, { subject: "test-free", cost: 50 });
    expect(denied).toMatchObject({ allowed: false, denied_by: "minute", retry_after: 30 });
  });

  it("says what a call would be told that costs each limit by itself", async () => {
    const service = await startService();
    const check = (cost: unknown) => manage(service, "POST", `${MANAGED}/check`, { subject: "test-free", cost });
    expect(await check({ minute: 60 })).toMatchObject({ allowed: true, cost: { minute: 60, month: 0 } });
    await spend(service, service.free);
    expect(await check({ minute: 50, month: 7 })).toMatchObject({
      allowed: false,
      denied_by: "minute",
      retry_after: 30,
    });
    expect(await check({ month: 7 })).toMatchObject({ allowed: true, cost: { minute: 0, month: 7 } });
    const headers = { "x-api-key": service.reader };
    const refused = async (cost: unknown) => {
      const payload = { subject: "test-free", cost };
      return (await service.app.inject({ method: "POST", url: `${MANAGED}/check`, headers, payload })).json();
    };
    const excessive = { status: 422, code: "cost_exceeds_capacity", maximum: { minute: 150 } };
    expect(await refused({ minute: 151, month: 1 })).toMatchObject(excessive);
    const mayBe = "cost: it may be a number from 0 with at most three decimals, or such numbers by name of the limit";
    for (const none of [null, "1", [1], { minute: "1" }, { minute: null }]) {
      expect(await refused(none)).toMatchObject({ status: 400, code: "body_invalid", detail: mayBe });
    }
    expect(await refused({ minute: -1 })).toMatchObject({ detail: expect.stringContaining("cost.minute: Too small") });
    const foreign = {
      status: 422,
      code: "cost_invalid",
      detail: expect.stringContaining("cost.mont is of no limit of tier free"),
    };
    expect(await refused({ mont: 1 })).toMatchObject(foreign);
    for (const cost of [{ minute: -1 }, { minute: "1" }, [1], null]) {
      expect(await refused(cost), JSON.stringify(cost)).toMatchObject({ status: 400, code: "body_invalid" });
    }
    expect(await refused({ minute: 0.0001 })).toMatchObject({ status: 422, code: "cost_invalid" });
  });

  it("by a tier takes one that is configured, not one that is made up with overrides in its name", async () => {
    const { app, reader } = await startService();
    const headers = { "x-api-key": reader };
    const tier = 'free{"minute":{"limit":7}}';
    const calls = [
      { method: "GET", url: `${MANAGED}/quota/test-free`, query: { tier } },
      { method: "POST", url: `${MANAGED}/check`, payload: { subject: "test-free", tier } },
    ] as const;
    for (const call of calls) {
      const answer = await app.inject({ ...call, headers });
      expect([answer.statusCode, answer.json().code]).toEqual([422, "tier_unknown"]);
    }
  });

  it("says null of what is unlimited: INF in JSON", async () => {
    const service = await startService();
    const { limits } = await manage(service, "GET", `${MANAGED}/quota/test-enterprise`);
    const nothing = { limit: null, capacity: null, remaining: null, resets_at: null };
    expect(limits).toEqual([
      { name: "minute", type: "bucket", ...nothing },
      { name: "month", type: "quota", ...nothing },
    ]);
  });

  it("at one's own quota costs nothing, and is limited by itself", async () => {
    const { app, free } = await startService();
    const look = (key: string | undefined) =>
      app.inject({ url: "/v1/quota", headers: key === undefined ? {} : { "x-api-key": key } });
    const answer = await look(free);
    expect(answer.json()).toMatchObject({ subject: "acct:test-free", tier: "free", overrides: null });
    expect(answer.headers).toMatchObject({ "x-request-cost": "0", "x-ratelimit-remaining": "100" });
    expect((await look(undefined)).json()).toMatchObject({ subject: "ip:127.0.0.1", tier: "anonymous" });
    let denied = answer;
    for (let call = 0; call < 1000 && denied.statusCode === 200; call++) denied = await look(free);
    expect(denied.statusCode).toBe(429);
    expect(denied.json()).toMatchObject({ code: "rate_limit_exceeded", "violated-policies": ["looks"] });
    expect((await app.inject(identify(free))).headers["x-ratelimit-remaining"]).toBe("99");
  });

  it("goes through a list part by part", async () => {
    const service = await startService();
    const ids: string[] = [];
    for (let next: string | null = ""; next !== null; ) {
      const page: { items: { id: string }[]; next: string | null } = await manage(
        service,
        "GET",
        `/api/v1/keys?limit=2&after=${next}`,
      );
      ids.push(...page.items.map(({ id }) => id));
      next = page.next;
    }
    expect(ids).toHaveLength(5);
    expect(ids).toEqual([...new Set(ids)].sort());
  });
});

it.each([
  ["POST", `${MANAGED}/quota/test-free/reset`, `${MANAGED}/quota/{subject}/reset`],
  ["DELETE", "/api/v1/keys/0123456789abcdef", "/api/v1/keys/{id}"],
] as const)("%s %s minds a body that is none, and says that it may", async (method, url, path) => {
  const { app, admin } = await startService();
  const answerTo = async (type: string, payload: string) => {
    const headers = { "x-api-key": admin, "content-type": type };
    return (await app.inject({ method, url, headers, payload })).statusCode;
  };
  expect(await answerTo("text/csv", "a,b")).toBe(415);
  expect(await answerTo("application/json", " ".repeat(17_000))).toBe(413);
  const { responses } = (await app.inject("/openapi.json")).json().paths[path][method.toLowerCase()];
  expect(Object.keys(responses)).toEqual(expect.arrayContaining(["413", "415"]));
});

it("a reset forgets what was spent", async () => {
  const service = await startService();
  await spend(service, service.free);
  expect(await manage(service, "POST", `${MANAGED}/quota/test-free/reset`)).toEqual({ subject: "acct:test-free" });
  expect((await service.app.inject(identify(service.free))).headers["x-ratelimit-remaining"]).toBe("99");
});

it("a grant is there from the next call on, as the audit log says, and one of too much is refused", async () => {
  const service = await startService();
  const month = ({ limits }: { limits: { name: string; remaining: number }[] }) =>
    limits.find(({ name }) => name === "month")?.remaining;
  const url = `${MANAGED}/quota/test-free/grant`;
  expect(month(await manage(service, "POST", url, { tokens: 1000.5, keep: true }))).toBe(51_000.5);
  await service.app.inject(identify(service.free));
  expect(month(await manage(service, "GET", `${MANAGED}/quota/test-free`))).toBe(50_999.5);
  const lines = service.log.filter((line) => line.includes("quota.grant")).map((line) => JSON.parse(line).audit);
  expect(lines).toMatchObject([
    { action: "quota.grant", by: "ops", on: "test-free", change: { tokens: 1000.5, keep: true }, status: 200 },
  ]);
  const headers = { "x-api-key": service.admin };
  for (let grant = 0; grant < 4; grant++) await manage(service, "POST", url, { tokens: 1e12 });
  const refused = await service.app.inject({ method: "POST", url, headers, payload: { tokens: 1e12 } });
  expect([refused.statusCode, refused.json().code]).toEqual([422, "grant_invalid"]);
});

describe("keys over HTTP", () => {
  it("are made, shown once, changed by two, and revoked at once", async () => {
    const service = await startService();
    const { app } = service;
    const first = await manage(service, "POST", "/api/v1/keys", { account: "new", tier: "free", environment: "test" });
    expect(first).toMatchObject({ account: "new", scopes: ["fingerprint"], revoked: null });
    expect(first.key).toMatch(/^fpk_test_/);
    const second = await manage(service, "POST", "/api/v1/keys", { account: "new" });
    const listed = await manage(service, "GET", "/api/v1/keys?account=new");
    expect(JSON.stringify(listed)).not.toContain("fpk_");
    expect((await app.inject(identify(first.key))).statusCode).toBe(200);
    expect((await manage(service, "DELETE", `/api/v1/keys/${first.id}`)).revoked).toEqual(expect.any(String));
    expect((await app.inject(identify(first.key))).statusCode).toBe(401);
    expect((await app.inject(identify(second.key))).headers["x-ratelimit-remaining"]).toBe("98");
  });

  it("end by themselves: 401 by a code of its own, charged to the address", async () => {
    const service = await startService();
    const { app, clock } = service;
    const expires = "2026-11-10T14:00:01.500+02:00";
    const made = await manage(service, "POST", "/api/v1/keys", { account: "test-free", name: "CI", expires });
    expect(made).toMatchObject({ name: "CI", expires: "2026-11-10T12:00:01.500Z", lastUsed: null });
    expect((await app.inject(identify(made.key))).statusCode).toBe(200);
    clock.nowMs += 1500;
    const answer = await app.inject(identify(made.key));
    expect([answer.statusCode, answer.json().code]).toEqual([401, "api_key_expired"]);
    expect(answer.headers).toMatchObject({ "www-authenticate": "Bearer", "x-quota-tier": "anonymous" });
    const { items } = await manage(service, "GET", "/api/v1/keys?account=test-free");
    expect(items.find(({ id }: { id: string }) => id === made.id).lastUsed).toBe("2026-11-10T12:00:00.000Z");
  });
});

describe("the audit log", () => {
  const audited = ({ log }: TestService) =>
    log.flatMap((line) => {
      const { level, audit } = JSON.parse(line) as { level: number; audit?: Record<string, unknown> };
      return audit === undefined ? [] : [{ level, ...audit } as Record<string, unknown>];
    });

  it("says of each management call who did what to whom, and what became of it, without a secret", async () => {
    const service = await startService();
    const { app, admin, reader, log } = service;
    const made = await manage(service, "POST", "/api/v1/keys", { account: "new", tier: "free" });
    await manage(service, "PUT", `${MANAGED}/quota/new/tier`, { tier: "pro" });
    const url = `${MANAGED}/quota/new/reset`;
    for (const key of [reader, "made-up"]) await app.inject({ method: "POST", url, headers: { "x-api-key": key } });
    const by = { by: "ops", with: expect.stringMatching(/^[0-9a-f]{16}$/), level: 30 };
    expect(audited(service)).toMatchObject([
      { ...by, action: "keys.create", on: "new", change: { account: "new", tier: "free" }, status: 201 },
      { ...by, action: "account.tier", on: "new", change: { tier: "pro" }, status: 200 },
      { action: "quota.reset", by: "ops", on: "new", change: null, status: 403 },
      { action: "quota.reset", by: null, on: "new", change: null, status: 401 },
    ]);
    for (const secret of [made.key, admin, reader]) expect(log.join("")).not.toContain(secret.slice(9, 40));
  });

  it("shows no key that was taken for the name of an account", async () => {
    const service = await startService();
    const { free, log } = service;
    await manage(service, "POST", "/api/v1/keys", { account: free, tier: "free" });
    const change = { account: "fpk_******", tier: "free" };
    expect(audited(service)).toMatchObject([{ action: "keys.create", on: "fpk_******", change, status: 201 }]);
    expect(log.join("")).not.toContain(free.slice(9, 40));
  });

  it("is written whatever the level of other lines", async () => {
    const service = await startService();
    service.app.log.level = "error";
    await manage(service, "GET", "/api/v1/keys");
    expect(audited(service)).toMatchObject([{ action: "keys.list", status: 200 }]);
  });

  it("is not filled by nobody's calls, nor by those of a key without the scope, and leaves out no administrator's", async () => {
    const service = await startService();
    const { app, free, reader, log } = service;
    const rows = [
      ["GET", "/api/v1/keys"],
      ["POST", "/api/v1/keys"],
      ["DELETE", "/api/v1/keys/0123456789abcdef"],
      ["POST", `${MANAGED}/quota/acme/reset`],
      ["PUT", `${MANAGED}/quota/acme/tier`],
      ["PUT", `${MANAGED}/quota/acme/overrides`],
      ["GET", "/nothing/here"],
      ["GET", `${MANAGED}/status`],
      ["POST", "/v1/identify"],
    ] as const;
    const strangers = [
      {},
      { "x-api-key": "made-up" },
      { authorization: "Basic x", "x-api-key": "y" },
      { "x-api-key": free },
    ];
    const before = log.length;
    let calls = 0;
    for (let time = 0; time < 25; time++) {
      for (const [method, url] of rows) {
        for (const headers of strangers) {
          calls++;
          await app.inject({ method, url, headers, ...(method === "GET" ? {} : { payload: { no: time } }) });
        }
      }
      if (time % 4 === 0) await manage(service, "GET", "/api/v1/keys");
    }
    for (const key of [reader, free]) await app.inject({ url: "/api/v1/keys", headers: { "x-api-key": key } });
    await app.close();
    const lines = log.slice(before).filter((line) => !line.includes('"answered"'));
    expect(calls).toBe(900);
    // Six actions, each refused in two ways to nobody and to a customer: 20 a minute.
    expect(lines.length).toBeLessThanOrEqual(6 * 4 * 20 + 7 + 2 + 1);
    const { omitted } = JSON.parse(log.at(-1) ?? "{}") as { omitted: { count: number }[] };
    const refused = audited(service).filter((line) => line["status"] !== 200).length;
    expect(omitted.reduce((sum, { count }) => sum + count, refused)).toBe(25 * 6 * 4 + 2);
    expect(audited(service).filter((line) => line["by"] === "ops" && line["status"] === 200)).toHaveLength(7);
    expect(audited(service).filter((line) => line["by"] === "ops" && line["status"] === 403)).toHaveLength(1);
  });
});

describe("a hostile body of management", () => {
  const deep = (depth: number) => `{"limits":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`;
  const names = (count: number, value = '{"limit":1}') =>
    `{"limits":{${Array.from({ length: count }, (_, index) => `"n${index}":${value}`).join(",")}}}`;
  it.each<[string, string]>([
    ["nested 3,000 deep", deep(2700)],
    ["1,000 limits that there are not", names(1000, "null")],
    ["1,000 limits of nothing", names(1000, "7")],
    ["a name of 16,000 characters", `{"limits":{"${"x".repeat(16_000)}":null}}`],
    ["an unknown field of 16,000 characters", `{"limits":{"minute":{"${"x".repeat(16_000)}":1}}}`],
    ["__proto__", '{"limits":{"__proto__":{"limit":1}}}'],
    ["__proto__ within", '{"limits":{"minute":{"__proto__":{"limit":1}}}}'],
    ["constructor", '{"limits":{"constructor":{"limit":1}}}'],
    ["toString taken away", '{"limits":{"toString":null}}'],
    ["a list of limits", '{"limits":[{"limit":1}]}'],
    ["a list in the place of a limit", '{"limits":{"minute":[]}}'],
    ["a misspelt field", '{"limits":{"minute":{"limt":1}}}'],
    ["no number", '{"limits":{"minute":{"limit":"5"}}}'],
    ["a number without an end", '{"limits":{"minute":{"limit":1e999}}}'],
    ["a list", "[]"],
    ["null", "null"],
    ["nothing", ""],
    ["no JSON", "{limits: NaN}"],
  ])("%s is refused in few words and changes nothing", async (_, payload) => {
    const service = await startService();
    const { app, admin, keys } = service;
    for (const [what, body] of [
      ["overrides", payload],
      ["tier", payload.replaceAll('"limits"', '"tier"')],
    ]) {
      const url = `${MANAGED}/quota/test-free/${what}`;
      const headers = { "x-api-key": admin, "content-type": "application/json" };
      const answer = await app.inject({ method: "PUT", url, headers, payload: body ?? "" });
      expect([400, 413, 422], answer.body.slice(0, 200)).toContain(answer.statusCode);
      expect(answer.body.length).toBeLessThan(10_000);
    }
    expect(keys.accounts.get("test-free")).toMatchObject({ tier: "free", overrides: null });
  });
});
