import { describe, expect, it } from "vitest";
import { identify, startService, type TestService } from "./service.js";

const ACCOUNTS = "/api/v1/accounts";
type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Calls the management API as an administrator. */
async function ask({ app, admin }: TestService, method: Method, url: string, payload?: unknown) {
  const body = payload === undefined ? {} : { payload: JSON.stringify(payload) };
  const headers = { "x-api-key": admin, ...(payload === undefined ? {} : { "content-type": "application/json" }) };
  const answer = await app.inject({ method, url, headers, ...body });
  return { status: answer.statusCode, body: answer.json() };
}

/** The same where it is to be done. */
async function manage(service: TestService, method: Method, url: string, payload?: unknown) {
  const { status, body } = await ask(service, method, url, payload);
  expect(status, JSON.stringify(body)).toBeLessThan(300);
  return body;
}

/** An account with a key, and how its calls are answered. */
async function customer(service: TestService, fields: object = {}) {
  await manage(service, "POST", ACCOUNTS, { account: "acme", plan: "pro", ...fields });
  const { key } = await manage(service, "POST", "/api/v1/keys", { account: "acme" });
  const call = async () => {
    const { statusCode, headers, body } = await service.app.inject(identify(key));
    const code = statusCode < 400 ? undefined : JSON.parse(body).code;
    return { status: statusCode, code, tier: headers["x-quota-tier"], left: headers["x-ratelimit-remaining"] };
  };
  return { key, call };
}

