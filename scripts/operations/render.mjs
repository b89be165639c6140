import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { goTool } from "./tools.mjs";

/**
 * An object as Kubernetes has it.
 *
 * @typedef {{ apiVersion: string, kind: string, metadata: { name: string, labels?: Record<string, string> }, [field: string]: any }} Manifest
 */

/** What is deployed: each of these is rendered, and each rendering is checked. */
export const OVERLAYS = ["base", "overlays/development", "overlays/production", "overlays/redis-sentinel"];

/**
 * Renders a folder by kustomize.
 *
 * @param {string} folder
 * @returns {Promise<{ text: string, manifests: Manifest[] }>}
 */
export async function render(folder) {
  const kustomize = await goTool("kustomize");
  const text = execFileSync(kustomize, ["build", folder], { encoding: "utf8", maxBuffer: 2 ** 26 });
  return { text, manifests: parseAllDocuments(text).map((document) => document.toJS()) };
}

/**
 * Renders every overlay, and what watches them.
 *
 * @param {string} root
 */
export async function renderAll(root) {
  const folders = [...OVERLAYS.map((overlay) => join("k8s", overlay)), "monitoring"];
  return Promise.all(folders.map(async (name) => ({ name, ...(await render(join(root, name))) })));
}

/**
 * Each overlay together with what watches it, as they are deployed.
 *
 * @param {string} root
 */
export async function renderWithMonitoring(root) {
  const renderings = await renderAll(root);
  const monitoring = renderings.filter(({ name }) => name === "monitoring").flatMap(({ manifests }) => manifests);
  return renderings
    .filter(({ name }) => name !== "monitoring")
    .map(({ name, manifests }) => ({ name, manifests: [...manifests, ...monitoring] }));
}
