// Has Schemathesis call a running service in whatever ways its OpenAPI allows, or does not. `npm run schemathesis`, each time in
// other ways; CI makes the same calls each time, so that what it says of a change is of the change.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { orFail, ROOT, run } from "../run.mjs";
import { CLI, startService } from "../service.mjs";
import { setUp } from "../setup.mjs";

const VERSION = "4.32.5";
const VENV = join(ROOT, "target", `schemathesis-${VERSION}`);
const PROGRAM = join(VENV, "bin", "schemathesis");

/** @param {string} [seed] What the calls follow from. */
export async function schemathesis(seed = process.env["SCHEMATHESIS_SEED"]) {
  await setUp();
  await install();
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-schemathesis-"));
  const env = {
    ...process.env,
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
    const service = await startService(env);
    try {
      await fuzz(service.url, key, seed);
    } finally {
      await service.stop();
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
 * @param {string} url
 * @param {string} key
 * @param {string} [seed]
 */
async function fuzz(url, key, seed) {
  const { SCHEMATHESIS_EXAMPLES: examples = "25" } = process.env;
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
