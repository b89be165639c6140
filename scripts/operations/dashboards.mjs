// Asks a Prometheus that scrapes the real thing for what the dashboards would: a query without an answer is a fault.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { selectorsOf } from "./rules.mjs";
import { until } from "./scene.mjs";

const FOLDER = "monitoring/dashboards/generated";
/** What Grafana puts in place of its variables. */
const VARIABLES = { $namespace: "tollkeeper", $__rate_interval: "15s", $datasource: "prometheus" };
const PATIENCE_MS = 10_000;

/** Where every query goes: what the viewer has chosen. */
const DATASOURCE = "$datasource";

/** @typedef {{ title?: string, type?: string, datasource?: { uid?: string }, panels?: Panel[], targets?: { expr: string, datasource?: { uid?: string } }[], fieldConfig?: { defaults?: { unit?: string } } }} Panel */

/**
 * @param {string} root
 * @param {import("./scene.mjs").Scene} scene
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInDashboards(root, scene) {
  const files = readdirSync(join(root, FOLDER)).filter((file) => file.endsWith(".json"));
  const problems = files.map(async (file) => {
    const dashboard = JSON.parse(readFileSync(join(root, FOLDER, file), "utf8"));
    const panels = panelsOf(dashboard).filter(({ type }) => type !== "row");
    const found = [
      ...wrongInVariables(dashboard),
      ...(await Promise.all(panels.map((panel) => wrongInPanel(panel, scene)))).flat(),
    ];
    return found.map((problem) => `${FOLDER}/${file}: ${problem}`);
  });
  return (await Promise.all(problems)).flat();
}

/** @param {{ templating?: { list?: { name: string }[] } }} dashboard */
function wrongInVariables({ templating }) {
  const variables = (templating?.list ?? []).map(({ name }) => name);
  return ["datasource", "namespace"].filter((name) => !variables.includes(name)).map((name) => `no variable ${name}`);
}

/** @param {Panel} parent @returns {Panel[]} */
function panelsOf(parent) {
  return (parent.panels ?? []).flatMap((panel) => [panel, ...panelsOf(panel)]);
}

/**
 * @param {Panel} panel
 * @param {import("./scene.mjs").Scene} scene
 */
async function wrongInPanel({ title, datasource, targets = [], fieldConfig }, scene) {
  const problems = fieldConfig?.defaults?.unit === undefined ? [`panel ${title} has no unit`] : [];
  if (targets.length === 0) problems.push(`panel ${title} has no query`);
  for (const { uid } of [datasource ?? {}, ...targets.flatMap((target) => target.datasource ?? [])]) {
    if (uid !== DATASOURCE) problems.push(`panel ${title}: its data source is ${uid}; it may be ${DATASOURCE} only`);
  }
  for (const { expr } of targets) {
    for (const selector of selectorsOf(expr)) {
      if (selector.includes('namespace="$namespace"')) continue;
      problems.push(`panel ${title}: ${selector} asks for other namespaces than the chosen one, $namespace`);
    }
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