describe("an account over HTTP", () => {
  it("is made, shown, found, changed, and told the same each time", async () => {
    const service = await startService();
    const made = await manage(service, "POST", ACCOUNTS, {
      account: "acme",
      plan: "pro",
      displayName: "ACME Ltd",
      externalId: "crm-1042",
      metadata: { region: "eu" },
      anchorDay: 15,
      then: { plan: "free", at: "2026-11-24T12:00:00+01:00" },
    });
    expect(made).toEqual({
      account: "acme",
      plan: "pro",
      from: "2026-11-10T12:00:00.000Z",
      then: { plan: "free", at: "2026-11-24T11:00:00.000Z" },
      tier: "pro",
      overrides: null,
      overridesUntil: null,
      state: "active",
      since: "2026-11-10T12:00:00.000Z",
      displayName: "ACME Ltd",
      externalId: "crm-1042",
      metadata: { region: "eu" },
      anchorDay: 15,
      source: "management",
      created: "2026-11-10T12:00:00.000Z",
    });
    expect(await manage(service, "GET", `${ACCOUNTS}/acme`)).toEqual(made);
    for (const query of ["search=ACM", "search=acme%20l", "search=CRM-1", "externalId=crm-1042", "plan=pro&limit=1"]) {
      expect((await manage(service, "GET", `${ACCOUNTS}?${query}`)).items, query).toEqual([made]);
    }
    const change = { displayName: null, metadata: { region: null, note: "x" }, anchorDay: null, then: null };
    const changed = { ...made, displayName: null, metadata: { note: "x" }, anchorDay: 1, then: null };
    expect(await manage(service, "PATCH", `${ACCOUNTS}/acme`, change)).toEqual(changed);
    expect(await manage(service, "PATCH", `${ACCOUNTS}/acme`, {})).toEqual(changed);
    expect(await manage(service, "PUT", "/api/v1/rate-limit/quota/acme/tier", { tier: "free" })).toMatchObject({
      ...changed,
      plan: "free",
      tier: "free",
    });
  });

  it("has any name that there can be, as text in the address", async () => {
    const service = await startService();
    for (const name of ["x".repeat(128), "%".repeat(128), "a/b?c#d%", "...", "archive", "acct:1"]) {
      await manage(service, "POST", ACCOUNTS, { account: name, plan: "free" });
      const url = `${ACCOUNTS}/${encodeURIComponent(name)}`;
      expect((await manage(service, "POST", `${url}/suspend`)).state).toBe("suspended");
      expect((await manage(service, "GET", url)).account).toBe(name);
      expect((await manage(service, "DELETE", `${url}?force=true`)).account).toBe(name);
      expect(await ask(service, "GET", url)).toMatchObject({ status: 404, body: { code: "account_unknown" } });
    }
  });

  it("comes part by part, each once", async () => {
    const service = await startService();
    for (let each = 0; each < 25; each++) {
      const fields = { displayName: `Müller & Söhne ${each % 3}`, externalId: `e${each}` };
      await manage(service, "POST", ACCOUNTS, { account: `n&${each}`, plan: "free", ...fields });
    }
    for (const query of ["", "search=m%C3%BCller&", "search=N%26&plan=free&", "state=active&"]) {
      const names: string[] = [];
      for (let after: string | null = ""; after !== null; ) {
        const url: string = `${ACCOUNTS}?${query}limit=4&after=${encodeURIComponent(after)}`;
        const page: { items: { account: string }[]; next: string | null } = await manage(service, "GET", url);
        names.push(...page.items.map(({ account }) => account));
        after = page.next;
      }
      expect(new Set(names).size, query).toBe(names.length);
      expect(
        names.filter((name) => name.startsWith("n&")),
        query,
      ).toHaveLength(25);
    }
  });

  it("that is suspended is refused at no cost by a code of its own, until it is resumed", async () => {
    const service = await startService();
    const { call } = await customer(service);
    expect(await call()).toMatchObject({ status: 200, left: "999" });
    expect(await manage(service, "POST", `${ACCOUNTS}/acme/suspend`)).toMatchObject({ state: "suspended" });
    for (let calls = 0; calls < 3; calls++)
      expect(await call()).toMatchObject({ status: 403, code: "account_suspended" });
    expect(service.limiter.peek("ip:198.51.100.7", "anonymous", 0).limits[0]?.remaining).toBe(30);
    await manage(service, "POST", `${ACCOUNTS}/acme/suspend`);
    expect(await manage(service, "POST", `${ACCOUNTS}/acme/resume`)).toMatchObject({ state: "active" });
    expect(await call()).toMatchObject({ status: 200, left: "998" });
  });

  it("that is archived has no keys, keeps its name, and is shown where it is asked for", async () => {
    const service = await startService();
    const { call } = await customer(service, { externalId: "e1" });
    expect(await manage(service, "POST", `${ACCOUNTS}/acme/archive`)).toMatchObject({ state: "archived" });
    expect(await call()).toMatchObject({ status: 401, code: "api_key_invalid" });
    const names = async (query: string) =>
      (await manage(service, "GET", `${ACCOUNTS}?${query}`)).items.map(({ account }: { account: string }) => account);
    expect(await names("")).not.toContain("acme");
    expect(await names("state=archived")).toEqual(["acme"]);
    expect(await names("search=acme")).toEqual([]);
    const again = await ask(service, "POST", ACCOUNTS, { account: "acme", plan: "free" });
    expect(again).toMatchObject({ status: 409, body: { code: "account_exists" } });
    const key = await ask(service, "POST", "/api/v1/keys", { account: "acme" });
    expect(key).toMatchObject({ status: 409, body: { code: "account_state_contradicts" } });
    const suspended = await ask(service, "POST", `${ACCOUNTS}/acme/suspend`);
    expect(suspended).toMatchObject({ status: 409, body: { code: "account_state_contradicts" } });
    expect(await manage(service, "POST", `${ACCOUNTS}/acme/resume`)).toMatchObject({ state: "active" });
    expect(await call()).toMatchObject({ status: 401 });
  });

  it("that is deleted takes its keys and what it has spent with it, and its name begins anew", async () => {
    const service = await startService();
    const { call } = await customer(service, { externalId: "e1" });
    for (let calls = 0; calls < 5; calls++) await call();
    const refused = await ask(service, "DELETE", `${ACCOUNTS}/acme`);
    expect(refused).toMatchObject({ status: 409, body: { code: "account_state_contradicts" } });
    expect(await call()).toMatchObject({ status: 200 });
    await manage(service, "POST", `${ACCOUNTS}/acme/archive`);
    const deleted = await manage(service, "DELETE", `${ACCOUNTS}/acme`);
    expect(deleted).toEqual({ account: "acme", keys: 1, quota: "reset", usage: "kept" });
    expect((await manage(service, "GET", "/api/v1/keys?account=acme")).items).toEqual([]);
    expect(await call()).toMatchObject({ status: 401 });
    const next = await customer(service, { externalId: "e1" });
    expect(await next.call()).toMatchObject({ status: 200, left: "999" });
  });

  it("can't lock itself out", async () => {
    const service = await startService();
    const calls = [
      ["POST", `${ACCOUNTS}/ops/suspend`],
      ["POST", `${ACCOUNTS}/ops/archive`],
      ["DELETE", `${ACCOUNTS}/ops?force=true`],
    ] as const;
    for (const [method, url] of calls) {
      expect(await ask(service, method, url)).toMatchObject({ status: 409, body: { code: "account_in_use" } });
    }
    expect(await manage(service, "POST", `${ACCOUNTS}/ops/resume`)).toMatchObject({ state: "active" });
  });

  it("is on its plan to the instant, for calls as for whoever looks", async () => {
    const service = await startService();
    const { clock } = service;
    const at = new Date(clock.nowMs + 1500).toISOString();
    const { call } = await customer(service, { then: { plan: "free", at } });
    clock.nowMs += 1499;
    expect(await call()).toMatchObject({ tier: "pro" });
    clock.nowMs += 1;
    expect(await call()).toMatchObject({ tier: "free" });
    expect(await manage(service, "GET", `${ACCOUNTS}/acme`)).toMatchObject({ plan: "free", from: at, then: null });
    expect(await manage(service, "GET", "/api/v1/rate-limit/quota/acme")).toMatchObject({ tier: "free" });
  });

  it("has limits of its own until they end", async () => {
    const service = await startService();
    const { clock } = service;
    const { call } = await customer(service);
    const until = new Date(clock.nowMs + 1500).toISOString();
    const limits = { minute: { limit: 10 } };
    const url = "/api/v1/rate-limit/quota/acme/overrides";
    const set = await manage(service, "PUT", url, { limits, until });
    expect(set).toMatchObject({ overrides: limits, overridesUntil: until });
    expect(await call()).toMatchObject({ left: "9" });
    clock.nowMs += 1500;
    expect(await call()).toMatchObject({ left: expect.stringMatching(/^\d{3,4}$/) });
    expect(await manage(service, "GET", `${ACCOUNTS}/acme`)).toMatchObject({ overrides: null, overridesUntil: null });
    expect(await ask(service, "PUT", url, { limits, until })).toMatchObject({
      status: 422,
      body: { code: "overrides_invalid" },
    });
  });

  it("is in the audit log with everything that is done to it", async () => {
    const service = await startService();
    await manage(service, "POST", ACCOUNTS, { account: "acme", plan: "pro" });
    await manage(service, "PATCH", `${ACCOUNTS}/acme`, { displayName: "ACME" });
    for (const action of ["suspend", "resume", "archive"]) await manage(service, "POST", `${ACCOUNTS}/acme/${action}`);
    await manage(service, "GET", `${ACCOUNTS}/acme`);
    await manage(service, "GET", ACCOUNTS);
    await manage(service, "DELETE", `${ACCOUNTS}/acme?force=true`);
    const audits = service.log.flatMap((line) => JSON.parse(line).audit ?? []);
    expect(audits.map(({ action, by, on }) => `${action} ${by} ${on}`)).toEqual([
      "account.create ops acme",
      "account.change ops acme",
      "account.suspend ops acme",
      "account.resume ops acme",
      "account.archive ops acme",
      "account.show ops acme",
      "account.list ops null",
      "account.delete ops acme",
    ]);
    expect(audits[1].change).toEqual({ displayName: "ACME" });
    expect(audits.at(-1).change).toEqual({ force: "true" });
  });
});

