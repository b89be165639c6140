/** What was served is there after a restart, whoever has served it: in the file, and in Redis over all replicas. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { serve } from "../../src/service/serve.js";
import { redisForFile } from "../redis/server.js";
import { command } from "./command.js";

const redis = await redisForFile();

const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
const STORAGES: Record<string, { replicas: number; environment: Record<string, string> }> = {
  "a file": {
    replicas: 1,
    environment: { RATE_LIMIT_STORAGE: "file", RATE_LIMIT_FILE: join(folder, "usage.redb") },
  },
  Redis: {
    replicas: 2,
    environment: {
      RATE_LIMIT_REDIS_URL: redis.url,
      RATE_LIMIT_REDIS_PREFIX: "usage-kept",
      RATE_LIMIT_REDIS_TIMEOUT_MS: "5000",
    },
  },
};

it.each(Object.entries(STORAGES))("in %s", async (_storage, { replicas, environment: own }) => {
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const environment = { PORT: "0", RATE_LIMIT_DEMO_KEYS: "never", RATE_LIMIT_LOG_LEVEL: "silent", ...own };
  const scopes = ["fingerprint", "usage:read"];
  const made = await command(
    ["keys", "create", "--account", "acme", "--tier", "pro", "--scope", ...scopes],
    environment,
  );
  const headers = { authorization: `Bearer ${made.stdout.trim()}`, "content-type": "application/json" };
  const start = async () => {
    const silent = { print: () => undefined, logStream: { write: () => undefined } };
    const service = await serve({ environment, ...silent });
    onTestFinished(() => service.stop());
    return service;
  };
  const body = JSON.stringify({ fingerprint: { http: { headers: [["user-agent", "curl/8.5.0"]] } } });
  const usageAt = async (url: string) => {
    // From any month to the next, should it turn.
    const answer = await fetch(`${url}/v1/usage?from=2026-01-01&to=2066-01-01&by=month&group=`, { headers });
    const { items, bound } = (await answer.json()) as { items: { calls: number }[]; bound: object };
    return { calls: items.reduce((sum, { calls }) => sum + calls, 0), bound };
  };

  let served = 0;
  for (let round = 0; round < 2; round++) {
    const services = await Promise.all(Array.from({ length: replicas }, start));
    for (const { url } of services) {
      for (let calls = 0; calls < 3; calls++, served++) {
        expect((await fetch(`${url}/v1/identify`, { method: "POST", headers, body })).status).toBe(200);
      }
    }
    for (const { url } of services) {
      await expect
        .poll(() => usageAt(url), { timeout: 10_000 })
        .toEqual({ calls: served, bound: { calls: 0, units: 0 } });
    }
    for (const service of services) await service.stop();
  }
  expect(served).toBe(6 * replicas);
});
