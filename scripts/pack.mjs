// Packs the root package and the platform packages as they are published. `npm run pack [-- --all]`
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "./run.mjs";
import { setUp } from "./setup.mjs";

/** @typedef {{ name: string, version: string, main: string, os: string[], cpu: string[], libc?: string[] }} PlatformPackage */

/** @returns {(PlatformPackage & { folder: string, built: boolean })[]} Every package in npm/, and whether its binary is there. */
export function platformPackages() {
  return readdirSync(join(ROOT, "npm")).map((platform) => {
    const folder = join(ROOT, "npm", platform);
    /** @type {PlatformPackage} */
    const manifest = readManifest(folder);
    return { ...manifest, folder, built: existsSync(join(folder, manifest.main)) };
  });
}

/**
 * Packs the root package. Here its manifest gets its `optionalDependencies`: in the repository they would keep
 * `npm ci` from working until they are published.
 *
 * @param {string} output The folder to put the tarball in.
 * @returns {string} The tarball.
 */
export function packRoot(output) {
  const { scripts: _scripts, devDependencies: _dev, napi: _napi, ...manifest } = readManifest(ROOT);
  const optionalDependencies = Object.fromEntries(platformPackages().map(({ name, version }) => [name, version]));
  return pack(
    output,
    { ...manifest, optionalDependencies },
    ["dist/esm", "dist/cjs", "README.md", "CHANGELOG.md"],
    ROOT,
  );
}

/**
 * Packs a platform package.
 *
 * @param {string} output The folder to put the tarball in.
 * @param {{ folder: string, main: string, built: boolean }} platform
 * @returns {string} The tarball.
 */
export function packPlatform(output, { folder, main, built }) {
  return pack(output, readManifest(folder), ["README.md", ...(built ? [main] : [])], folder);
}

/**
 * @param {string} output
 * @param {{ name: string, version: string }} manifest
 * @param {readonly string[]} files
 * @param {string} from The folder that has the files.
 */
function pack(output, manifest, files, from) {
  const name = manifest.name.replace("@", "").replace("/", "-");
  const stage = join(ROOT, "target", "pack", name);
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  mkdirSync(output, { recursive: true });
  writeFileSync(join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  cpSync(join(ROOT, "LICENSE"), join(stage, "LICENSE"));
  for (const file of files) cpSync(join(from, file), join(stage, file), { recursive: true });
  execFileSync("npm", ["pack", "--silent", "--pack-destination", output], {
    cwd: stage,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return join(output, `${name}-${manifest.version}.tgz`);
}

/** @param {string} folder */
function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
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
  console.log(packRoot(output)); // last: it is of no use before the others are published
}
