// Checks that the library and the service ask npm for what they import, no more, and in the versions of the repository.
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../run.mjs";

/** @typedef {Record<string, string>} Ranges */

/** All that `npm install tollkeeper` may bring, beside itself and the platform's binary. */
const OF_THE_LIBRARY = ["ipaddr.js", "structured-headers"];
/** What no source names, and is needed all the same: as a peer of fastify-type-provider-zod and of its types. */
const UNNAMED = ["openapi-types"];

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*"((?:@[\w.-]+\/)?[a-z][\w./-]*)"/g;

/**
 * @param {string} root A folder that has both manifests, and src/.
 * @returns {string[]} What is wrong, one line each.
 */
export function wrongManifests(root) {
  const library = read(root);
  const service = read(join(root, "npm", "service"));
  const { tollkeeper, ...own } = service.dependencies;
  const sources = sourcesOf(join(root, "src"));
  const ofService = importsOf(sources.filter((file) => /[\\/]src[\\/]service[\\/]/.test(file)));
  const ofLibrary = importsOf(sources.filter((file) => !/[\\/]src[\\/]service[\\/]/.test(file)));
  const peers = library.peerDependencies ?? {};
  const problems = [
    ...differences("dependencies", Object.keys(library.dependencies), OF_THE_LIBRARY),
    ...ofLibrary
      .filter((name) => library.dependencies[name] === undefined && peers[name] === undefined)
      .map(
        (name) => `src imports ${name}, which package.json has neither among dependencies nor among peerDependencies`,
      ),
    ...Object.keys(peers)
      .filter((name) => library.peerDependenciesMeta?.[name]?.optional !== true)
      .map((name) => `package.json: the peer ${name} is not optional`),
    ...ofService
      .filter((name) => service.dependencies[name] === undefined && name !== "tollkeeper")
      .map((name) => `src/service imports ${name}, which npm/service/package.json has not among dependencies`),
    ...Object.keys(own)
      .filter((name) => !ofService.includes(name) && !UNNAMED.includes(name) && peers[name] === undefined)
      .map((name) => `npm/service/package.json: nothing imports ${name}`),
    ...Object.entries(own)
      .filter(([name, range]) => library.devDependencies?.[name] !== range)
      .map(
        ([name, range]) =>
          `npm/service/package.json asks for ${name} ${range}, and package.json, for development, for ${library.devDependencies?.[name] ?? "none"}`,
      ),
  ];
  if (tollkeeper !== library.version || service.version !== library.version)
    problems.push(
      `npm/service/package.json is of version ${service.version} and asks for tollkeeper ${tollkeeper}; both are to be ${library.version}`,
    );
  return problems;
}

/**
 * @param {string} folder
 * @returns {{ version: string, dependencies: Ranges, devDependencies?: Ranges, peerDependencies?: Ranges, peerDependenciesMeta?: Record<string, { optional?: boolean }> }}
 */
function read(folder) {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

/** @param {string} src */
function sourcesOf(src) {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".ts")).map((file) => join(src, file));
}

/**
 * The packages that files import, types too.
 *
 * @param {readonly string[]} files
 */
function importsOf(files) {
  const specifiers = files.flatMap((file) => {
    const source = readFileSync(file, "utf8").replaceAll(/^\s*(\/?\*|\/\/).*$/gm, "");
    return [...source.matchAll(IMPORT)].map(([, specifier]) => String(specifier));
  });
  const names = specifiers.map((specifier) => specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/"));
  return [...new Set(names)].filter((name) => !name.startsWith("node:") && !builtinModules.includes(name)).sort();
}

/**
 * @param {string} field
 * @param {readonly string[]} are
 * @param {readonly string[]} mayBe
 */
function differences(field, are, mayBe) {
  return are
    .filter((name) => !mayBe.includes(name))
    .map((name) => `package.json: ${name} is not one of the ${field} that the library may have: ${mayBe.join(", ")}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const wrong = wrongManifests(ROOT);
  console.log(wrong.length === 0 ? "the manifests agree" : wrong.join("\n"));
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
