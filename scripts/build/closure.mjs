// What each package that is published brings along at run time, in the versions of package-lock.json.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../run.mjs";

/**
 * @typedef {{ version?: string, resolved?: string, integrity?: string, license?: string, link?: boolean,
 *   hasInstallScript?: boolean, dependencies?: Record<string, string>, optionalDependencies?: Record<string, string>,
 *   peerDependencies?: Record<string, string>, peerDependenciesMeta?: Record<string, { optional?: boolean }> }} Locked
 * @typedef {Record<string, Locked>} Packages By path, such as `node_modules/zod`.
 */

/** @param {string} folder @returns {Record<string, any> & { name: string, version: string }} */
export function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

/** What is published beside the binaries: the library, and the service that stands on it. */
export const LIBRARY = readManifest(ROOT);
export const SERVICE = readManifest(join(ROOT, "npm", "service"));

/**
 * The packages that the library and the service install, without themselves. An app brings the library's optional peers;
 * where it is the service that does, they are among its own dependencies.
 *
 * @param {Packages} [packages]
 * @returns {Packages}
 */
export function runtimeClosure(packages = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages) {
  const { [LIBRARY.name]: _library, ...dependencies } = SERVICE["dependencies"];
  /** @type {Packages} */
  const found = {};
  const open = [
    { path: "", locked: /** @type {Locked} */ ({ dependencies: { ...LIBRARY["dependencies"], ...dependencies } }) },
  ];
  for (const { path, locked } of open) {
    for (const name of Object.keys({
      ...locked.dependencies,
      ...requiredPeers(locked),
      ...locked.optionalDependencies,
    })) {
      const at = placeOf(name, path, packages);
      if (at === undefined) {
        if (locked.optionalDependencies?.[name] !== undefined) continue;
        throw new Error(`package-lock.json has no ${name}, which ${path || "we"} need; run npm install`);
      }
      if (found[at] !== undefined) continue;
      const { dev: _dev, ...entry } = /** @type {Locked & { dev?: boolean }} */ (packages[at]);
      found[at] = entry;
      open.push({ path: at, locked: entry });
    }
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** @param {Locked} locked */
function requiredPeers({ peerDependencies = {}, peerDependenciesMeta = {} }) {
  return Object.fromEntries(Object.entries(peerDependencies).filter(([name]) => !peerDependenciesMeta[name]?.optional));
}

/**
 * Where Node finds a package from another one.
 *
 * @param {string} name
 * @param {string} from
 * @param {Packages} packages
 */
function placeOf(name, from, packages) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    const at = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
    if (packages[at] !== undefined) return at;
    if (folder === "") return undefined;
  }
}
