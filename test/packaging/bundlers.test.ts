import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { Project, tools } from "./project.js";

const USE = `
  const limits = [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }];
  const limiter = createLimiter({ tiers: { free: { limits } } });
  console.log(JSON.stringify([limiter.engine, limiter.consume("acct:42", "free", 2).limits[0].remaining]));
`;
/** The banner that bundles of ESM usually get. */
const BANNER = "import { createRequire } from 'module'; const require = createRequire(import.meta.url);";

let folder: string;
let project: Project;

beforeAll(() => {
  folder = tools({
    "@rollup/plugin-commonjs": "29.0.3",
    "@rollup/plugin-json": "6.1.0",
    "@rollup/plugin-node-resolve": "16.0.3",
    "@rspack/core": "2.3.3",
    "@vercel/nft": "1.11.5",
    esbuild: "0.28.2",
    rollup: "4.68.8",
    webpack: "5.113.0",
  });
  project = new Project(folder);
  project.write("app.mjs", `import { createLimiter } from "tollkeeper"; ${USE}`);
  project.write("app.cjs", `const { createLimiter } = require("tollkeeper"); ${USE}`);
});
afterAll(() => rmSync(project.folder, { recursive: true, force: true }));

const esbuild = (entry: string, output: string, options: object) => `
  import { build } from "esbuild";
  const options = { platform: "node", bundle: true, entryPoints: ["${entry}"], outfile: "${output}" };
  await build({ ...options, ...${JSON.stringify(options)} });
`;
/** What webpack and rspack warn of where it is missing. */
const IGNORED = "[/Can't resolve 'ioredis'/]";
const webpack = (from: string, entry: string, output: string, options: object, ignored = "[]") => `
  import * as bundler from "${from}";
  const pack = bundler.rspack ?? bundler.default;
  const output = { path: process.cwd() + "/${dirname(output)}", filename: "${basename(output)}" };
  const options = { mode: "none", target: "node", entry: "./${entry}", output, ignoreWarnings: ${ignored}, ...${JSON.stringify(options)} };
  if (options.experiments) Object.assign(output, { module: true, chunkFormat: "module" });
  await new Promise((resolve) => pack(options, (error, stats) => {
    if (error || stats.hasErrors() || stats.hasWarnings()) throw error ?? new Error(stats.toString("errors-warnings"));
    resolve();
  }));
`;
const rollup = (entry: string, output: string, format: string, external: string[]) => `
  import commonjs from "@rollup/plugin-commonjs";
  import json from "@rollup/plugin-json";
  import { nodeResolve } from "@rollup/plugin-node-resolve";
  import { rollup } from "rollup";
  const plugins = [nodeResolve({ preferBuiltins: true }), commonjs(), json()];
  const bundle = await rollup({ input: "${entry}", plugins, external: ${JSON.stringify(external)} });
  await bundle.write({ file: "${output}", format: "${format}", inlineDynamicImports: true });
`;
const vite = (entry: string, output: string, ssr: object) => `
  import { build } from ${JSON.stringify(join(ROOT, "node_modules", "vite", "dist", "node", "index.js"))};
  const out = { ssr: "${entry}", outDir: "${dirname(output)}" };
  await build({ configFile: false, logLevel: "warn", ssr: ${JSON.stringify(ssr)}, build: out });
`;

