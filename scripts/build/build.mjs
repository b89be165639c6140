// Builds the native binary into its platform package (npm/), and TypeScript into dist/. `npm run build`
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { orFail, ROOT, runTool } from "../run.mjs";
import { linkNative } from "./link-native.mjs";

/** Keeps the paths of this machine out of the binary, where panic messages would have them. */
const WITHOUT_PATHS = `--remap-path-prefix=${process.env["CARGO_HOME"] ?? join(homedir(), ".cargo")}=/cargo --remap-path-prefix=${ROOT}=/`;

/**
 * Builds the cdylib of crates/node and puts it where its platform package has it: `npm/<platform>/tollkeeper.<platform>.node`.
 *
 * @param {readonly string[]} [args] More arguments for `napi build`, such as `--target`.
 */
export async function buildNative(args = []) {
  const output = join(ROOT, "target", "napi");
  rmSync(output, { recursive: true, force: true });
  await runTool(
    "napi",
    ["build", "--platform", "--release", "--no-js", "--manifest-path", "crates/node/Cargo.toml", "--output-dir", output]
      .concat(args)
      .concat("--", "--locked"),
    { output: "stderr", env: { RUSTFLAGS: `${process.env["RUSTFLAGS"] ?? ""} ${WITHOUT_PATHS}`.trim() } },
  );
  for (const file of readdirSync(output)) {
    const platform = /^tollkeeper\.(.+)\.node$/.exec(file)?.[1];
    if (platform) renameSync(join(output, file), join(ROOT, "npm", platform, file));
  }
}

/** Compiles the library into dist/esm and dist/cjs, then the service, which finds it there by its name, into dist/service. */
export async function buildTypeScript() {
  rmSync(join(ROOT, "dist"), { recursive: true, force: true });
  await runTool("tsc", ["-p", "src"], { output: "stderr" });
  await runTool("tsc", ["-p", "src/tsconfig.cjs.json"], { output: "stderr" });
  await runTool("tsc", ["-p", "src/service"], { output: "stderr" });
  removeImportMeta(join(ROOT, "dist", "cjs", "engine", "binding.js"));
  requireInTry(join(ROOT, "dist", "cjs", "store", "ioredis.js"));
  await joinModules(join(ROOT, "dist", "esm"));
  // Written last, so that set-up can tell by it that all went well.
  writeFileSync(join(ROOT, "dist", "cjs", "package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);
}

/**
 * Joins modules into one for each entry, and one for each set of entries that they are common to: Node takes a good part of
 * a millisecond to find and link each. CommonJS, which is loaded faster, is left as it is.
 *
 * @param {string} folder That has them; their types stay.
 */
async function joinModules(folder) {
  const { rolldown } = await import("rolldown"); // Not before set-up has installed it.
  const modules = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js"));
  const entries = modules.filter((file) => /^([^/\\]+[/\\])?index\.js$/.test(file));
  const bundle = await rolldown({
    input: Object.fromEntries(entries.map((file) => [file.replace(/\.js$/, ""), join(folder, file)])),
    external: /^[^./]/,
    platform: "node",
  });
  const joined = `${folder}.joined`;
  await bundle.write({ dir: joined, chunkFileNames: "common/[name].js" });
  for (const file of modules) rmSync(join(folder, file));
  cpSync(joined, folder, { recursive: true });
  rmSync(joined, { recursive: true });
}

/**
 * CommonJS has no `import.meta`. Where it has no `__filename` either, since it was bundled into ESM, the program's path does.
 *
 * @param {string} file The one that asks for it where there is no `__filename`.
 */
function removeImportMeta(file) {
  const text = readFileSync(file, "utf8");
  if (!text.includes("import.meta.url")) throw new Error(`${file} has no import.meta.url; is it elsewhere now?`);
  writeFileSync(file, text.replace("import.meta.url", "process.argv[1]"));
}

/**
 * Bundlers let a package be missing where `try` stands right around its `require`; TypeScript puts a function in between.
 *
 * @param {string} file The one that loads such a package.
 */
function requireInTry(file) {
  const text = readFileSync(file, "utf8");
  const call = /Promise\.resolve\(\)\.then\(\(\) => (__importStar\(require\("ioredis"\)\))\)/;
  if (!call.test(text)) throw new Error(`${file} loads no ioredis; is that elsewhere now?`);
  writeFileSync(file, text.replace(call, "$1"));
}

/** Whether cargo is there to build the native binary with. */
export function hasCargo() {
  return spawnSync("cargo", ["--version"], { stdio: "ignore" }).status === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await orFail(buildNative(process.argv.slice(2)));
  linkNative();
  await orFail(buildTypeScript());
}