const entries = (count: number, value: unknown = "x") =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`entry${index}`, value]));

/** What a field of an account may not be. */
const BAD: Record<string, unknown[]> = {
  displayName: ["", " ", "x".repeat(129), "a\nb", "a\u0000b", "\ud800", 7, [], {}, true],
  externalId: ["", " ", "a b", "é", "x".repeat(129), "a\u0000", 7, [], {}],
  metadata: [
    entries(21),
    { a: 7 },
    { a: { b: "c" } },
    { a: ["b"] },
    { a: "x".repeat(501) },
    { a: "\ud800" },
    { "": "x" },
    { "1a": "x" },
    { ["x".repeat(41)]: "x" },
    { "a b": "x" },
    { _proto: "x" },
    [],
    "text",
    7,
  ],
  anchorDay: [0, 32, 1.5, "1", -1, 1e300, true, [], {}],
  then: [
    {},
    { plan: "free" },
    { at: "2027-01-01T00:00:00Z" },
    { plan: "free", at: "2027-01-01T00:00:00Z", more: 1 },
    ...["2026-11-10T12:00:00Z", "2020-01-01T00:00:00Z", "2026-11-10T13:00:00+01:00"].map((at) => ({
      plan: "free",
      at,
    })),
    ...["2027-01-01", "2027-01-01T00:00:00", "2027-02-30T00:00:00Z", "2027-13-01T00:00:00Z"].map((at) => ({
      plan: "free",
      at,
    })),
    ...["2027-01-01T00:00:00+99:00", "tomorrow", "", 1_800_000_000, null, "9".repeat(5000)].map((at) => ({
      plan: "free",
      at,
    })),
    { plan: "gold", at: "2027-01-01T00:00:00Z" },
    { plan: 7, at: "2027-01-01T00:00:00Z" },
    "free",
    [],
  ],
  plan: ["gold", "", 7, {}, [], "__proto__", "toString", "x".repeat(65), 'free{"minute":{"limit":1}}'],
  unknown: [1],
  tier: ["pro"],
  state: ["active"],
  created: ["2020-01-01T00:00:00Z"],
  overrides: [{}],
};