describe.each<[string, output: string, build: (output: string) => string]>([
  ["esbuild, ESM", "esbuild/a.mjs", (to) => esbuild("app.mjs", to, { format: "esm" })],
  [
    "esbuild, ESM with the banner",
    "esbuild/b.mjs",
    (to) => esbuild("app.mjs", to, { format: "esm", banner: { js: BANNER } }),
  ],
  [
    "esbuild, ESM of require() with the banner",
    "esbuild/c.mjs",
    (to) => esbuild("app.cjs", to, { format: "esm", banner: { js: BANNER } }),
  ],
  ["esbuild, CommonJS", "esbuild/d.cjs", (to) => esbuild("app.mjs", to, { format: "cjs" })],
  [
    "esbuild, CommonJS of require(), minified",
    "esbuild/e.cjs",
    (to) => esbuild("app.cjs", to, { format: "cjs", minify: true }),
  ],
  ["esbuild, external", "esbuild/f.mjs", (to) => esbuild("app.mjs", to, { format: "esm", external: ["tollkeeper"] })],
  ["webpack, CommonJS", "webpack-a/a.cjs", (to) => webpack("webpack", "app.mjs", to, {})],
  [
    "webpack, ESM",
    "webpack-b/a.mjs",
    (to) => webpack("webpack", "app.mjs", to, { experiments: { outputModule: true } }),
  ],
  ["webpack, of require()", "webpack-c/a.cjs", (to) => webpack("webpack", "app.cjs", to, {})],
  [
    "webpack, external",
    "webpack-d/a.cjs",
    (to) => webpack("webpack", "app.mjs", to, { externals: { tollkeeper: "commonjs tollkeeper" } }),
  ],
  ["rspack, CommonJS", "rspack-a/a.cjs", (to) => webpack("@rspack/core", "app.mjs", to, {})],
  [
    "rspack, external",
    "rspack-b/a.cjs",
    (to) => webpack("@rspack/core", "app.mjs", to, { externals: { tollkeeper: "commonjs tollkeeper" } }),
  ],
  ["rollup, ESM", "rollup/a.mjs", (to) => rollup("app.mjs", to, "es", ["ioredis"])],
  ["rollup, CommonJS", "rollup/b.cjs", (to) => rollup("app.mjs", to, "cjs", ["ioredis"])],
  ["rollup, of require()", "rollup/c.mjs", (to) => rollup("app.cjs", to, "es", ["ioredis"])],
  ["rollup, external", "rollup/d.mjs", (to) => rollup("app.mjs", to, "es", ["tollkeeper"])],
  ["vite ssr", "vite-a/app.mjs", (to) => vite("app.mjs", to, {})],
  ["vite ssr, bundled whole", "vite-b/app.mjs", (to) => vite("app.mjs", to, { noExternal: ["tollkeeper"] })],
])("%s", (_, output, build) => {
  it("is built without a word, and decides natively", () => {
    project.write("build.mjs", build(output));
    const built = project.node("build.mjs");
    expect({ stderr: built.stderr, status: built.status }).toEqual({ stderr: "", status: 0 });
    expect(project.node(output)).toEqual({ stdout: '["native",8]\n', stderr: "", status: 0 });
  });
});

describe("where ioredis is not installed", () => {
  let alone: Project;
  beforeAll(() => {
    alone = new Project(folder);
    rmSync(join(alone.folder, "node_modules", "ioredis"), { recursive: true });
    for (const app of ["app.mjs", "app.cjs"]) cpSync(join(project.folder, app), join(alone.folder, app));
  });
  afterAll(() => rmSync(alone.folder, { recursive: true, force: true }));

  it.each<[string, output: string, build: (output: string) => string]>([
    ["esbuild, ESM", "a.mjs", (to) => esbuild("app.mjs", to, { format: "esm" })],
    ["esbuild, of require()", "b.cjs", (to) => esbuild("app.cjs", to, { format: "cjs" })],
    ["webpack", "webpack-a/a.cjs", (to) => webpack("webpack", "app.mjs", to, {}, IGNORED)],
    ["webpack, of require()", "webpack-b/a.cjs", (to) => webpack("webpack", "app.cjs", to, {}, IGNORED)],
    ["rspack", "rspack-a/a.cjs", (to) => webpack("@rspack/core", "app.mjs", to, {}, IGNORED)],
    ["rspack, of require()", "rspack-b/a.cjs", (to) => webpack("@rspack/core", "app.cjs", to, {}, IGNORED)],
  ])("%s builds all the same, and decides natively", (_, output, build) => {
    alone.write("build.mjs", build(output));
    expect(alone.node("build.mjs")).toMatchObject({ stderr: "", status: 0 });
    expect(alone.node(output)).toEqual({ stdout: '["native",8]\n', stderr: "", status: 0 });
  });
});

it.each(["esbuild/a.mjs", "esbuild/d.cjs", "webpack-a/a.cjs", "rspack-a/a.cjs", "rollup/a.mjs", "vite-b/app.mjs"])(
  "%s, where no binary is, decides in JavaScript and says why",
  (output) => {
    const elsewhere = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    cpSync(join(project.folder, dirname(output)), elsewhere, { recursive: true });
    const { stdout, stderr, status } = project.node(join(elsewhere, basename(output)));
    rmSync(elsewhere, { recursive: true });
    expect({ stdout, status }).toEqual({ stdout: '["js",8]\n', status: 0 });
    expect(stderr).toMatch(/TOLLKEEPER_JS_ENGINE.*@tollkeeper\/native-\S+ is not installed/);
  },
);

it.each(["app.mjs", "app.cjs"])("@vercel/nft collects the binary of %s", (entry) => {
  project.write(
    "trace.mjs",
    `import { nodeFileTrace } from "@vercel/nft";
    const { fileList } = await nodeFileTrace(["${entry}"]);
    console.log([...fileList].filter((file) => file.endsWith(".node")).length);`,
  );
  expect(project.node("trace.mjs")).toMatchObject({ stdout: "1\n", status: 0 });
});
