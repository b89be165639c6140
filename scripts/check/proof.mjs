// What is proven beside the tests, in short: fuzz targets on a stable compiler, orders of threads, memcheck, both
// engines of leases beside each other. `npm run proof`
import { pathToFileURL } from "node:url";
import { run, runTool } from "../run.mjs";
import { runSteps } from "../steps.mjs";
import { testCargo } from "../test.mjs";
import { memcheck } from "./memcheck.mjs";

const FUZZED = ["crates/limiter/fuzz", "crates/storage/fuzz", "crates/fingerprint/fuzz"];
const CROSS_CHECK = "crates/fingerprint/cross-check";
const SHUTTLE = ["crates/limiter/shuttle", "crates/ledger/shuttle"];

/** Each is a workspace of its own, since the product is to be built without what they need. */
const WORKSPACES = [...FUZZED, CROSS_CHECK, ...SHUTTLE, "crates/fuzz-driver"];

/** Operations that both engines of leases are compared by. */
const LEASE_OPERATIONS = "200000";

/** One folder for all, so that what they share is built once. */
const BUILT = { CARGO_TARGET_DIR: "target/proof" };

/** @type {import("../steps.mjs").Step[]} */
export const proofLintSteps = [
  { name: "rustfmt of proofs", run: () => each(WORKSPACES, (at) => run("cargo", ["fmt", ...at, "--check"])) },
  {
    name: "clippy of proofs",
    run: () =>
      each(WORKSPACES, (at) =>
        run("cargo", ["clippy", ...at, "--lib", "--tests", "--locked", "--quiet", "--", "-D", "warnings"], {
          env: BUILT,
        }),
      ),
  },
];

/** @type {import("../steps.mjs").Step[]} */
export const proofSteps = [
  {
    name: "fuzz targets",
    run: () => each(FUZZED, (at) => test(at, { FUZZ_SECONDS: process.env["FUZZ_SECONDS"] ?? "10" })),
  },
  { name: "JA4 by another implementation", run: () => each([CROSS_CHECK], (at) => test(at, {})) },
  { name: "orders of threads", run: () => each(SHUTTLE, (at) => test(at, {})) },
  { name: "memcheck", run: memcheck },
  { name: "both engines of leases", run: compareLeases },
  { name: "Next, Deno and Bun", run: () => runTool("vitest", ["run", "--project=runtimes"]) },
];

function compareLeases() {
  const env = { LEASE_OPERATIONS: process.env["LEASE_OPERATIONS"] ?? LEASE_OPERATIONS };
  return runTool("vitest", ["run", "--project=source", "test/unit/engine/lease-differential.test.ts"], { env });
}

/**
 * @param {readonly string[]} at
 * @param {NodeJS.ProcessEnv} env
 */
function test(at, env) {
  // With what is printed: the executions.
  return testCargo([...at, "--release", "--test=*", "--locked", "--quiet", "--", "--nocapture"], { ...BUILT, ...env });
}

/**
 * Goes on after one has failed, so that all are heard of.
 *
 * @param {readonly string[]} workspaces
 * @param {(at: readonly string[]) => Promise<void>} use
 */
async function each(workspaces, use) {
  /** @type {string[]} */
  const failures = [];
  for (const workspace of workspaces) {
    await use(["--manifest-path", `${workspace}/Cargo.toml`]).catch((error) => failures.push(error.message));
  }
  if (failures.length > 0) throw new Error(failures.join("\n"));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exitCode = (await runSteps(proofSteps)) ? 0 : 1;
}
