// Holds alerts to promtool, to the metrics that are really there, and to what whoever is woken by one needs.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { parse, stringify } from "yaml";
import { debianTools } from "./tools.mjs";

const RULES = "monitoring/rules";
const RUNBOOKS = "monitoring/runbooks";
const SEVERITIES = ["critical", "warning"];

/** @typedef {{ alert: string, expr: string, for?: string, labels?: Record<string, string>, annotations?: Record<string, string> }} Rule */
/** @typedef {{ name: string, rules: Rule[] }} Group */

/**
 * The rule groups, by the file that has them.
 *
 * @param {string} root
 * @returns {Record<string, Group[]>}
 */
export function ruleGroups(root) {
  const files = readdirSync(join(root, RULES)).filter((file) => /^[a-z-]+\.yaml$/.test(file));
  return Object.fromEntries(
    files.map((file) => [file, parse(readFileSync(join(root, RULES, file), "utf8")).spec.groups]),
  );
}

/**
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInRules(root) {
  const rules = Object.values(ruleGroups(root)).flatMap((groups) => groups.flatMap((group) => group.rules));
  return [...rules.flatMap((rule) => wrongInRule(root, rule)), ...(await failedTests(root, rules))];
}

/**
 * @param {string} root
 * @param {Rule} rule
 */
function wrongInRule(root, { alert, labels = {}, annotations = {} }) {
  const problems = [];
  if (!SEVERITIES.includes(labels["severity"] ?? "")) problems.push(`severity may be ${SEVERITIES.join(" or ")}`);
  for (const annotation of ["summary", "description", "runbook_url"]) {
    if (!annotations[annotation]) problems.push(`it has no ${annotation}`);
  }
  const runbook = join(RUNBOOKS, basename(annotations["runbook_url"] ?? ""));
  if (!annotations["runbook_url"]?.endsWith(runbook) || !existsSync(join(root, runbook))) {
    problems.push(`its runbook ${runbook} is missing`);
  }
  return problems.map((problem) => `alert ${alert}: ${problem}`);
}

/**
 * Runs promtool's tests on the rules as Prometheus would load them.
 *
 * @param {string} root
 * @param {Rule[]} rules
 */
async function failedTests(root, rules) {
  await debianTools("promtool");
  const folder = mkdtempSync(join(tmpdir(), "tkr-"));
  try {
    const problems = [];
    const tested = new Set();
    for (const [file, groups] of Object.entries(ruleGroups(root))) {
      writeFileSync(join(folder, file), stringify({ groups }));
      problems.push(...promtool(folder, ["check", "rules", "--lint=all", "--lint-fatal", file]));
      const tests = file.replace(".yaml", ".test.yaml");
      if (!existsSync(join(root, RULES, tests))) problems.push(`${RULES}/${tests} is missing`);
      else {
        const text = readFileSync(join(root, RULES, tests), "utf8");
        for (const [, alert] of text.matchAll(/alertname: (\w+)/g)) tested.add(alert);
        writeFileSync(join(folder, tests), text);
        problems.push(...promtool(folder, ["test", "rules", tests]));
      }
    }
    for (const { alert } of rules) if (!tested.has(alert)) problems.push(`alert ${alert}: no test names it`);
    return problems;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} folder
 * @param {string[]} args
 */
function promtool(folder, args) {
  const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: folder, encoding: "utf8" });
  return status === 0 ? [] : [`promtool ${args.join(" ")}:\n${stdout}${stderr}`];
}

/**
 * Alerts on metrics that nothing exports never fire, and nobody notices.
 *
 * @param {string} root
 * @param {import("./scene.mjs").Scene} scene
 */
export async function alertsOnNothing(root, scene) {
  const exported = await scene.metrics();
  return Object.values(ruleGroups(root))
    .flatMap((groups) => groups.flatMap((group) => group.rules))
    .flatMap(({ alert, expr }) =>
      metricsOf(expr)
        .filter((metric) => !exported.has(metric))
        .map((metric) => `alert ${alert}: nothing exports ${metric}`),
    );
}

/**
 * The names of the metrics in a PromQL expression.
 *
 * @param {string} expression
 */
function metricsOf(expression) {
  const names = new Set();
  parser.parse(expression).iterate({
    enter: ({ name, node, from, to }) => {
      const isMetric = name === "Identifier" && node.parent?.name === "VectorSelector";
      if (isMetric) names.add(expression.slice(from, to));
    },
  });
  return [...names];
}
