// Asks a Prometheus that scrapes the real thing for what the dashboards would: a query without an answer is a fault.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { drawDashboard } from "./picture.mjs";
import { selectorsOf } from "./rules.mjs";
import { until } from "./scene.mjs";

const FOLDER = "monitoring/dashboards/generated";
/** What Grafana puts in place of its variables. */
const VARIABLES = { $namespace: "tollkeeper", $__rate_interval: "15s", $datasource: "prometheus" };
const PATIENCE_MS = 10_000;

/** Where every query goes: what the viewer has chosen. */
const DATASOURCE = "$datasource";

/** How long the pictures look back, in s, and how many calls come meanwhile. */
const DRAWN_S = 90;
const DRAWN_CALLS = 600;

/** @typedef {{ expr: string, legendFormat?: string, datasource?: { uid?: string } }} Target */
/** @typedef {{ title?: string, type?: string, gridPos?: import("./picture.mjs").Place, datasource?: { uid?: string }, panels?: Panel[], targets?: Target[], fieldConfig?: { defaults?: { unit?: string } } }} Panel */

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

/**
 * Calls the app for a while, and draws what the dashboards then show.
 *
 * @param {string} root
 * @param {import("./scene.mjs").Scene} scene
 * @returns {Promise<Record<string, string>>} An SVG by the dashboard's name.
 */
export async function drawDashboards(root, scene) {
  const fromMs = Date.now();
  const toMs = fromMs + DRAWN_S * 1000;
  // Ever more, then ever less.
  for (let second = 0; second < DRAWN_S; second++) {
    const share = (Math.PI / 2 / DRAWN_S) * Math.sin((Math.PI * (second + 0.5)) / DRAWN_S);
    await scene.call(Math.round(DRAWN_CALLS * share));
    await new Promise((resolve) => setTimeout(resolve, fromMs + (second + 1) * 1000 - Date.now()));
  }
  /** @type {Record<string, string>} */
  const pictures = {};
  for (const file of readdirSync(join(root, FOLDER))) {
    const dashboard = JSON.parse(readFileSync(join(root, FOLDER, file), "utf8"));
    const panels = panelsOf(dashboard).map((panel) => drawn(panel, scene, fromMs, toMs));
    pictures[file.replace(".json", "")] = drawDashboard(dashboard.title, await Promise.all(panels));
  }
  return pictures;
}

/**
 * @param {Panel} panel
 * @param {import("./scene.mjs").Scene} scene
 * @param {number} fromMs
 * @param {number} toMs
 * @returns {Promise<import("./picture.mjs").Drawn>}
 */
async function drawn({ title = "", type = "", gridPos, targets = [], fieldConfig }, scene, fromMs, toMs) {
  if (gridPos === undefined) throw new Error(`panel ${title} has no place`);
  const points = [];
  for (const { expr, legendFormat = "" } of targets) {
    for (const { metric, values } of await scene.queryRange(filledIn(expr), fromMs, toMs)) {
      const label = legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, name) => metric[name] ?? "").trim();
      points.push(...values.map(([at, value]) => ({ label, time: new Date(at * 1000), value: Number(value) })));
    }
  }
  const there = points.filter(({ value }) => Number.isFinite(value));
  if (type !== "row" && there.length === 0) throw new Error(`panel ${title} has nothing to show`);
  const unit = fieldConfig?.defaults?.unit ?? "none";
  return { title, type, unit, place: gridPos, figure: there.at(-1)?.value ?? 0, points: there };
}

/** @param {string} expr */
function filledIn(expr) {
  return Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expr);
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
    const expression = filledIn(expr);
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
