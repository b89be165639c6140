// Looks for known vulnerabilities in what users install, and for what should not be in the lockfiles. `npm run audit`
// Where a database can't be reached it says so and goes on; with --strict, as in .github/workflows, that fails.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { LIBRARY, runtimeClosure, SERVICE } from "../build/closure.mjs";
import { ROOT } from "../run.mjs";
import { runSteps } from "../steps.mjs";

const CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index";

/** @type {import("../steps.mjs").Step[]} */
export const auditSteps = stepsOf({ strict: false });

/**
 * @param {{ strict: boolean }} options
 * @returns {import("../steps.mjs").Step[]}
 */
function stepsOf({ strict }) {
  return [
    { name: "lockfiles", run: () => refuse([...npmLockProblems(), ...cargoLockProblems()]) },
    {
      name: "npm audit",
      run: () => ask("npm", ["audit", "--json", "--package-lock-only"], npmVulnerabilities, strict, installed()),
    },
    { name: "cargo audit", run: () => ask("cargo", ["audit", "--json"], cargoVulnerabilities, strict, ROOT) },
  ];
}

/** A folder whose lockfile has what users get with the library or the service, and nothing that only we need. */
function installed() {
  const folder = join(ROOT, "target", "audit");
  mkdirSync(folder, { recursive: true });
  const { [LIBRARY.name]: _library, ...dependencies } = SERVICE["dependencies"];
  const manifest = {
    name: "installed",
    version: SERVICE.version,
    dependencies: { ...LIBRARY["dependencies"], ...dependencies },
  };
  const lock = { ...manifest, lockfileVersion: 3, requires: true, packages: { "": manifest, ...runtimeClosure() } };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify(lock));
  return folder;
}

/**
 * What npm would install that is not pinned by a checksum, does not come from a registry, or runs a script.
 *
 * @param {string} lockfile
 */
export function npmLockProblems(lockfile = readFileSync(join(ROOT, "package-lock.json"), "utf8")) {
  /** @type {{ packages: Record<string, { integrity?: string, resolved?: string, link?: boolean, hasInstallScript?: boolean }> }} */
  const { packages } = JSON.parse(lockfile);
  return Object.entries(packages).flatMap(([path, { integrity, resolved, link, hasInstallScript }]) => {
    if (link || !path.includes("node_modules/")) return []; // This repository's own.
    const problems = [];
    if (!integrity?.startsWith("sha512-")) problems.push(`${path} has no SHA-512 checksum`);
    if (resolved !== undefined && !resolved.startsWith("https://")) problems.push(`${path} comes from ${resolved}`);
    if (hasInstallScript) problems.push(`${path} runs a script when it is installed`);
    return problems;
  });
}

/**
 * Crates that don't come from crates.io, or without a checksum.
 *
 * @param {string} lockfile
 */
export function cargoLockProblems(lockfile = readFileSync(join(ROOT, "Cargo.lock"), "utf8")) {
  return lockfile.split("[[package]]\n").flatMap((entry) => {
    const name = /^name = "(.*)"$/m.exec(entry)?.[1];
    const source = /^source = "(.*)"$/m.exec(entry)?.[1];
    if (name === undefined || source === undefined) return []; // Crates of this workspace have no source.
    if (source !== CRATES_IO) return [`${name} comes from ${source}`];
    return /^checksum = "[0-9a-f]{64}"$/m.test(entry) ? [] : [`${name} has no checksum`];
  });
}

/**
 * @param {string} json What `npm audit --json` prints.
 * @returns {string[] | undefined} Undefined if nobody could be asked.
 */
export function npmVulnerabilities(json) {
  /** @type {{ vulnerabilities?: Record<string, { severity: string, range: string }> }} */
  const { vulnerabilities } = JSON.parse(json);
  if (vulnerabilities === undefined) return undefined;
  return Object.entries(vulnerabilities).map(([name, { severity, range }]) => `${name} ${range}: ${severity}`);
}

/**
 * @param {string} json What `cargo audit --json` prints.
 * @returns {string[]}
 */
export function cargoVulnerabilities(json) {
  /** @type {{ vulnerabilities: { list: { advisory: { id: string, title: string }, package: { name: string, version: string } }[] } }} */
  const { vulnerabilities } = JSON.parse(json);
  return vulnerabilities.list.map(
    ({ advisory, package: { name, version } }) => `${name} ${version}: ${advisory.id}, ${advisory.title}`,
  );
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {(json: string) => string[] | undefined} read
 * @param {boolean} strict
 * @param {string} cwd
 */
function ask(command, args, read, strict, cwd) {
  const { stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 2 ** 28 });
  let found;
  try {
    found = read(stdout);
  } catch {
    found = undefined;
  }
  if (found !== undefined) return refuse(found);
  const [reason = "it can't be run"] = stderr?.trim().split("\n") ?? [];
  const message = `NOT AUDITED: ${command} ${args[0]} could not ask its database (${reason})`;
  if (strict) throw new Error(message);
  console.warn(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}`);
}

/** @param {readonly string[]} problems */
function refuse(problems) {
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exitCode = (await runSteps(stepsOf({ strict: process.argv.includes("--strict") }))) ? 0 : 1;
}
