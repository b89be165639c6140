// Makes a fresh clone ready, and an old one up to date: installs, builds. Needs nothing but Node. Run by npm start and npm test.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildNative, buildTypeScript, hasCargo } from "./build/build.mjs";
import { linkNative } from "./build/link-native.mjs";
import { ROOT, run } from "./run.mjs";

/** Does what is missing or out of date, and nothing else; ends the process if that fails. */
export async function setUp() {
  await prepare().catch((error) => {
    say(error.message);
    process.exit(1);
  });
}

async function prepare() {
  if (!isInstalled()) {
    say("installing dependencies (npm)");
    // Not `npm ci`, which fails where a registry lacks tools' binaries for other platforms; docs/decisions/npm-install.md.
    const options = ["--no-save", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
    await run("npm", ["install", ...options], { output: "stderr" });
  }
  if (newest("crates", "Cargo.toml", "Cargo.lock") > oldest(...binaries())) {
    if (hasCargo()) {
      say("building the native engine (cargo); the first time takes a minute or two");
      await buildNative();
    } else if (binaries().length === 0) {
      say("no cargo here, so the JavaScript engine will serve; install Rust for the native one");
    }
  }
  linkNative();
  if (newest("src", "tsconfig.json", "package-lock.json") > oldest("dist/cjs/package.json")) {
    say("compiling TypeScript");
    await buildTypeScript();
  }
}

/** Puts a redis-server in place for the tests, which start their own; ends the process if there is no way to. */
export async function setUpRedis() {
  if (spawnSync("redis-server", ["--version"], { stdio: "ignore" }).status === 0) return;
  try {
    if (process.getuid?.() !== 0) throw new Error("only root may install packages");
    say("installing redis-server and redis-sentinel (apt-get)");
    await run("apt-get", ["update", "-qq"], { output: "stderr" });
    const packages = ["install", "-y", "-qq", "--no-install-recommends", "redis-server", "redis-sentinel"];
    await run("apt-get", packages, { output: "stderr", env: { DEBIAN_FRONTEND: "noninteractive" } });
    // Debian starts them; the tests start their own.
    for (const service of ["redis-server", "redis-sentinel"]) {
      spawnSync("service", [service, "stop"], { stdio: "ignore" });
    }
  } catch (error) {
    say(
      `the tests need redis-server 6.2 or later: install your system's package (${error instanceof Error ? error.message : error})`,
    );
    process.exit(1);
  }
}

/** Whether node_modules holds every package in the version that package-lock.json asks for. */
function isInstalled() {
  const installed = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  const wanted = readPackages(join(ROOT, "package-lock.json"));
  const there = readPackages(installed);
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === "" || optional || there[path]?.version === version,
  );
}

/**
 * @param {string} lockfile
 * @returns {Record<string, { version?: string, optional?: boolean }>}
 */
function readPackages(lockfile) {
  return JSON.parse(readFileSync(lockfile, "utf8")).packages;
}

/** Native binaries built here, whatever the platform. */
function binaries() {
  return readdirSync(join(ROOT, "npm"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".node"))
    .map((file) => join("npm", file));
}

/** What lies beside the sources of the binary and is no part of it. */
const BESIDE = /[\\/](tests|benches|fuzz|fuzz-driver|cross-check|shuttle)([\\/]|$)|\.md$/;

/**
 * When something in these files and folders last changed, in ms; folders count too, so that a deletion does.
 *
 * @param {string[]} paths
 */
function newest(...paths) {
  const all = paths.flatMap((path) => {
    const full = join(ROOT, path);
    if (!existsSync(full)) return [];
    if (!statSync(full).isDirectory()) return [full];
    return [full, ...readdirSync(full, { recursive: true, encoding: "utf8" }).map((file) => join(full, file))];
  });
  return Math.max(...all.filter((path) => !BESIDE.test(path)).map((path) => statSync(path).mtimeMs));
}

/**
 * When the first of these files was written, in ms; never, if one is missing.
 *
 * @param {string[]} files
 */
function oldest(...files) {
  const all = files.map((file) => join(ROOT, file));
  if (all.length === 0 || !all.every((file) => existsSync(file))) return Number.NEGATIVE_INFINITY;
  return Math.min(...all.map((file) => statSync(file).mtimeMs));
}

/** @param {string} what */
function say(what) {
  process.stderr.write(`set-up: ${what}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await setUp();
