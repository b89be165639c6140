import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort, until } from "../../scripts/operations/scene.mjs";
import { debianTools } from "../../scripts/operations/tools.mjs";
import { ROOT } from "./checkout.js";

const folder = mkdtempSync(join(tmpdir(), "tkb-"));
const servers: ChildProcess[] = [];

beforeAll(() => debianTools("redis-server"));
afterAll(async () => {
  for (const server of servers) {
    const ended = once(server, "exit");
    server.kill("SIGTERM");
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

/** A Redis with the configuration that is deployed, and its data in this folder. */
async function startRedis(data: string): Promise<(...args: string[]) => string> {
  const deployed = readFileSync(join(ROOT, "k8s/base/redis/redis.conf"), "utf8");
  const file = `${data}.conf`;
  writeFileSync(file, deployed.replace(/^dir .*$/m, `dir ${data}`));
  const port = String(await freePort());
  servers.push(spawn("redis-server", [file, "--port", port, "--bind", "127.0.0.1"], { stdio: "ignore" }));
  const redis = (...args: string[]) => execFileSync("redis-cli", ["-p", port, ...args], { encoding: "utf8" }).trim();
  await until("Redis answers", async () => redis("ping") === "PONG");
  return redis;
}

test("usage.rdb, put as appendonly.aof into an empty volume, is what Redis starts with and keeps", async () => {
  const [old, restored, backup] = ["old", "restored", "usage.rdb"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const data of [old, restored]) mkdirSync(data);
  const before = await startRedis(old);
  before("set", "used", "42");
  before("--rdb", backup);
  cpSync(backup, join(restored, "appendonly.aof"));
  const after = await startRedis(restored);
  expect(after("get", "used")).toBe("42");
  expect(after("config", "get", "appendonly")).toBe("appendonly\nyes");
});
