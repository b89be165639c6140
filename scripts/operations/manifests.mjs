// Holds manifests to Kubernetes' schemas, to kube-score's advice and to the rules of this house.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { parse, stringify } from "yaml";
import { wrongInPods } from "./pods.mjs";
import { renderAll } from "./render.mjs";
import { goModule, goTool, KUBERNETES, OPERATOR, pythonTool } from "./tools.mjs";

/** Advice of kube-score that is not taken, and why. */
const NOT_TAKEN = [
  "container-image-pull-policy", // Tags here are never moved.
  "container-security-context-user-group-id", // Numbers above 10000; those of the official images are below.
  "container-resources", // Wants CPU limits too, which throttle; `pods.mjs` asks for all else.
  "pod-probes-identical", // Redis and PostgreSQL have one way to ask.
  "pod-probes", // Wants Service ports for Jobs' pods too; `pods.mjs` asks what matters.
  "deployment-has-host-podantiaffinity", // The app spreads by topology constraints, and Kong's Redis is one.
  "statefulset-has-host-podantiaffinity",
  "deployment-replicas",
  "deployment-strategy", // Kong's own Redis is one, and forgets anyway.
  "horizontalpodautoscaler-replicas", // A desk needs one.
  "service-type",
];

/**
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInManifests(root) {
  const renderings = await renderAll(root);
  const problems = renderings.map(async ({ name, text, manifests }) => {
    const found = [
      ...(await againstSchemas(text, manifests)),
      ...(await againstScore(text)),
      ...manifests.flatMap(wrongInPods),
    ];
    return found.map((problem) => `${name}: ${problem}`);
  });
  return [...new Set((await Promise.all(problems)).flat())];
}

/**
 * Fields that Kubernetes does not know are wrong too: it would drop them without a word.
 *
 * @param {string} text
 * @param {import("./render.mjs").Manifest[]} manifests
 */
async function againstSchemas(text, manifests) {
  const own = manifests.filter(({ apiVersion }) => apiVersion.startsWith("monitoring.coreos.com/"));
  const builtIn = manifests.filter((manifest) => !own.includes(manifest));
  const problems = own.flatMap(againstOperator);
  if (builtIn.length === 0) return problems;
  const command = join(await pythonTool("kubernetes-validate"), "kubernetes-validate");
  const minor = KUBERNETES.split(".").slice(0, 2).join(".");
  const file = own.length === 0 ? text : builtIn.map((manifest) => stringify(manifest)).join("---\n");
  return withFile(file, (path) => {
    const { status, stdout, stderr } = spawnSync(command, ["--strict", "--kubernetes-version", minor, path], {
      encoding: "utf8",
    });
    const lines = `${stdout}${stderr}`
      .split("\n")
      .filter((line) => /^(ERROR|WARN|Traceback|\w*Error)/.test(line))
      .map((line) => line.replace(/^\w+ \S+ did not validate for resource /, ""));
    if (status === 0) return problems;
    return [...problems, ...(lines.length > 0 ? lines : [`kubernetes-validate: ${stdout}${stderr}`])];
  });
}

/** @param {import("./render.mjs").Manifest} manifest */
function againstOperator(manifest) {
  const { kind, metadata } = manifest;
  const validate = operatorSchema(kind);
  if (validate(manifest)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    const unknown = params["additionalProperty"] === undefined ? "" : ` (${params["additionalProperty"]})`;
    return `${kind} ${metadata.name}: ${instancePath || "/"} ${message}${unknown}`;
  });
}

/** @type {Map<string, import("ajv").ValidateFunction>} */
const schemas = new Map();

/** @param {string} kind */
function operatorSchema(kind) {
  let validate = schemas.get(kind);
  if (validate === undefined) {
    const plural = `${kind.toLowerCase()}s`;
    const file = join(
      goModule(OPERATOR).Dir,
      "example/prometheus-operator-crd",
      `monitoring.coreos.com_${plural}.yaml`,
    );
    const schema = parse(readFileSync(file, "utf8")).spec.versions[0].schema.openAPIV3Schema;
    schema.properties.metadata = { type: "object" };
    closeObjects(schema);
    validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    schemas.set(kind, validate);
  }
  return validate;
}

/**
 * Makes a schema refuse fields that it does not name, as the server's strict validation does.
 *
 * @param {any} schema
 */
function closeObjects(schema) {
  if (schema === null || typeof schema !== "object") return;
  const open = schema["x-kubernetes-preserve-unknown-fields"] === true || schema.properties === undefined;
  if (schema.type === "object" && !open && Object.keys(schema.properties).length > 0) {
    schema.additionalProperties ??= false;
  }
  if (schema["x-kubernetes-int-or-string"]) delete schema.type;
  if (schema.pattern?.includes("(?i)")) delete schema.pattern; // Go's, which JavaScript has not.
  for (const part of Object.values(schema.properties ?? {})) closeObjects(part);
  closeObjects(schema.items);
  closeObjects(typeof schema.additionalProperties === "object" ? schema.additionalProperties : null);
}

/** @param {string} text */
async function againstScore(text) {
  const command = await goTool("kubeScore");
  const args = ["score", "--output-format", "ci", "--kubernetes-version", `v${KUBERNETES.replace(/\.\d+$/, "")}`];
  for (const test of NOT_TAKEN) args.push("--ignore-test", test);
  const { stdout, stderr, status } = spawnSync(command, [...args, "-"], { encoding: "utf8", input: text });
  const problems = stdout.split("\n").filter((line) => /^\[(CRITICAL|WARNING)\]/.test(line));
  return status !== 0 && problems.length === 0 ? [`kube-score: ${stderr}`] : problems;
}

/**
 * @template T
 * @param {string} text
 * @param {(path: string) => T} use
 * @returns {T}
 */
function withFile(text, use) {
  const folder = mkdtempSync(join(tmpdir(), "tk-"));
  try {
    const path = join(folder, "manifests.yaml");
    writeFileSync(path, text);
    return use(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