describe("what an account can't be", () => {
  it.each(Object.entries(BAD))("%s is refused, of one that is made and of one that there is", async (field, values) => {
    const service = await startService();
    const { body: before } = await ask(service, "POST", ACCOUNTS, {
      account: "there",
      plan: "pro",
      metadata: { a: "b" },
    });
    for (const value of values) {
      const what = `${field} ${JSON.stringify(value)}`.slice(0, 100);
      const made = await ask(service, "POST", ACCOUNTS, { account: "new", plan: "pro", [field]: value });
      expect([400, 422], what).toContain(made.status);
      const changed = await ask(service, "PATCH", `${ACCOUNTS}/there`, { [field]: value });
      expect([400, 422], what).toContain(changed.status);
      for (const { body } of [made, changed]) {
        expect(body.code, what).toMatch(/^(body_invalid|account_invalid|tier_unknown)$/);
        expect(JSON.stringify(body).length).toBeLessThan(10_000);
      }
    }
    expect((await ask(service, "GET", `${ACCOUNTS}/new`)).status).toBe(404);
    expect((await ask(service, "GET", `${ACCOUNTS}/there`)).body).toEqual(before);
  });

  it.each(["", " ", ".", "..", "a b", "é", "x".repeat(129), "a\u0000", 7, null, [], {}])(
    "its name is not %j",
    async (account) => {
      const service = await startService();
      const answer = await ask(service, "POST", ACCOUNTS, { account, plan: "pro" });
      expect(answer).toMatchObject({ status: 400, body: { code: "body_invalid" } });
    },
  );

  it("it has a plan", async () => {
    const service = await startService();
    for (const body of [{ account: "acme" }, { account: "acme", plan: null }, [], null, "x", 7]) {
      expect(await ask(service, "POST", ACCOUNTS, body)).toMatchObject({ status: 400 });
    }
    await manage(service, "POST", ACCOUNTS, { account: "acme", plan: "pro" });
    for (const body of [{ plan: null }, [], "x", 7]) {
      expect(await ask(service, "PATCH", `${ACCOUNTS}/acme`, body)).toMatchObject({ status: 400 });
    }
  });

  it.each([
    "limit=0",
    "limit=101",
    "limit=many",
    "state=gone",
    "plan=",
    `plan=${"x".repeat(65)}`,
    `search=${"x".repeat(129)}`,
    "externalId=a%20b",
    `after=${"x".repeat(1025)}`,
    "name=acme",
  ])("it is not looked for by %s", async (query) => {
    const service = await startService();
    const answer = await ask(service, "GET", `${ACCOUNTS}?${query}`);
    expect(answer).toMatchObject({ status: 400, body: { code: "parameter_invalid" } });
  });

  it("an `after` that is none finds a place all the same", async () => {
    const service = await startService();
    for (const after of ["!!!", "%ff", "%00", "zzz", "____"]) {
      for (const search of ["", "&search=t"]) {
        expect((await ask(service, "GET", `${ACCOUNTS}?after=${after}${search}`)).status).toBe(200);
      }
    }
  });

  it("a key that somebody took for a name or a value is not in the log", async () => {
    const service = await startService();
    const { free, log } = service;
    await manage(service, "POST", ACCOUNTS, {
      account: "acme",
      plan: "pro",
      metadata: { key: free },
      displayName: free,
    });
    await ask(service, "PATCH", `${ACCOUNTS}/${free}`, { externalId: free });
    expect(log.join("")).not.toContain(free.slice(9, 40));
  });
});
