// Finds modules of a crate that import each other in a circle, which rustc allows. layers.mjs asks it of each crate.
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";

/** @typedef {{ code: string, names: Map<string, string> }} Module What it says, and what each name that it uses is. */

/**
 * Modules of tests stay out. The root is no part of a circle: what it hands on is where it comes from, and a constant of
 * its own is everybody's.
 *
 * @param {string} src The folder of the root.
 * @returns {string[][]} The modules of each circle, in the order of their names.
 */
export function circlesIn(src) {
  const modules = readModules(src);
  const imports = new Map([...modules.keys()].map((path) => [path, importsOf(path, modules)]));
  const reached = new Map([...imports.keys()].map((path) => [path, reachedFrom(path, imports)]));
  /** @type {Map<string, string[]>} */
  const circles = new Map();
  for (const [path, others] of reached) {
    const circle = [...others].filter((other) => reached.get(other)?.has(path)).sort();
    if (circle.length > 0) circles.set(circle.join(), circle);
  }
  return [...circles.values()];
}

/** @param {string} src */
function readModules(src) {
  /** @type {Map<string, Module>} */
  const modules = new Map();
  /** @type {string[]} */
  const tests = [];
  for (const file of readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".rs"))) {
    const steps = file.replace(/\.rs$/, "").split(sep);
    const path = ["crate", ...steps].join("::").replace(/::(lib|main|mod)$/, "");
    const code = readFileSync(join(src, file), "utf8")
      .replaceAll(/\/\/.*$/gm, "")
      .replaceAll(/#\[cfg\(test\)\]\s+(?:pub\S* )?mod (\w+)(?:;| \{[\s\S]*?^\})/gm, (_, name) => {
        tests.push(`${path}::${name}`);
        return "";
      })
      .replaceAll(/\buse ([^;]+);/g, (_, tree) => `use ${spread(tree).replaceAll(/::self\b/g, "")};`);
    const used = [...code.matchAll(/\buse ([^;]+);/g)].flatMap(([, paths]) => String(paths).split(","));
    const names = used
      .map((path) => path.trim())
      .map((path) => [/\w+$/.exec(path)?.[0] ?? "", path.split(" ")[0] ?? ""]);
    modules.set(path, { code, names: new Map(/** @type {[string, string][]} */ (names)) });
  }
  return new Map([...modules].filter(([path]) => !tests.some((test) => `${path}::`.startsWith(`${test}::`))));
}

/** @param {string} tree `a::{b, c::{d, e}}`; becomes `a::b, a::c::d, a::c::e`. */
function spread(tree) {
  const group = /((?:\w+::)*)\{([^{}]*)\}/;
  let paths = tree;
  while (group.test(paths)) {
    paths = paths.replace(group, (_, before, inner) =>
      inner
        .split(",")
        .map((/** @type {string} */ path) => before + path.trim())
        .join(", "),
    );
  }
  return paths;
}

/**
 * @param {string} path
 * @param {Map<string, Module>} modules
 */
function importsOf(path, modules) {
  const paths = modules.get(path)?.code.match(/\b\w+(?:::\w+)+/g) ?? [];
  const found = paths.map((used) => homeOf(used, path, modules));
  return new Set(found.filter((home) => home !== undefined && home !== path && home !== "crate"));
}

/**
 * @param {string} used A path, as `module` writes it.
 * @param {string} module
 * @param {Map<string, Module>} modules
 * @returns {string | undefined} The module that it leads to; undefined for another crate.
 */
function homeOf(used, module, modules) {
  const [first = "", ...rest] = used.split("::");
  let home = { crate: "crate", self: module, super: module.replace(/::\w+$/, "") }[first] ?? `${module}::${first}`;
  if (!modules.has(home)) return undefined;
  for (const step of rest) {
    const inner = step === "super" ? home.replace(/::\w+$/, "") : `${home}::${step}`;
    const handedOn = modules.get(home)?.names.get(step);
    if (modules.has(inner)) home = inner;
    else if (handedOn !== undefined && handedOn !== used) return homeOf(handedOn, home, modules) ?? home;
    else break;
  }
  return home;
}

/**
 * @param {string} path
 * @param {Map<string, Set<string | undefined>>} imports
 */
function reachedFrom(path, imports) {
  /** @type {Set<string>} */
  const reached = new Set();
  const next = [path];
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    for (const to of imports.get(at) ?? []) {
      if (to === undefined || reached.has(to)) continue;
      reached.add(to);
      next.push(to);
    }
  }
  return reached;
}
