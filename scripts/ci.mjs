// Everything that passes or fails, for .ci/run: all steps run, also after one has failed.
import { execFileSync } from "node:child_process";
import { auditSteps } from "./check/audit.mjs";
import { checkSteps } from "./check/k8s.mjs";
import { lintSteps } from "./check/lint.mjs";
import { proofLintSteps, proofSteps } from "./check/proof.mjs";
import { schemathesis } from "./check/schemathesis.mjs";
import { ROOT, run, runTool } from "./run.mjs";
import { runSteps } from "./steps.mjs";
import { printTotals, testSteps } from "./test.mjs";

const before = changedFiles();
const passed = await runSteps([
  ...lintSteps,
  { name: "API reference", run: () => run("npm", ["run", "--silent", "docs"]) },
  ...proofLintSteps,
  ...auditSteps,
  ...testSteps({ coverage: true }),
  { name: "schemathesis", run: () => schemathesis("1") },
  ...proofSteps,
  ...checkSteps,
  { name: "planted faults of operations are found", run: () => runTool("vitest", ["run", "--project=operations"]) },
  { name: "benchmark runs", run: () => run("npm", ["run", "--silent", "bench", "--", "engine", "--quick"]) },
  { name: "generated files are as generated", run: regenerate },
]);
process.exitCode = printTotals() && passed ? 0 : 1;

async function regenerate() {
  await runTool("napi", ["create-npm-dirs"]);
  const after = changedFiles();
  if (after !== before) throw new Error(`these files were not as the tools write them:\n${after}`);
}

function changedFiles() {
  return execFileSync("git", ["status", "--porcelain"], { cwd: ROOT, encoding: "utf8" });
}
