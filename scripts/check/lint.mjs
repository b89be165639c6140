// Formatters, linters and the other checks that run no test. `npm run lint`
import { execFileSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { ROOT, run, runTool } from "../run.mjs";
import { runSteps } from "../steps.mjs";
import { wrongImports } from "./layers.mjs";
import { unwantedLicences } from "./licences.mjs";
import { wrongManifests } from "./manifests.mjs";
import { retiredWords, unknownTerms } from "./words.mjs";

/** @type {import("../steps.mjs").Step[]} */
export const lintSteps = [
  { name: "biome", run: () => runTool("biome", ["ci", "--error-on-warnings", "."]) },
  { name: "rustfmt", run: () => run("cargo", ["fmt", "--all", "--check"]) },
  {
    name: "clippy",
    run: () => run("cargo", ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]),
  },
  { name: "shellcheck", run: () => run("shellcheck", [".ci/run", ...committed("*.sh")]) },
  { name: "yamllint", run: () => run("yamllint", ["--strict", ...committed("*.yml", "*.yaml", ".yamllint")]) },
  { name: "layers", run: () => refuse(wrongImports(ROOT)) },
  { name: "manifests", run: () => refuse(wrongManifests(ROOT)) },
  { name: "words", run: () => refuse([...retiredWords(ROOT), ...unknownTerms(ROOT)]) },
  { name: "licences", run: () => refuse(unwantedLicences()) },
];

/**
 * Files that git has, or would have if they were added.
 *
 * @param {string[]} patterns
 */
function committed(...patterns) {
  const list = ["ls-files", "--cached", "--others", "--exclude-standard", "--", ...patterns];
  return execFileSync("git", list, { cwd: ROOT, encoding: "utf8" }).split("\n").filter(Boolean);
}

/** @param {readonly string[]} problems */
function refuse(problems) {
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exitCode = (await runSteps(lintSteps)) ? 0 : 1;
}
