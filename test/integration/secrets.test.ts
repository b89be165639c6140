import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { expect, it, onTestFinished, vi } from "vitest";
import { outputOf } from "../../src/service/cli/output.js";
import { run } from "../../src/service/cli/program.js";
import { serve } from "../../src/service/serve.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();

const PEPPER = "pepper-Qv7xRt2mWc9";
const GATEWAY = "gateway-Zk4nLp8sYb1";
const BODY = '{"fingerprint":{"http":{"headers":[["user-agent","curl/8.5.0"]]}}}';

/** Environment of a service whose storage goes with the test. */
function environment(more: Record<string, string> = {}): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return {
    PORT: "0",
    RATE_LIMIT_STORAGE: "file",
    RATE_LIMIT_FILE: join(folder, "usage.redb"),
    RATE_LIMIT_LOG_LEVEL: "trace",
    RATE_LIMIT_KEY_PEPPER: PEPPER,
    RATE_LIMIT_GATEWAY_SECRET: GATEWAY,
    RATE_LIMIT_DEMO_KEYS: "never",
    ...more,
  };
}

/** A command's standard output; what it wrote to the standard error is added to `written`. */
async function command(args: string[], env: Record<string, string>, written: string[]): Promise<string> {
  const stdout: string[] = [];
  const streams = {
    stdout: { write: (text: string) => void stdout.push(text) },
    stderr: { write: (text: string) => void written.push(text) },
    env,
  };
  await run(args, env, outputOf(streams as unknown as NodeJS.Process));
  return stdout.join("");
}

/** A service that runs, and all that it has written. */
async function running(env: Record<string, string>, written: string[]) {
  const service = await serve({
    environment: env,
    print: (line) => written.push(line),
    logStream: { write: (text) => written.push(text) },
  });
  onTestFinished(() => service.stop());
  return service;
}

/** Sends bytes as they are, and waits until the other side has had enough. */
async function send(url: string, text: string): Promise<void> {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.end(text);
  for await (const _ of socket.resume());
}

it("a key in any place of a call is in no log line, start line or metric", async () => {
  const env = environment();
  const written: string[] = [];
  const scopes = ["--scope", "admin", "quota:read", "fingerprint"];
  const key = (await command(["keys", "create", "--account", "ops", "--tier", "pro", ...scopes], env, written)).trim();
  const { url, metricsUrl, reload } = await running(env, written);
  const json = { "content-type": "application/json" };
  const post = (path: string, headers: Record<string, string>, body = BODY) =>
    fetch(url + path, { method: "POST", headers: { ...json, ...headers }, body });

  const placed: Promise<Response>[] = [
    post("/v1/identify", { authorization: `Bearer ${key}` }),
    post("/v1/identify", { authorization: `Basic ${key}` }),
    post("/v1/identify", { "x-api-key": key }),
    post("/v1/identify", { "x-api-key": `${key}x` }),
    post("/v1/identify", { authorization: `Bearer ${key}`, "x-api-key": `${key}x` }),
    post("/v1/identify", { cookie: `key=${key}`, referer: `https://example.com/?key=${key}`, "user-agent": key }),
    post("/v1/identify", { "x-forwarded-for": key, "x-real-ip": key, [key]: "1", "x-gateway-auth": key }),
    post("/v1/identify", { "x-gateway-auth": GATEWAY, "x-consumer-username": key, "x-consumer-groups": key }),
    post("/v1/identify", {}, `{"fingerprint":{"${key}":1}}`),
    post("/v1/identify", {}, `{"key":"${key}"`),
    post("/v1/identify", { "content-type": key }),
    post(`/v1/identify?api_key=${key}`, {}),
    post(`/${key}`, {}),
    post(`/v1/%zz${key}`, {}),
    fetch(`${url}/api/v1/keys/${key}`, { method: "DELETE", headers: { "x-api-key": key } }),
    fetch(`${url}/api/v1/rate-limit/quota/${key}`, { headers: { "x-api-key": key } }),
    post("/api/v1/rate-limit/check", { "x-api-key": key }, `{"subject":"${key}"}`),
  ];
  for (const answer of await Promise.all(placed)) await answer.arrayBuffer();
  const made = await post("/api/v1/keys", { "x-api-key": key }, '{"account":"acme","tier":"free"}');
  const { key: other } = (await made.json()) as { key: string };
  expect(other).toMatch(/^fpk_/);
  await send(url, `GET /${key} NOT-HTTP\r\nauthorization: ${key}\r\n\r\n`);
  await send(url, `GET / HTTP/1.1\r\nhost: x\r\n${key}\r\n\r\n`);
  await send(url, `GET / HTTP/1.1\r\nhost: x\r\nx-api-key: ${key.repeat(400)}\r\n\r\n`);
  reload();
  const metrics = await (await fetch(metricsUrl)).text();
  await vi.waitFor(() => expect(written.join("")).toMatch(/"action":"keys.create".*"status":201/));

  const lines = [...written, ...metrics.split("\n")];
  expect(lines.join("")).toContain('"msg":"answered"');
  // Nor any part of a key that would help to guess the rest.
  const secrets = [key.slice(9, 25), other.slice(9, 25), PEPPER, GATEWAY];
  expect(lines.filter((line) => secrets.some((secret) => line.includes(secret)))).toEqual([]);
});

it("a password of Redis is in no log line, start line or error, nor does check-config show secrets", async () => {
  const password = "password-Hw3jNd6fTg5";
  const url = redis.url.replace("redis://", `redis://user:${password}@`);
  const env = environment({ RATE_LIMIT_REDIS_URL: url, RATE_LIMIT_REDIS_PREFIX: "secrets" });
  const written: string[] = [];
  // As a console shows it, with all its causes.
  const refused = await running(env, written).then(
    () => undefined,
    (error: unknown) => inspect(error, { depth: null, showHidden: true }),
  );
  expect(refused).toContain("ERR_STORE_REFUSED");
  written.push(refused ?? "");
  written.push(await command(["check-config"], env, written), await command(["check-config", "--json"], env, written));
  await command(["keys", "list"], env, written);
  await command(["check-config"], { ...env, RATE_LIMIT_KEY_PEPPER: "short", PORT: "none" }, written);
  const all = written.join("\n");
  expect(all).toContain("redis://***@");
  expect(all).toContain('PORT is "none"');
  for (const secret of [password, PEPPER, GATEWAY, "short"]) expect(all).not.toContain(secret);
}, 30_000);
