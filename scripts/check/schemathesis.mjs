// Has Schemathesis call a running service in whatever ways its OpenAPI allows, or does not. `npm run schemathesis`
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { orFail, ROOT, run } from "../run.mjs";
import { setUp } from "../setup.mjs";

const VERSION = "4.32.5";
const VENV = join(ROOT, "target", `schemathesis-${VERSION}`);
const PROGRAM = join(VENV, "bin", "schemathesis");
const CLI = join(ROOT, "dist", "service", "cli", "main.js");

export async function schemathesis() {
  await setUp();
  await install();
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-schemathesis-"));
  const env = {
    ...process.env,
    HOST: "127.0.0.1",
    PORT: "0",
    RATE_LIMIT_FILE: join(folder, "limits.redb"),
    RATE_LIMIT_DEMO_KEYS: "never",
    RATE_LIMIT_LOG_LEVEL: "error",
    // Calls without a key are part of it, and should be told 401 rather than 429.
    RATE_LIMIT_IP_FALLBACK_LIMIT: "100000000",
  };
  try {
    const scopes = ["fingerprint", "quota:read", "admin"].flatMap((scope) => ["--scope", scope]);
    const create = [CLI, "keys", "create", "--account", "fuzzer", "--tier", "enterprise", ...scopes];
    const key = execFileSync(process.execPath, create, { env, encoding: "utf8" }).trim();
    // The account of the examples.
    execFileSync(process.execPath, [CLI, "keys", "create", "--account", "42", "--tier", "free"], { env });
    const service = spawn(process.execPath, [CLI, "serve"], { env, stdio: ["ignore", "pipe", "inherit"] });
    try {
      await fuzz(await addressOf(service), key);
    } finally {
      if (service.exitCode === null) {
        service.kill("SIGTERM");
        await once(service, "exit");
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function install() {
  if (existsSync(PROGRAM)) return;
  rmSync(VENV, { recursive: true, force: true });
  if (spawnSync("python3", ["-m", "venv", VENV], { stdio: "ignore" }).status !== 0) {
    if (process.getuid?.() !== 0) throw new Error("Schemathesis needs Python's venv: install python3-venv");
    await run("apt-get", ["update", "-qq"]);
    await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "python3-venv"]);
    rmSync(VENV, { recursive: true, force: true });
    await run("python3", ["-m", "venv", VENV]);
  }
  await run(join(VENV, "bin", "pip"), ["install", "--quiet", `schemathesis==${VERSION}`]);
}

/**
 * The address that a service prints first.
 *
 * @param {import("node:child_process").ChildProcessByStdio<null, import("node:stream").Readable, null>} service
 */
async function addressOf(service) {
  for await (const line of createInterface({ input: service.stdout })) {
    const url = / on (http:\S+),/.exec(line)?.[1];
    if (url !== undefined) {
      service.stdout.resume();
      return url;
    }
  }
  throw new Error("the service did not start");
}

/**
 * @param {string} url
 * @param {string} key
 */
async function fuzz(url, key) {
  const { SCHEMATHESIS_EXAMPLES: examples = "25", SCHEMATHESIS_SEED: seed } = process.env;
  const options = ["--max-examples", examples, "--continue-on-failure", "--generation-database", "none"];
  await run(PROGRAM, [
    "--config-file",
    join(ROOT, "scripts", "check", "schemathesis.toml"),
    "run",
    `${url}/openapi.json`,
    "--header",
    `Authorization: Bearer ${key}`,
    ...options,
    ...(seed === undefined ? [] : ["--seed", seed]),
  ]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await orFail(schemathesis());
