// Lays the service out in a folder as the image has it: what is packed, and what that needs, in the versions of
// package-lock.json. `node scripts/build/assemble.mjs <folder>`
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { orFail, ROOT } from "../run.mjs";
import { LIBRARY, runtimeClosure, SERVICE } from "./closure.mjs";
import { packLibrary, packPlatform, packService, platformPackages } from "./pack.mjs";

/**
 * @param {string} folder
 * @returns {Promise<void>}
 */
export async function assemble(folder) {
  const packed = join(ROOT, "target", "assemble");
  mkdirSync(folder, { recursive: true });
  unpack(packService(packed), folder);
  const platforms = platformPackages().filter(({ built }) => built);
  const own = Object.fromEntries([
    locked(LIBRARY.name, packLibrary(packed), folder, {
      dependencies: LIBRARY["dependencies"],
      optionalDependencies: Object.fromEntries(platforms.map(({ name, version }) => [name, version])),
    }),
    ...platforms.map(({ name, os, cpu, libc, ...platform }) =>
      locked(name, packPlatform(packed, platform), folder, { optional: true, os, cpu, ...(libc && { libc }) }),
    ),
  ]);
  const { name, version, dependencies, bin, engines } = SERVICE;
  const packages = { "": { name, version, dependencies, bin, engines }, ...runtimeClosure(), ...own };
  const lock = { name, version, lockfileVersion: 3, requires: true, packages };
  writeFileSync(join(folder, "package-lock.json"), `${JSON.stringify(lock, null, 2)}\n`);
  const options = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  execFileSync("npm", ["ci", ...options], { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
}

/**
 * What a lockfile says of a package that was packed here.
 *
 * @param {string} name
 * @param {string} tarball
 * @param {string} folder Where the lockfile is.
 * @param {object} rest
 * @returns {[path: string, locked: object]}
 */
function locked(name, tarball, folder, rest) {
  const integrity = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  const resolved = `file:${relative(folder, tarball)}`;
  return [`node_modules/${name}`, { version: LIBRARY.version, resolved, integrity, ...rest }];
}

/**
 * @param {string} tarball
 * @param {string} folder
 */
function unpack(tarball, folder) {
  execFileSync("tar", ["-xzf", tarball, "-C", folder, "--strip-components=1"]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [, , folder] = process.argv;
  if (folder === undefined) throw new Error("usage: node scripts/build/assemble.mjs <folder>");
  await orFail(assemble(resolve(folder)));
}
