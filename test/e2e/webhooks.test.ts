import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { Webhook as Verifier } from "standardwebhooks";
import { expect, it, onTestFinished } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { readConfiguration } from "../../src/service/config/read.js";
import { openKeys } from "../../src/service/storage.js";
import { forFile, RedisServer } from "../redis/server.js";
import { HookServer } from "../unit/service/webhooks/hook-server.js";

const SIGNALS = { fingerprint: { http: { headers: [["user-agent", "curl/8.5.0"]] } } };
const QUOTA = 10;
/** A claim ends after 30 s, and is taken over some seconds later. */
const TAKEN_OVER = { timeout: 60_000, interval: 100 };

const redis = await forFile(RedisServer.start());

/** A process of the service, and where it listens. */
async function startReplica(environment: Record<string, string>): Promise<{ process: ChildProcess; url: string }> {
  const main = join(ROOT, "dist/service/cli/main.js");
  const env = { ...process.env, ...environment };
  const replica = spawn(process.execPath, [main, "serve"], { env, stdio: ["ignore", "pipe", "ignore"] });
  onTestFinished(() => void replica.kill("SIGKILL"));
  let printed = "";
  for await (const chunk of replica.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
    printed += chunk;
    const url = /http:\/\/[\d.:]+/.exec(printed)?.[0];
    if (url !== undefined) return { process: replica, url };
  }
  throw new Error(`the service did not start: ${printed}`);
}

it("each threshold is posted once over three replicas, and once more with the same id where one is killed at it", async () => {
  const environment = {
    HOST: "127.0.0.1",
    PORT: "0",
    RATE_LIMIT_REDIS_URL: redis.url,
    RATE_LIMIT_MODE: "exact",
    RATE_LIMIT_REDIS_TIMEOUT_MS: "2000",
    RATE_LIMIT_LOG_LEVEL: "silent",
    RATE_LIMIT_DEMO_KEYS: "never",
    RATE_LIMIT_FREE_MONTHLY_QUOTA: String(QUOTA),
    RATE_LIMIT_WEBHOOK_NETWORKS: "127.0.0.0/8",
  };
  const directory = await openKeys(readConfiguration(environment).config);
  await directory.ready(10_000);
  await directory.keys.accounts.setTier("caller", "free");
  const caller = await directory.keys.create("test", { account: "caller", scopes: ["fingerprint"] });
  await directory.keys.accounts.setTier("ops", "enterprise");
  const admin = await directory.keys.create("test", { account: "ops", scopes: ["admin"] });
  await directory.close();
  const replicas = await Promise.all([1, 2, 3].map(() => startReplica(environment)));
  const [first, second, third] = replicas.map(({ url }) => url) as [string, string, string];
  const post = async (url: string, key: string, body: object) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    return fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  };
  const call = async (url: string) => (await post(`${url}/v1/identify`, caller.key, SIGNALS)).status;

  const hooks = await HookServer.start();
  const events = ["usage.threshold", "quota.exhausted"];
  const made = await post(`${third}/api/v1/webhooks`, admin.key, { url: hooks.url, events });
  const { secret } = (await made.json()) as { secret: string };
  const told = () =>
    hooks.heard.map(({ headers, body }) => {
      const { type, data } = new Verifier(secret).verify(body, headers as never) as {
        type: string;
        data: { threshold?: number };
      };
      return { id: headers["webhook-id"], what: `${type} ${data.threshold ?? ""}`.trim() };
    });

  // The first replica is killed while it waits for the answer to the first delivery.
  hooks.answer = () => undefined;
  for (let calls = 0; calls < 8; calls++) expect(await call(first)).toBe(200);
  await expect.poll(() => hooks.heard.length, TAKEN_OVER).toBe(1);
  replicas[0]?.process.kill("SIGKILL");
  hooks.answer = (response) => void response.end();
  expect([await call(second), await call(third), await call(second), await call(third)]).toEqual([200, 200, 429, 429]);
  await expect.poll(() => hooks.heard.length, TAKEN_OVER).toBe(4);
  await new Promise((resolve) => setTimeout(resolve, 3000)); // Whatever comes too much would come by then.
  const counts = new Map<string, number>();
  for (const { what } of told()) counts.set(what, (counts.get(what) ?? 0) + 1);
  expect(Object.fromEntries(counts)).toEqual({
    "usage.threshold 80": 2,
    "usage.threshold 100": 1,
    "quota.exhausted": 1,
  });
  expect(new Set(told().map(({ id }) => id)).size).toBe(3);
}, 150_000);
