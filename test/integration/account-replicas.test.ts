import { expect, it, onTestFinished, vi } from "vitest";
import { readConfiguration } from "../../src/service/config/read.js";
import { type Service, serve } from "../../src/service/serve.js";
import { openKeys } from "../../src/service/storage.js";
import { forFile, RedisServer } from "../redis/server.js";

const redis = await forFile(RedisServer.start());
const PATIENCE_MS = 10_000;
const SIGNALS = { fingerprint: { http: { headers: [["user-agent", "curl/8.5.0"]] } } };
const ACCOUNTS = "/api/v1/accounts";
const GATEWAY = "the secret of the gateway";
/** What is promised, and how long a busy machine is given for it. */
const SOON = { timeout: 5000, interval: 20 };

let prefixes = 0;

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** Two replicas of the service over one Redis, and an administrator of both. */
async function twoReplicas() {
  const environment = {
    HOST: "127.0.0.1",
    PORT: "0",
    RATE_LIMIT_REDIS_URL: redis.url,
    RATE_LIMIT_REDIS_PREFIX: `accounts-${prefixes++}`,
    RATE_LIMIT_REDIS_TIMEOUT_MS: "2000",
    RATE_LIMIT_LOG_LEVEL: "silent",
    RATE_LIMIT_DEMO_KEYS: "never",
    RATE_LIMIT_GATEWAY_SECRET: GATEWAY,
  };
  const directory = await openKeys(readConfiguration(environment).config);
  await directory.ready(PATIENCE_MS);
  const { keys } = directory;
  await keys.accounts.setTier("ops", "enterprise");
  const admin = await keys.create("test", { account: "ops", scopes: ["admin", "quota:read"] });
  await directory.close();
  const start = async (): Promise<Service> => {
    const service = await serve({ environment, print: () => undefined, logStream: { write: () => undefined } });
    onTestFinished(() => service.stop());
    return service;
  };
  const [first, second] = [await start(), await start()];
  const ask = async ({ url }: Service, method: string, path: string, body?: object): Promise<Answer> => {
    const headers = { "x-api-key": admin.key, "content-type": "application/json" };
    const answer = await fetch(url + path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    return { status: answer.status, body: (await answer.json()) as Answer["body"] };
  };
  const manage = async (...call: Parameters<typeof ask>): Promise<Answer["body"]> => {
    const { status, body } = await ask(...call);
    expect(status, JSON.stringify(body)).toBeLessThan(300);
    return body;
  };
  const identify = async ({ url }: Service, fields: Record<string, string>) => {
    const headers = { "content-type": "application/json", ...fields };
    const answer = await fetch(`${url}/v1/identify`, { method: "POST", headers, body: JSON.stringify(SIGNALS) });
    const { code } = (await answer.json()) as { code?: string };
    return { status: answer.status, code, tier: answer.headers.get("x-quota-tier") };
  };
  const consume = (replica: Service, consumer: string, group: string) => {
    const fields = { "x-gateway-auth": GATEWAY, "x-consumer-custom-id": consumer, "x-consumer-groups": group };
    return identify(replica, { ...fields, "x-real-ip": "203.0.113.7" });
  };
  const call = (replica: Service, key: unknown) => identify(replica, { "x-api-key": String(key) });
  return { first, second, ask, manage, call, consume };
}

const codeOf = ({ status, body }: Answer) => `${status} ${body["code"] ?? ""}`.trim();

it("an account that two replicas make at once is made once", async () => {
  const { first, second, ask } = await twoReplicas();
  for (let round = 0; round < 10; round++) {
    const make = (replica: Service, displayName: string) =>
      ask(replica, "POST", ACCOUNTS, { account: `acme-${round}`, plan: "free", displayName });
    const answers = await Promise.all([make(first, "One"), make(second, "Two")]);
    expect(answers.map(codeOf).sort()).toEqual(["201", "409 account_exists"]);
    const won = answers.find(({ status }) => status === 201)?.body;
    for (const replica of [first, second]) {
      await vi.waitFor(async () => {
        expect((await ask(replica, "GET", `${ACCOUNTS}/acme-${round}`)).body).toEqual(won);
      }, SOON);
    }
  }
});

it("an external id that two replicas give away at once goes to one account, and both find it there", async () => {
  const { first, second, ask, manage } = await twoReplicas();
  await manage(first, "POST", ACCOUNTS, { account: "there-1", plan: "free" });
  await manage(second, "POST", ACCOUNTS, { account: "there-2", plan: "free" });
  for (let round = 0; round < 10; round++) {
    const externalId = `crm-${round}`;
    const answers = await Promise.all([
      ask(first, "POST", ACCOUNTS, { account: `a-${round}`, plan: "free", externalId }),
      ask(second, "POST", ACCOUNTS, { account: `b-${round}`, plan: "free", externalId }),
      ask(first, "PATCH", `${ACCOUNTS}/there-1`, { externalId }),
      ask(second, "PATCH", `${ACCOUNTS}/there-2`, { externalId }),
    ]);
    const won = answers.filter(({ status }) => status < 300);
    expect(won).toHaveLength(1);
    expect(answers.filter(({ status }) => status >= 300).map(codeOf)).toEqual(Array(3).fill("409 external_id_taken"));
    for (const replica of [first, second]) {
      await vi.waitFor(async () => {
        const { items } = await manage(replica, "GET", `${ACCOUNTS}?externalId=${externalId}`);
        expect((items as Answer["body"][]).map(({ account }) => account)).toEqual([won[0]?.body["account"]]);
      }, SOON);
    }
  }
});

it("one replica suspends while the other serves: it is refused there soon, at no cost, and served again once resumed", async () => {
  const { first, second, manage, call } = await twoReplicas();
  await manage(first, "POST", ACCOUNTS, { account: "acme", plan: "free" });
  const { key } = await manage(first, "POST", "/api/v1/keys", { account: "acme" });
  await vi.waitFor(async () => expect(await call(second, key)).toMatchObject({ status: 200 }), SOON);
  const spent = async () => JSON.stringify((await manage(first, "GET", "/api/v1/rate-limit/quota/acme"))["limits"]);
  let isServing = true;
  const answers: string[] = [];
  const serving = (async () => {
    while (isServing) {
      const { status, code } = await call(second, key);
      answers.push(`${status} ${code}`);
    }
  })();
  await manage(first, "POST", `${ACCOUNTS}/acme/suspend`);
  expect(await call(first, key)).toMatchObject({ status: 403, code: "account_suspended" });
  await vi.waitFor(() => expect(answers.at(-1)).toBe("403 account_suspended"), SOON);
  isServing = false;
  await serving;
  const refused = answers.slice(answers.indexOf("403 account_suspended"));
  expect(new Set(refused)).toEqual(new Set(["403 account_suspended"]));
  const before = await spent();
  for (let calls = 0; calls < 20; calls++) await call(second, key);
  expect(JSON.parse(await spent())[1].remaining).toBe(JSON.parse(before)[1].remaining);
  await manage(second, "POST", `${ACCOUNTS}/acme/resume`);
  await vi.waitFor(async () => expect(await call(first, key)).toMatchObject({ status: 200 }), SOON);
});

it("what was scheduled on one replica comes on both at its time, and each lists the account under its plan", async () => {
  const { first, second, manage, call } = await twoReplicas();
  await manage(first, "POST", ACCOUNTS, { account: "acme", plan: "pro" });
  const { key } = await manage(first, "POST", "/api/v1/keys", { account: "acme" });
  await vi.waitFor(async () => expect(await call(second, key)).toMatchObject({ tier: "pro" }), SOON);
  const at = new Date(Date.now() + 1500).toISOString();
  await manage(first, "PATCH", `${ACCOUNTS}/acme`, { then: { plan: "free", at } });
  for (const replica of [first, second]) {
    await vi.waitFor(async () => {
      expect(await call(replica, key)).toMatchObject({ tier: "free" });
      const { items } = await manage(replica, "GET", `${ACCOUNTS}?plan=free`);
      expect(items).toMatchObject([{ account: "acme", plan: "free", from: at, then: null }]);
    }, SOON);
  }
});

it("an account that is archived and deleted on one replica is gone on the other, keys and all, and its name is free", async () => {
  const { first, second, ask, manage, call } = await twoReplicas();
  await manage(first, "POST", ACCOUNTS, { account: "acme", plan: "free", externalId: "e1" });
  const { key } = await manage(first, "POST", "/api/v1/keys", { account: "acme" });
  for (let calls = 0; calls < 3; calls++) expect(await call(first, key)).toMatchObject({ status: 200 });
  await vi.waitFor(async () => expect(await call(second, key)).toMatchObject({ status: 200 }), SOON);
  await manage(first, "POST", `${ACCOUNTS}/acme/archive`);
  await vi.waitFor(async () => expect(await call(second, key)).toMatchObject({ status: 401 }), SOON);
  expect(await manage(first, "DELETE", `${ACCOUNTS}/acme`)).toMatchObject({ keys: 1, quota: "reset", usage: "kept" });
  await vi.waitFor(async () => expect((await ask(second, "GET", `${ACCOUNTS}/acme`)).status).toBe(404), SOON);
  await manage(second, "POST", ACCOUNTS, { account: "acme", plan: "free", externalId: "e1" });
  const { limits } = (await manage(second, "GET", "/api/v1/rate-limit/quota/acme")) as {
    limits: { limit: number; remaining: number }[];
  };
  for (const { limit, remaining } of limits) expect(remaining).toBe(limit);
});

it("changes of different fields that two replicas make at once are all there", async () => {
  const { first, second, manage } = await twoReplicas();
  await manage(first, "POST", ACCOUNTS, { account: "acme", plan: "free" });
  const url = `${ACCOUNTS}/acme`;
  await vi.waitFor(async () => expect((await manage(second, "GET", url))["plan"]).toBe("free"), SOON);
  await Promise.all([
    manage(first, "PATCH", url, { displayName: "ACME" }),
    manage(second, "PATCH", url, { plan: "pro" }),
    manage(second, "PUT", "/api/v1/rate-limit/quota/acme/overrides", { limits: { minute: { limit: 5 } } }),
    manage(first, "POST", `${url}/suspend`),
  ]);
  const all = { displayName: "ACME", plan: "pro", overrides: { minute: { limit: 5 } }, state: "suspended" };
  for (const replica of [first, second]) {
    await vi.waitFor(async () => expect(await manage(replica, "GET", url)).toMatchObject(all), SOON);
  }
});

it("a consumer that both replicas see first at once is one account, and stays suspended as its group changes", async () => {
  const { first, second, ask, manage, consume } = await twoReplicas();
  await Promise.all([consume(first, "42", "free"), consume(second, "42", "free"), consume(first, "43", "pro")]);
  const url = `${ACCOUNTS}/42`;
  for (const replica of [first, second]) {
    await vi.waitFor(async () => {
      expect((await ask(replica, "GET", url)).body).toMatchObject({ plan: "free", source: "gateway", state: "active" });
      expect((await manage(replica, "GET", `${ACCOUNTS}?plan=pro`))["items"]).toMatchObject([{ account: "43" }]);
    }, SOON);
  }
  expect((await ask(first, "GET", url)).body).toEqual((await ask(second, "GET", url)).body);
  await manage(first, "POST", `${url}/suspend`);
  await vi.waitFor(async () => {
    expect(await consume(second, "42", "pro")).toMatchObject({ status: 403, code: "account_suspended" });
  }, SOON);
  expect(await consume(first, "42", "enterprise")).toMatchObject({ status: 403, code: "account_suspended" });
  expect((await ask(second, "GET", url)).body).toMatchObject({ source: "gateway", state: "suspended" });
});
