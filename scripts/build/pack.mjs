// Packs the library, the service and the platforms' packages as they are published. `npm run pack [-- --all]`
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../run.mjs";
import { setUp } from "../setup.mjs";
import { LIBRARY, readManifest, SERVICE } from "./closure.mjs";

/** @typedef {{ name: string, version: string, main: string, os: string[], cpu: string[], libc?: string[] }} PlatformPackage */

/** @returns {(PlatformPackage & { folder: string, built: boolean })[]} Every package of a binary, and whether that is there. */
export function platformPackages() {
  const platforms = readdirSync(join(ROOT, "npm")).filter((folder) => folder !== "service");
  return platforms.map((platform) => {
    const folder = join(ROOT, "npm", platform);
    const manifest = /** @type {PlatformPackage} */ (readManifest(folder));
    return { ...manifest, folder, built: existsSync(join(folder, manifest.main)) };
  });
}

/**
 * Packs the library. Here its manifest gets its `optionalDependencies`: in the repository they would keep
 * `npm ci` from working until they are published.
 *
 * @param {string} output The folder to put the tarball in.
 * @returns {string} The tarball.
 */
export function packLibrary(output) {
  const { scripts: _scripts, devDependencies: _dev, napi: _napi, ...manifest } = LIBRARY;
  const optionalDependencies = Object.fromEntries(platformPackages().map(({ name, version }) => [name, version]));
  return pack(
    output,
    { ...manifest, optionalDependencies },
    asTheyAre(["dist/esm", "dist/cjs", "README.md", "CHANGELOG.md"]),
    ROOT,
  );
}

/**
 * Packs the service.
 *
 * @param {string} output The folder to put the tarball in.
 * @returns {string} The tarball.
 */
export function packService(output) {
  return pack(output, SERVICE, { "README.md": "npm/service/README.md", dist: "dist/service" }, ROOT);
}

/**
 * Packs a platform package.
 *
 * @param {string} output The folder to put the tarball in.
 * @param {{ folder: string, main: string, built: boolean }} platform
 * @returns {string} The tarball.
 */
export function packPlatform(output, { folder, main, built }) {
  return pack(output, readManifest(folder), asTheyAre(["README.md", ...(built ? [main] : [])]), folder);
}

/**
 * @param {string} output
 * @param {{ name: string, version: string, optionalDependencies?: Record<string, string> }} manifest
 * @param {Record<string, string>} files What they are called in the package, and in `from`.
 * @param {string} from
 */
function pack(output, manifest, files, from) {
  const name = manifest.name.replace("@", "").replace("/", "-");
  const stage = join(ROOT, "target", "pack", name);
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  mkdirSync(output, { recursive: true });
  writeFileSync(join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  cpSync(join(ROOT, "LICENSE"), join(stage, "LICENSE"));
  for (const [name, file] of Object.entries(files)) cpSync(join(from, file), join(stage, name), { recursive: true });
  execFileSync("npm", ["pack", "--silent", "--pack-destination", output], {
    cwd: stage,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return join(output, `${name}-${manifest.version}.tgz`);
}

/** @param {readonly string[]} files */
function asTheyAre(files) {
  return Object.fromEntries(files.map((file) => [file, file]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await setUp();
  const all = platformPackages();
  const missing = all.filter(({ built }) => !built);
  if (process.argv.includes("--all") && missing.length > 0) {
    throw new Error(`not built: ${missing.map(({ main }) => main).join(", ")}`);
  }
  const output = join(ROOT, "packages");
  for (const platform of all.filter(({ built }) => built)) console.log(packPlatform(output, platform));
  // In this order, since none is of use before those that it depends on are published.
  console.log(packLibrary(output));
  console.log(packService(output));
}
