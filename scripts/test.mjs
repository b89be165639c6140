// Runs everything that passes or fails: cargo, types, vitest with packaging. `npm test [-- --coverage]`
import { createWriteStream, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { hasCargo } from "./build/build.mjs";
import { clearProfiles, coverageEnvironment, reportRustCoverage } from "./check/rust-coverage.mjs";
import { ROOT, run, runTool } from "./run.mjs";
import { setUp, setUpRedis } from "./setup.mjs";
import { runSteps } from "./steps.mjs";

const RESULTS = join(ROOT, "target", "test-results");
const CARGO_LOG = join(RESULTS, "cargo.log");
const VITEST_LOG = join(RESULTS, "vitest.log");
const VITEST_JSON = join(RESULTS, "vitest.json");

/**
 * @param {{ coverage: boolean }} options Whether to hold the tests to the floor of coverage as well.
 * @returns {import("./steps.mjs").Step[]}
 */
export function testSteps({ coverage }) {
  rmSync(RESULTS, { recursive: true, force: true });
  mkdirSync(RESULTS, { recursive: true });
  const cargo = [
    {
      name: "cargo test",
      run: () => testCargo(["--workspace", "--locked", "--no-fail-fast"], coverage ? coverageEnvironment : {}),
    },
    ...(coverage ? [{ name: "coverage of crates/", run: reportRustCoverage }] : []),
  ];
  if (coverage) clearProfiles();
  return [
    { name: "types", run: () => runTool("tsc", ["-p", "."]) },
    ...(hasCargo() ? cargo : []),
    { name: coverage ? "vitest, coverage of src/" : "vitest", run: () => vitest(coverage ? ["--coverage"] : []) },
  ];
}

/**
 * Prints the summaries of both runners and the sum of their tests.
 *
 * @returns {boolean} Whether there were tests, and none failed.
 */
export function printTotals() {
  const cargo = read(CARGO_LOG).match(/^test result: .*$/gm) ?? [];
  const summary = read(VITEST_LOG).match(/^ *(?:Test Files|Tests|Duration) .*$/gm) ?? [];
  console.log(`\n${[...cargo, ...summary].join("\n")}`);
  let [passed, failed] = vitestTotals();
  for (const result of cargo) {
    const [, ok, bad] = /(\d+) passed; (\d+) failed/.exec(result) ?? [];
    passed += Number(ok);
    failed += Number(bad);
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0;
}

/**
 * Runs Rust tests, which the totals then count.
 *
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
export async function testCargo(args, env) {
  mkdirSync(RESULTS, { recursive: true });
  const log = createWriteStream(CARGO_LOG, { flags: "a" });
  await run("cargo", ["test", ...args], { env, tee: (chunk) => log.write(chunk) });
}

/** @param {readonly string[]} args */
async function vitest(args) {
  const log = createWriteStream(VITEST_LOG);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${VITEST_JSON}`];
  await runTool("vitest", ["run", "--project=source", "--project=packaging", ...reporters, ...args], {
    env: { NO_COLOR: "1", FORCE_COLOR: undefined },
    tee: (chunk) => log.write(chunk),
  });
}

/** @returns {[passed: number, failed: number]} A file that could not even be loaded counts as one failure. */
function vitestTotals() {
  const json = read(VITEST_JSON);
  if (json === "") return [0, 1];
  /** @type {{ numPassedTests: number, numFailedTests: number, testResults: { status: string, assertionResults: unknown[] }[] }} */
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(json);
  const broken = testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
  );
  return [numPassedTests, numFailedTests + broken.length];
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await setUp();
  await setUpRedis();
  const passed = await runSteps(testSteps({ coverage: process.argv.includes("--coverage") }));
  process.exitCode = printTotals() && passed ? 0 : 1;
}
