// Holds Redis and PostgreSQL to what keeps usage and routes: a real Redis is started on the configuration that is deployed
// and asked what it makes of it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderAll } from "./render.mjs";
import { freePort, until } from "./scene.mjs";
import { debianTools } from "./tools.mjs";

/** What of a container's memory Redis may fill; the rest is for the pages that change while its file is rewritten. */
const LEAST_PART = 0.5;
const MOST_PART = 0.7;
const MEBIBYTE = 2 ** 20;
const UNITS = /** @type {Record<string, number>} */ ({ Mi: MEBIBYTE, Gi: 1024 * MEBIBYTE });

/** @typedef {import("./render.mjs").Manifest} Manifest */

/**
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInStores(root) {
  await debianTools("redis-server");
  const problems = [];
  for (const { name, manifests } of await renderAll(root)) {
    if (name === "monitoring") continue;
    const found = [...(await wrongInRedis(manifests)), ...wrongInPostgres(manifests)];
    problems.push(...found.map((problem) => `${name}: ${problem}`));
  }
  return problems;
}

/** @param {Manifest[]} manifests */
async function wrongInRedis(manifests) {
  const redis = manifests.find(({ kind, metadata }) => kind === "StatefulSet" && metadata.name === "redis");
  const file = manifests.map((manifest) => manifest["data"]?.["redis.conf"]).find((text) => text !== undefined);
  if (redis === undefined || file === undefined) return ["there is no StatefulSet redis with a redis.conf"];
  const server = redis["spec"].template.spec.containers.find((/** @type {any} */ { name }) => name === "redis");
  const settings = await settingsOf(file);
  if (typeof settings === "string") return [`redis.conf: Redis refuses it: ${settings}`];
  const problems = [];
  const wanted = { appendonly: "yes", appendfsync: "everysec", "maxmemory-policy": "noeviction", dir: "/data" };
  for (const [name, value] of Object.entries(wanted)) {
    if (settings[name] !== value) problems.push(`redis.conf: ${name} is ${settings[name]}; it may be ${value} only`);
  }
  const part = Number(settings["maxmemory"]) / bytesOf(server.resources.limits.memory);
  if (part < LEAST_PART || part > MOST_PART) {
    problems.push(
      `redis.conf: maxmemory is ${Math.round(part * 100)} % of the container's limit; it may be 50 to 70 %`,
    );
  }
  const claim = redis["spec"].volumeClaimTemplates?.[0]?.metadata.name;
  const mounted = server.volumeMounts.find((/** @type {any} */ { mountPath }) => mountPath === settings["dir"]);
  if (mounted === undefined || mounted.name !== claim)
    problems.push(`redis: ${settings["dir"]} is on no volume of its own`);
  return problems;
}

/**
 * @param {string} file
 * @returns {Promise<Record<string, string | undefined> | string>} By name, or why there are none.
 */
async function settingsOf(file) {
  const folder = mkdtempSync(join(tmpdir(), "tkr-"));
  try {
    const path = join(folder, "redis.conf");
    // All but where it writes, which is not here.
    writeFileSync(path, file.replace(/^dir .*$/m, `dir ${folder}`));
    const port = `${await freePort()}`;
    const server = spawn("redis-server", [path, "--port", port, "--bind", "127.0.0.1"], { stdio: "pipe" });
    let output = "";
    for (const stream of [server.stdout, server.stderr]) stream.on("data", (text) => (output += text));
    const ask = (/** @type {string[]} */ ...args) =>
      execFileSync("redis-cli", ["-p", port, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    await until("it answers", async () => server.exitCode !== null || ask("ping").startsWith("PONG"));
    if (server.exitCode !== null) return output.trim();
    const settings = JSON.parse(ask("--json", "-3", "config", "get", "*"));
    const ended = once(server, "exit");
    server.kill("SIGTERM");
    await ended;
    return { ...settings, dir: /^dir (.*)$/m.exec(file)?.[1] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {Manifest[]} manifests */
function wrongInPostgres(manifests) {
  const postgres = manifests.find(({ kind, metadata }) => kind === "StatefulSet" && metadata.name === "postgres");
  const [container] = postgres?.["spec"].template.spec.containers ?? [];
  if (container === undefined) return ["there is no StatefulSet postgres"];
  const problems = [];
  if (!/^postgres:15\./.test(container.image)) problems.push(`postgres: ${container.image} is not PostgreSQL 15`);
  const claim = postgres?.["spec"].volumeClaimTemplates?.[0]?.metadata.name;
  const mount = container.volumeMounts.find((/** @type {any} */ { name }) => name === claim)?.mountPath;
  const data = container.env.find((/** @type {any} */ { name }) => name === "PGDATA")?.value;
  if (mount === undefined || !data?.startsWith(`${mount}/`)) {
    problems.push(`postgres: PGDATA is ${data}; it may be a folder in the volume only, as ${mount}/pgdata`);
  }
  return problems;
}

/** @param {string} quantity As `512Mi`. */
function bytesOf(quantity) {
  const [, number, unit = ""] = /^(\d+)(\w*)$/.exec(quantity) ?? [];
  return Number(number) * (UNITS[unit] ?? 1);
}
