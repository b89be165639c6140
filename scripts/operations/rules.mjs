// Holds alerts to promtool, to the metrics that are really there, and to what whoever is woken by one needs.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
  return [
    ...rules.flatMap((rule) => wrongInRule(root, rule)),
    ...orphans(root, rules),
    ...missingTests(root),
    ...(await failedTests(root)),
  ];
}

/**
 * Runbooks that no alert leads to.
 *
 * @param {string} root
 * @param {Rule[]} rules
 */
function orphans(root, rules) {
  const named = rules.map(({ annotations = {} }) => basename(annotations["runbook_url"] ?? ""));
  return readdirSync(join(root, RUNBOOKS))
    .filter((file) => !named.includes(file))
    .map((file) => `${RUNBOOKS}/${file}: no alert names it`);
}

/** @typedef {{ name: string, input_series?: unknown[], alert_rule_test?: { alertname: string, exp_alerts?: unknown[] }[] }} Test */

/**
 * What each alert is to be tested for: whether a test of it is such a one.
 *
 * @type {Record<string, (test: { name: string, isFired: boolean, isAbsent: boolean }) => boolean>}
 */
const CASES = {
  "that it fires": ({ isFired, isAbsent }) => isFired && !isAbsent,
  "that it does not fire": ({ name, isFired, isAbsent }) => !isFired && !isAbsent && !name.endsWith("the edge"),
  "the edge": ({ name, isAbsent }) => name.endsWith("the edge") && !isAbsent,
  "what it does without its series": ({ isAbsent }) => isAbsent,
};

/** @param {string} root */
function missingTests(root) {
  return Object.entries(ruleGroups(root)).flatMap(([file, groups]) => {
    const path = join(root, RULES, testsOf(file));
    if (!existsSync(path)) return [`${RULES}/${testsOf(file)} is missing`];
    const tests = /** @type {Test[]} */ (parse(readFileSync(path, "utf8")).tests).flatMap(
      ({ name, input_series = [], alert_rule_test = [] }) =>
        alert_rule_test.map(({ alertname, exp_alerts = [] }) => ({
          name,
          alertname,
          isFired: exp_alerts.length > 0,
          isAbsent: input_series.length === 0,
        })),
    );
    return groups
      .flatMap(({ rules }) => rules)
      .flatMap(({ alert }) =>
        Object.entries(CASES)
          .filter(([, is]) => !tests.some((test) => test.alertname === alert && is(test)))
          .map(([what]) => `alert ${alert}: ${RULES}/${testsOf(file)} does not test ${what}`),
      );
  });
}

/** @param {string} file Of rules. */
function testsOf(file) {
  return file.replace(".yaml", ".test.yaml");
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
 */
async function failedTests(root) {
  await debianTools("promtool");
  const folder = mkdtempSync(join(tmpdir(), "tkr-"));
  try {
    const problems = [];
    for (const [file, groups] of Object.entries(ruleGroups(root))) {
      writeFileSync(join(folder, file), stringify({ groups }));
      problems.push(...promtool(folder, ["check", "rules", "--lint=all", "--lint-fatal", file]));
      const tests = testsOf(file);
      if (!existsSync(join(root, RULES, tests))) continue;
      cpSync(join(root, RULES, tests), join(folder, tests));
      problems.push(...promtool(folder, ["test", "rules", tests]));
    }
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
 * Alerts on series that nothing exports never fire, and nobody notices: neither the metric nor a label of it may be made up.
 *
 * @param {string} root
 * @param {import("./scene.mjs").Scene} scene
 */
export async function alertsOnNothing(root, scene) {
  const rules = Object.values(ruleGroups(root)).flatMap((groups) => groups.flatMap((group) => group.rules));
  const problems = rules.map(async ({ alert, expr }) => {
    const missing = await Promise.all(
      selectorsOf(expr).map(async (selector) => ((await scene.query(selector)).length > 0 ? [] : [selector])),
    );
    return missing.flat().map((selector) => `alert ${alert}: nothing exports ${selector}`);
  });
  return (await Promise.all(problems)).flat();
}

/**
 * The series that a PromQL expression asks for, each as a selector.
 *
 * @param {string} expression
 */
export function selectorsOf(expression) {
  const selectors = new Set();
  parser.parse(expression).iterate({
    enter: ({ name, from, to }) => {
      if (name === "VectorSelector") selectors.add(expression.slice(from, to));
    },
  });
  return [...selectors];
}
