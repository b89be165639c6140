import { expect, it, onTestFinished, vi } from "vitest";
import { readConfiguration } from "../../src/service/config/read.js";
import { type Service, serve } from "../../src/service/serve.js";
import { openKeys } from "../../src/service/storage.js";
import { forFile, RedisServer } from "../redis/server.js";

const redis = await forFile(RedisServer.start());
const PATIENCE_MS = 10_000;
const SIGNALS = { fingerprint: { http: { headers: [["user-agent", "curl/8.5.0"]] } } };
const MANAGED = "/api/v1/rate-limit";

/** What is promised: on the replica that was told, and on any. */
const AT_ONCE = { timeout: 100, interval: 5 };
const SOON = { timeout: 5000, interval: 20 };

let prefixes = 0;

/** Two replicas of the service over one Redis, with an account on the tier free and an administrator. */
async function twoReplicas(mode: "leased" | "exact", server = redis) {
  const environment = {
    HOST: "127.0.0.1",
    PORT: "0",
    RATE_LIMIT_REDIS_URL: server.url,
    RATE_LIMIT_REDIS_PREFIX: `replicas-${prefixes++}`,
    RATE_LIMIT_REDIS_TIMEOUT_MS: "2000",
    RATE_LIMIT_MODE: mode,
    RATE_LIMIT_LOG_LEVEL: "silent",
    RATE_LIMIT_DEMO_KEYS: "never",
    RATE_LIMIT_FREE_MONTHLY_QUOTA: "5",
  };
  // As a command line would, without a server.
  const directory = await openKeys(readConfiguration(environment).config);
  await directory.ready(PATIENCE_MS);
  const { keys } = directory;
  const make = async (account: string, tier: string, scopes: ("admin" | "fingerprint" | "quota:read")[]) => {
    await keys.accounts.setTier(account, tier);
    return keys.create("test", { account, scopes });
  };
  const caller = await make("caller", "free", ["fingerprint"]);
  const admin = await make("ops", "enterprise", ["admin", "quota:read"]);
  await directory.close();
  const start = async (): Promise<Service> => {
    const service = await serve({ environment, print: () => undefined, logStream: { write: () => undefined } });
    onTestFinished(() => service.stop());
    return service;
  };
  const first = await start();
  const second = await start();
  const call = async ({ url }: Service) => {
    const headers = { authorization: `Bearer ${caller.key}`, "content-type": "application/json" };
    const answer = await fetch(`${url}/v1/identify`, { method: "POST", headers, body: JSON.stringify(SIGNALS) });
    return answer.status;
  };
  const manage = async ({ url }: Service, method: string, path: string, body?: object) => {
    const headers = { "x-api-key": admin.key, "content-type": "application/json" };
    const answer = await fetch(url + path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    expect(answer.status).toBe(200);
    return answer.json() as Promise<Record<string, unknown>>;
  };
  const stop = () => server.stop();
  return { first, second, call, manage, caller, admin, stop };
}

it.each(["leased", "exact"] as const)(
  "%s: raising an account that is being denied lets it pass within 100 ms where that was told, and within 5 s on any",
  async (mode) => {
    const { first, second, call, manage } = await twoReplicas(mode);
    for (let calls = 0; calls < 5; calls++) expect(await call(first)).toBe(200);
    // Both remember the denial, which ends with the month.
    for (const replica of [first, second]) expect(await call(replica)).toBe(429);
    await manage(first, "PUT", `${MANAGED}/quota/caller/tier`, { tier: "pro" });
    await vi.waitFor(async () => expect(await call(first)).toBe(200), AT_ONCE);
    await vi.waitFor(async () => expect(await call(second)).toBe(200), SOON);
  },
);

it("limits of an account's own, and a reset, hold on every replica", async () => {
  const { first, second, call, manage } = await twoReplicas("leased");
  for (let calls = 0; calls < 5; calls++) expect(await call(second)).toBe(200);
  for (const replica of [first, second]) expect(await call(replica)).toBe(429);
  await manage(second, "PUT", `${MANAGED}/quota/caller/overrides`, { limits: { month: { limit: 7 } } });
  await vi.waitFor(async () => expect(await call(second)).toBe(200), AT_ONCE);
  await vi.waitFor(async () => expect(await call(first)).toBe(200), SOON);
  for (const replica of [first, second]) expect(await call(replica)).toBe(429);
  await manage(first, "POST", `${MANAGED}/quota/caller/reset`);
  await vi.waitFor(async () => expect(await call(first)).toBe(200), AT_ONCE);
  await vi.waitFor(async () => expect(await call(second)).toBe(200), SOON);
});

it("a key revoked on one replica is refused there at once, and on the other within 5 s", async () => {
  const { first, second, call, manage, caller } = await twoReplicas("leased");
  for (const replica of [first, second]) expect(await call(replica)).toBe(200);
  await manage(first, "DELETE", `/api/v1/keys/${caller.id}`);
  expect(await call(first)).toBe(401);
  await vi.waitFor(async () => expect(await call(second)).toBe(401), SOON);
});

it("nothing is changed while Redis is away: 503, and no word of where it is", async () => {
  const { first, stop, admin } = await twoReplicas("leased", await RedisServer.start());
  await stop();
  const change = () =>
    fetch(`${first.url}${MANAGED}/quota/caller/tier`, {
      method: "PUT",
      headers: { "x-api-key": admin.key, "content-type": "application/json" },
      body: JSON.stringify({ tier: "pro" }),
    });
  const answer = await change();
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({
    code: "store_unavailable",
    detail: expect.not.stringContaining("127.0.0.1"),
  });
});

it("keys that are known are good while Redis is away; a replica that starts then knows none, and says so", async () => {
  const own = await RedisServer.start();
  onTestFinished(() => own.stop());
  const environment = {
    HOST: "127.0.0.1",
    PORT: "0",
    RATE_LIMIT_REDIS_URL: own.url,
    RATE_LIMIT_LOG_LEVEL: "silent",
  };
  const lines: string[] = [];
  const start = async () => {
    const print = (line: string) => void lines.push(line);
    const service = await serve({ environment, print, logStream: { write: () => undefined } });
    onTestFinished(() => service.stop());
    return service;
  };
  const known = await start();
  const key = /^ {2}pro +(\S+)$/m.exec(lines.join("\n"))?.[1] ?? "";
  const status = async ({ url }: Service) => {
    const headers = { "x-api-key": key, "content-type": "application/json" };
    return (await fetch(`${url}/v1/identify`, { method: "POST", headers, body: JSON.stringify(SIGNALS) })).status;
  };
  expect(await status(known)).toBe(200);
  await own.kill();
  expect(await status(known)).toBe(200);
  const directory = await openKeys(readConfiguration(environment).config);
  onTestFinished(() => directory.close());
  await expect(directory.ready(50)).rejects.toThrow(expect.objectContaining({ code: "ERR_STORE_UNAVAILABLE" }));
  const late = await start();
  expect(await status(late)).toBe(503);
  expect((await fetch(`${late.url}/ready`)).status).toBe(503);
  expect((await fetch(`${known.url}/ready`)).status).toBe(200);
  await own.run();
  await vi.waitFor(async () => expect((await fetch(`${late.url}/ready`)).status).toBe(200), SOON);
}, 30_000);

it("the status and the health tell whether decisions are shared, and how many share them", async () => {
  const server = await RedisServer.start();
  onTestFinished(() => server.stop());
  const { first, second, manage } = await twoReplicas("leased", server);
  const stateOf = async (replica: Service) => {
    const { store } = await manage(replica, "GET", `${MANAGED}/status`);
    const { limits } = await manage(replica, "GET", `${MANAGED}/health`);
    return { ...(store as object), limits };
  };
  const all = async () => [await stateOf(first), await stateOf(second)];
  const shared = { state: "ready", replicas: 2, unreconciled: 0, limits: "ok" };
  await vi.waitFor(async () => expect(await all()).toEqual([shared, shared]), SOON);
  await server.kill();
  const alone = { state: "unavailable", limits: "degraded" };
  await vi.waitFor(async () => expect(await all()).toMatchObject([alone, alone]), SOON);
  await server.run();
  await vi.waitFor(async () => expect(await all()).toEqual([shared, shared]), SOON);
}, 30_000);
