// Measures which lines of crates/ the Rust tests run, with LLVM's own tools. docs/decisions has the reasons.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ROOT, run } from "../run.mjs";

const FLOOR = 95;
const PROFILES = join(ROOT, "target", "coverage", "profiles");
/** Other people's code, tests, and the thin binding, which is tested from TypeScript. */
const LEFT_OUT = String.raw`/(\.cargo|rustc|tests|benches|target)/|crates/node/`;

/** What makes cargo build and run tests so that they leave profiles behind. */
export const coverageEnvironment = {
  CARGO_TARGET_DIR: join(ROOT, "target", "coverage"),
  LLVM_PROFILE_FILE: join(PROFILES, "%p-%m.profraw"),
  RUSTFLAGS: "-C instrument-coverage",
};

/** Forgets the profiles of earlier runs. */
export function clearProfiles() {
  rmSync(PROFILES, { recursive: true, force: true });
}

/** Prints the lines covered file by file, and fails below the floor. */
export async function reportRustCoverage() {
  const merged = join(PROFILES, "all.profdata");
  const profiles = readdirSync(PROFILES).filter((file) => file.endsWith(".profraw"));
  await run(llvmTool("llvm-profdata"), [
    "merge",
    "-sparse",
    "-o",
    merged,
    ...profiles.map((file) => join(PROFILES, file)),
  ]);
  const objects = testBinaries().flatMap((binary) => ["-object", binary]);
  const json = execFileSync(
    llvmTool("llvm-cov"),
    ["export", "-summary-only", `-instr-profile=${merged}`, `-ignore-filename-regex=${LEFT_OUT}`, ...objects],
    { encoding: "utf8", maxBuffer: 2 ** 28 },
  );
  /** @type {{ files: { filename: string, summary: Summary }[], totals: Summary }} */
  const { files, totals } = JSON.parse(json).data[0];
  for (const { filename, summary } of files) console.log(line(filename.replace(ROOT, ""), summary));
  console.log(line("all of crates/", totals));
  if (totals.lines.percent < FLOOR) throw new Error(`coverage of crates/ is below ${FLOOR} % of lines`);
}

/** @typedef {{ lines: { count: number, covered: number, percent: number } }} Summary */

/**
 * @param {string} name
 * @param {Summary} summary
 */
function line(name, { lines }) {
  return `${lines.percent.toFixed(1).padStart(5)} % of ${String(lines.count).padStart(5)} lines  ${name}`;
}

/** The test binaries that cargo has just run. */
function testBinaries() {
  const messages = execFileSync(
    "cargo",
    ["test", "--workspace", "--locked", "--no-run", "--quiet", "--message-format=json"],
    { cwd: ROOT, encoding: "utf8", env: { ...process.env, ...coverageEnvironment }, maxBuffer: 2 ** 28 },
  );
  return messages
    .split("\n")
    .filter((text) => text.startsWith("{"))
    .map((text) => JSON.parse(text))
    .filter(({ profile, executable }) => profile?.test && executable)
    .map(({ executable }) => String(executable));
}

/**
 * The tool of the LLVM that rustc has, since the formats change between versions: rustup's `llvm-tools`, or else Debian's
 * `llvm-22`, for example.
 *
 * @param {string} name
 */
function llvmTool(name) {
  const [, host, version] = /host: (.+)[\s\S]*LLVM version: (\d+)/.exec(rustc("-vV")) ?? [];
  const bundled = join(rustc("--print=sysroot"), "lib", "rustlib", String(host), "bin", name);
  return existsSync(bundled) ? bundled : `${name}-${version}`;
}

/** @param {string} arg */
function rustc(arg) {
  return execFileSync("rustc", [arg], { encoding: "utf8" }).trim();
}
