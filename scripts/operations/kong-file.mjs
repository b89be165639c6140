import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { kongFileSchema } from "./kong-schema.mjs";

/** @typedef {import("zod").infer<typeof kongFileSchema>} KongFile Kong's declarative file. */
/** @typedef {KongFile["services"][number]} Service */
/** @typedef {KongFile["consumers"][number]} Consumer */
/** @typedef {Service["plugins"][number]} Plugin */

/**
 * Reads the file that is deployed, with the secrets that decK would put in from its environment.
 *
 * @param {Readonly<Record<string, string>>} environment
 * @returns {KongFile}
 */
export function readKongFile(environment) {
  const file = new URL("../../k8s/base/kong/kong.yaml", import.meta.url);
  return fill(kongFileSchema.parse(parse(readFileSync(file, "utf8"))), environment);
}

/**
 * @template T
 * @param {T} value
 * @param {Readonly<Record<string, string>>} environment
 * @returns {T}
 */
function fill(value, environment) {
  const text = JSON.stringify(value).replaceAll(/\$\{\{ env \\"(DECK_[A-Z_]+)\\" \}\}/g, (_, name) => {
    const found = environment[name];
    if (found === undefined) throw new Error(`decK's environment has no ${name}`);
    return found;
  });
  return JSON.parse(text);
}

/** @typedef {{ [One in Plugin as One["name"]]: One["config"] }} Configs */

/**
 * What a plugin is told, by its name; undefined where it is not used.
 *
 * @template {keyof Configs} Name
 * @param {readonly Plugin[] | undefined} plugins
 * @param {Name} name
 * @returns {Configs[Name] | undefined}
 */
export function configOf(plugins, name) {
  return /** @type {Configs[Name] | undefined} */ (plugins?.find((plugin) => plugin.name === name)?.config);
}
