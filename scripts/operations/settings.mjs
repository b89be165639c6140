// Asks the app whether it would start with what its pods are given.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../run.mjs";
import { renderAll } from "./render.mjs";

const APP = "fingerprint-api";
/** In the place of every secret; long enough for each. */
const SECRET = "in-the-place-of-a-secret-that-is-not-here";

/**
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInSettings(root) {
  const renderings = await renderAll(root);
  return renderings.flatMap(({ name, manifests }) => {
    const app = manifests.find(({ kind, metadata }) => kind === "Deployment" && metadata.name === APP);
    if (app === undefined) return [];
    const config = manifests.find(
      ({ kind, metadata }) => kind === "ConfigMap" && metadata.name === configOf(app["spec"].template.spec),
    );
    const [container] = app["spec"].template.spec.containers;
    return refusalOf(container.env, config?.["data"] ?? {}).map((problem) => `${name}: ${problem}`);
  });
}

/** @param {any} pod */
function configOf(pod) {
  return pod.volumes.find((/** @type {any} */ { configMap }) => configMap !== undefined)?.configMap.name;
}

/**
 * @param {{ name: string, value?: string }[]} variables
 * @param {Record<string, string>} files
 */
function refusalOf(variables, files) {
  const folder = mkdtempSync(join(tmpdir(), "tka-"));
  try {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
    /** @type {Record<string, string>} */
    const environment = {};
    for (const { name, value = SECRET } of variables) {
      const filled = value.replaceAll(/\$\((\w+)\)/g, (_, other) => environment[other] ?? SECRET);
      environment[name] = name === "RATE_LIMIT_CONFIG" ? join(folder, filled.split("/").at(-1) ?? "") : filled;
    }
    const env = { PATH: process.env["PATH"], ...environment };
    const cli = join(ROOT, "dist/service/cli/main.js");
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "check-config"], { env, encoding: "utf8" });
    return status === 0 ? [] : [`the app refuses its settings: ${stderr || stdout}`.replaceAll(`${folder}/`, "")];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
