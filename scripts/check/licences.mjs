// Checks that what users get with the library or the service may be given away under its own licence.
import { execFileSync } from "node:child_process";
import { runtimeClosure } from "../build/closure.mjs";
import { ROOT } from "../run.mjs";

const ALLOWED = [
  "0BSD",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "ISC",
  "MIT",
  "Unicode-3.0",
  "Unlicense",
  "Zlib",
];

/** @returns {string[]} Each package whose licence is not one of those allowed. */
export function unwantedLicences() {
  return [...npmPackages(), ...crates()]
    .filter(({ licence }) => !isAllowed(licence))
    .map(({ name, licence }) => `${name} is under ${licence || "no licence"}`);
}

/** @param {string} licence An SPDX expression: one of `OR`, all of `AND`, slashes as older crates have them. */
function isAllowed(licence) {
  return licence
    .replaceAll(/[()]/g, "")
    .split(/ OR |\//)
    .some((choice) => choice.split(" AND ").every((part) => ALLOWED.includes(part.trim())));
}

/** What npm installs along with the library and the service. */
function npmPackages() {
  return Object.entries(runtimeClosure()).map(([path, { license }]) => ({
    name: path.replace("node_modules/", ""),
    licence: license ?? "",
  }));
}

/** What is compiled into the native binary, and what tests it. */
function crates() {
  const json = execFileSync("cargo", ["metadata", "--format-version=1", "--locked"], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  /** @type {{ packages: { name: string, license: string | null }[] }} */
  const { packages } = JSON.parse(json);
  return packages.map(({ name, license }) => ({ name, licence: license ?? "" }));
}
