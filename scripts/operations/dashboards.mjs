// Asks a Prometheus that scrapes the real thing for what the dashboards would: a query without an answer is a fault.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./scene.mjs";

const FOLDER = "monitoring/dashboards/generated";
/** What Grafana puts in place of its variables. */
const VARIABLES = { $namespace: "tollkeeper", $__rate_interval: "15s", $datasource: "prometheus" };
const PATIENCE_MS = 10_000;

/** @typedef {{ title?: string, panels?: Panel[], targets?: { expr: string }[], fieldConfig?: { defaults?: { unit?: string } } }} Panel */

/**
 * @param {string} root
 * @param {import("./scene.mjs").Scene} scene
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInDashboards(root, scene) {
  const files = readdirSync(join(root, FOLDER)).filter((file) => file.endsWith(".json"));
  const problems = files.map(async (file) => {
    const dashboard = JSON.parse(readFileSync(join(root, FOLDER, file), "utf8"));
    const panels = panelsOf(dashboard).filter(({ targets }) => targets !== undefined);
    const found = await Promise.all(panels.map((panel) => wrongInPanel(panel, scene)));
    return found.flat().map((problem) => `${FOLDER}/${file}: ${problem}`);
  });
  return (await Promise.all(problems)).flat();
}

/** @param {Panel} parent @returns {Panel[]} */
function panelsOf(parent) {
  return (parent.panels ?? []).flatMap((panel) => [panel, ...panelsOf(panel)]);
}

/**
 * @param {Panel} panel
 * @param {import("./scene.mjs").Scene} scene
 */
async function wrongInPanel({ title, targets = [], fieldConfig }, scene) {
  const problems = fieldConfig?.defaults?.unit === undefined ? [`panel ${title} has no unit`] : [];
  for (const { expr } of targets) {
    const expression = Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expr);
    const problem = await until(
      `${expression} has data`,
      async () => (await scene.query(expression)).some(({ value }) => Number.isFinite(Number(value[1]))),
      PATIENCE_MS,
    ).then(
      () => undefined,
      () => `panel ${title}: no data for ${expression}`,
    );
    if (problem !== undefined) problems.push(problem);
  }
  return problems;
}
