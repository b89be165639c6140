import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { type Service, serve } from "../../src/service/serve.js";

vi.setConfig({ testTimeout: 60_000 });

/** How long, in ms, a busy machine may take to tell of a change. */
const PATIENCE = { timeout: 20_000 };
const BODY = '{"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}';

/** A service that follows a file, how to write that, and the service's log. */
async function following(text: string) {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  const path = join(folder, "tollkeeper.yaml");
  const write = (text: string) => writeFileSync(path, text);
  write(text);
  const lines: string[] = [];
  const log: string[] = [];
  const service = await serve({
    environment: {
      PORT: "0",
      RATE_LIMIT_STORAGE: "memory",
      RATE_LIMIT_CONFIG: path,
      RATE_LIMIT_FREE_MONTHLY_QUOTA: "1000000",
    },
    print: (line) => lines.push(line),
    logStream: { write: (text: string) => log.push(text) },
  });
  onTestFinished(async () => {
    await service.stop();
    rmSync(folder, { recursive: true });
  });
  const key = /free +(fpk_\S+)/.exec(lines.join("\n"))?.[1] ?? "";
  return { service, write, log: () => log.join(""), key };
}

async function call({ url }: Service, key?: string): Promise<Response> {
  const headers = { "content-type": "application/json", ...(key === undefined ? {} : { "x-api-key": key }) };
  const answer = await fetch(`${url}/v1/identify`, { method: "POST", headers, body: BODY });
  await answer.arrayBuffer();
  return answer;
}

async function metric({ metricsUrl }: Service, name: string): Promise<string | undefined> {
  const lines = (await (await fetch(metricsUrl)).text()).split("\n");
  return lines.find((line) => line.startsWith(name))?.slice(name.length + 1);
}

it("tiers change under load: no call fails, and the new limits hold from the next decision", async () => {
  const { service, write, key } = await following("freeMinuteLimit: 1000000\n");
  const load = { isOver: false, statuses: new Map<number, number>() };
  onTestFinished(() => {
    load.isOver = true;
  });
  const callers = Array.from({ length: 8 }, async () => {
    while (!load.isOver) {
      const { status } = await call(service, key);
      load.statuses.set(status, (load.statuses.get(status) ?? 0) + 1);
    }
  });
  const limits: string[] = [];
  for (const limit of [900_000, 800_000, 700_000]) {
    write(`freeMinuteLimit: ${limit}\nidentifyCost: 0.5\n`);
    await vi.waitFor(async () => {
      const policy = (await call(service, key)).headers.get("ratelimit-policy") ?? "";
      expect(policy).toContain(`q=${limit * 1.5}`);
      limits.push(policy);
    }, PATIENCE);
  }
  await vi.waitFor(() => expect(load.statuses.get(200)).toBeGreaterThan(100), PATIENCE);
  load.isOver = true;
  await Promise.all(callers);
  expect([...load.statuses.keys()]).toEqual([200]);
  const answer = await call(service, key);
  expect(answer.headers.get("x-request-cost")).toBe("0.5");
  expect(await metric(service, 'tollkeeper_config_reloads_total{outcome="applied"}')).toBe("3");
});

it("a limit is lower from the next decision on, for callers that had used more", async () => {
  const { service, write, key } = await following("freeMinuteLimit: 100\n");
  for (let calls = 0; calls < 50; calls++) await call(service, key);
  write("freeMinuteLimit: 10\nburstMultiplier: 1\n");
  expect(service.reload()).toMatchObject({ outcome: "applied", changed: ["freeMinuteLimit", "burstMultiplier"] });
  const { headers } = await call(service, key);
  // Of 150 it could hold it had 50 left, and keeps a third.
  expect(headers.get("x-ratelimit-remaining")).toBe("2");
});

it("a broken file changes nothing and says so, in the log and in metrics", async () => {
  const { service, write, log, key } = await following("freeMinuteLimit: 5\n");
  const policy = (await call(service, key)).headers.get("ratelimit-policy");
  const since = await metric(service, "tollkeeper_config_last_reload_success_timestamp_seconds");
  expect(await metric(service, "tollkeeper_config_last_reload_successful")).toBe("1");
  write("freeMinuteLimit: five\nPORT: 1\n");
  await vi.waitFor(() => expect(log()).toContain("the one before stays in force"), PATIENCE);
  expect(log()).toMatch(/tollkeeper\.yaml:1: freeMinuteLimit is .{0,3}five/);
  expect((await call(service, key)).headers.get("ratelimit-policy")).toBe(policy);
  expect(await metric(service, 'tollkeeper_config_reloads_total{outcome="refused"}')).toBe("1");
  expect(await metric(service, "tollkeeper_config_last_reload_successful")).toBe("0");
  expect(await metric(service, "tollkeeper_config_last_reload_success_timestamp_seconds")).toBe(since);
  write("freeMinuteLimit: 6\n");
  await vi.waitFor(
    async () => expect(await metric(service, "tollkeeper_config_last_reload_successful")).toBe("1"),
    PATIENCE,
  );
  expect((await call(service, key)).headers.get("ratelimit-policy")).toContain("q=9;");
});

it("tiers that the limiter can't take while it runs are refused, and nothing changes", async () => {
  const { service, write, log } = await following("{}\n");
  const limits = ["a", "b"].map((name) => `{ name: ${name}, type: bucket, limit: 1, windowSeconds: 60 }`);
  write(`shadow: true\ntiers: { odd: { limits: [${limits.join(", ")}] } }\n`);
  expect(service.reload()).toMatchObject({ outcome: "refused", error: { code: "ERR_TIERS_INVALID" } });
  expect(log()).toContain("tells at most 2 limits apart by name");
});

it("what can't change while it runs is named in the log, and all else changes", async () => {
  const { service, write, log, key } = await following("maxKeys: 1000\nrequireAuthentication: false\n");
  expect((await call(service)).status).toBe(200);
  write("maxKeys: 2000\nrequireAuthentication: true\nlogLevel: debug\nipWhitelist: [127.0.0.0/8]\n");
  service.reload();
  expect(log()).toMatch(/"settings":\["maxKeys"\].*these settings change at the next start only/);
  expect((await call(service)).status).toBe(401);
  expect((await call(service, key)).status).toBe(200);
  await vi.waitFor(() => expect(log()).toContain('"msg":"answered"'), PATIENCE);
  write("maxKeys: 1000\nipWhitelist: [127.0.0.0/8]\n");
  service.reload();
  expect((await call(service)).headers.get("x-quota-tier")).toBe("trusted");
});
