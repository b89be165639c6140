// Checks that imports in src/ point one way, that no crate has a circle, and that the Rust core knows no Node.
// docs/decisions has the reasons.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, posix } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../run.mjs";
import { circlesIn } from "./rust-circles.mjs";

/**
 * What each folder of src/, or file right in it, may import of the others. The service has floors of its own, and imports
 * nothing of the library by path: what it can't do with the public entries, nobody can.
 */
export const MAY_IMPORT = /** @type {Record<string, string[]>} */ ({
  errors: [],
  version: [],
  engine: ["errors", "version"],
  limiter: ["engine", "errors"],
  ledger: ["limiter", "engine", "errors"],
  store: ["engine", "errors"],
  shared: ["limiter", "store", "engine", "errors"],
  create: ["shared", "limiter", "store", "engine", "errors"],
  index: ["create", "shared", "limiter", "store", "engine", "errors"],
  http: ["limiter", "engine", "errors"],
  fastify: ["http", "limiter", "errors"],
  express: ["http", "limiter", "errors"],
  fetch: ["http", "limiter", "errors"],
  prometheus: ["shared", "limiter", "engine", "errors"],
  fingerprint: ["engine", "errors"],
  "service/errors": [],
  "service/json-path": [],
  "service/meters": [],
  "service/problem-codes": [],
  "service/webhooks": ["service/errors"],
  "service/management": ["service/webhooks", "service/errors", "service/problem-codes"],
  "service/alerts": ["service/webhooks", "service/management"],
  "service/config": ["service/errors", "service/json-path", "service/meters"],
  service: [
    "service/alerts",
    "service/management",
    "service/webhooks",
    "service/config",
    "service/errors",
    "service/json-path",
    "service/meters",
    "service/problem-codes",
  ],
  "service/cli": ["service", "service/webhooks", "service/management", "service/config", "service/errors"],
});

/**
 * The folders that may import a package, or those of a scope, so that `import "tollkeeper"` loads none of them. What is
 * not here may be imported nowhere: Biome passes a package that the repository has for its development alone.
 */
const ONLY_IN = /** @type {Record<string, string[]>} */ ({
  "@fastify/cors": ["service"],
  "@fastify/helmet": ["service"],
  "@fastify/swagger": ["service"],
  "@tollkeeper": ["engine"],
  commander: ["service"],
  fastify: ["fastify", "service"],
  "fastify-type-provider-zod": ["service"],
  "find-my-way": ["service"],
  ioredis: ["store"],
  "ipaddr.js": ["http"],
  "openapi-types": ["service"],
  "prom-client": ["prometheus", "service"],
  standardwebhooks: ["service"],
  "structured-headers": ["http"],
  yaml: ["service"],
  zod: ["service"],
});

const LIBRARY = "tollkeeper";

const COMMENT = /^\s*(?:\/\*\*[\s\S]*?\*\/|\/\/.*$)/gm;
const IMPORT = /\b(?:(?:from|import)\s*|(?:import|require|resolve)\s*\(\s*(?:\/\*.*?\*\/\s*)*)["'`]([^"'`\n]+)["'`]/g;

/**
 * @param {string} root A folder that has src/ and crates/.
 * @returns {string[]} What is wrong, one line each.
 */
export function wrongImports(root) {
  const { name, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const entries = Object.keys(exports).map((entry) => name + entry.slice(1));
  return [...wrongInSource(join(root, "src"), entries), ...wrongInCrates(join(root, "crates"))];
}

/**
 * @param {string} src
 * @param {string[]} entries Public ones of the library: `tollkeeper`, `tollkeeper/fastify` and so on.
 */
function wrongInSource(src, entries) {
  return readdirSync(src, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => /\.[cm]?ts$/.test(file))
    .flatMap((file) => {
      const source = readFileSync(join(src, file), "utf8").replaceAll(COMMENT, "");
      const problems = [...source.matchAll(IMPORT)].map(([, specifier]) => problemOf(file, String(specifier), entries));
      return problems.flatMap((problem) => (problem === undefined ? [] : [`src/${file}: ${problem}`]));
    });
}

/**
 * @param {string} file
 * @param {string} specifier
 * @param {string[]} entries
 */
function problemOf(file, specifier, entries) {
  const from = layerOf(file);
  const mayImport = MAY_IMPORT[from];
  if (mayImport === undefined) return `${from} is not one of the layers in scripts/check/layers.mjs`;
  if (specifier.startsWith(".")) {
    const to = layerOf(posix.join(dirname(file), specifier));
    return to === from || mayImport.includes(to) ? undefined : `${from} may not import ${to} (${specifier})`;
  }
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const folder = String(from.split("/")[0]);
  if (name === LIBRARY && folder !== "service") return `${from} is of the library, and may not import it by name`;
  if (name === LIBRARY && !entries.includes(specifier)) return `${specifier} is no public entry of the library`;
  const only = ONLY_IN[name] ?? ONLY_IN[name.replace(/\/.*/, "")];
  return isBuiltin(specifier) || name === LIBRARY || only?.includes(folder)
    ? undefined
    : `${from} may not import ${name}`;
}

/** @param {string} file Relative to src/. */
function layerOf(file) {
  const [folder = "", part = ""] = file.replace(/\.[cm]?[jt]s$/, "").split("/");
  return `${folder}/${part}` in MAY_IMPORT ? `${folder}/${part}` : folder;
}

/** @param {string} crates */
function wrongInCrates(crates) {
  return cratesIn(crates).flatMap((crate) => {
    const [name, manifest] = [posix.join("crates", crate), readFileSync(join(crates, crate, "Cargo.toml"), "utf8")];
    const src = join(crates, crate, "src");
    const circles = existsSync(src) ? circlesIn(src) : [];
    const wrong = circles.map((circle) => `${name}: modules in a circle: ${circle.join(", ")}`);
    if (crate !== "node" && /^\s*napi/m.test(manifest)) wrong.push(`${name}: only crates/node may depend on napi`);
    return wrong;
  });
}

/** Every folder with a manifest, also within another crate. */
function cratesIn(/** @type {string} */ folder, within = "") {
  /** @type {string[]} */
  const found = existsSync(join(folder, within, "Cargo.toml")) ? [within] : [];
  for (const entry of readdirSync(join(folder, within), { withFileTypes: true })) {
    if (!entry.isDirectory() || ["src", "target", "node_modules"].includes(entry.name)) continue;
    found.push(...cratesIn(folder, posix.join(within, entry.name)));
  }
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const wrong = wrongImports(ROOT);
  console.log(wrong.length === 0 ? "imports point one way" : wrong.join("\n"));
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
