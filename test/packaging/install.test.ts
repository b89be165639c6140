import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packLibrary, packPlatform, platformPackages } from "../../scripts/pack.mjs";
import { ROOT } from "../../scripts/run.mjs";

const TIERS = `{ free: { limits: [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1.5 }] } }`;
const USE = `
  const limiter = createLimiter({ tiers: ${TIERS}, engine: ENGINE });
  const { allowed, limits } = limiter.consume("acct:42", "free", 2);
  console.log(JSON.stringify([limiter.engine, allowed, limits[0].remaining]));
`;
/** Node and the system's tools, but no cargo. */
const PATH = [dirname(process.execPath), "/usr/bin", "/bin"].join(delimiter);
const ENVIRONMENT = { ...process.env, PATH, NODE_V8_COVERAGE: undefined, NODE_OPTIONS: undefined };

let folder: string;
let tarballs: { root: string; platforms: Record<string, string> };

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  const output = join(folder, "tarballs");
  const platforms = platformPackages().map((platform) => [platform.name, packPlatform(output, platform)]);
  tarballs = { root: packLibrary(output), platforms: Object.fromEntries(platforms) };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An empty project that installs the tarball; npm finds the platform packages beside it instead of in the registry. */
function install(name: string, ...args: string[]): string {
  const project = join(folder, name);
  mkdirSync(project);
  const overrides = Object.fromEntries(
    Object.entries(tarballs.platforms).map(([name, path]) => [name, `file:${path}`]),
  );
  writeFileSync(join(project, "package.json"), JSON.stringify({ name, private: true, overrides }));
  const options = ["--prefer-offline", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error"];
  execFileSync("npm", ["install", ...options, ...args, tarballs.root], { cwd: project, env: ENVIRONMENT });
  return project;
}

function node(project: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    cwd: project,
    env: { ...ENVIRONMENT, ...env },
    encoding: "utf8",
  });
  return { stdout, stderr, status };
}

function esm(engine: string): string[] {
  return [
    "--input-type=module",
    "-e",
    `import { createLimiter } from "tollkeeper"; ${USE.replace("ENGINE", `"${engine}"`)}`,
  ];
}

function commonJs(engine: string): string[] {
  const code = `const { createLimiter } = require("tollkeeper"); ${USE.replace("ENGINE", `"${engine}"`)}`;
  return ["--no-experimental-require-module", "--input-type=commonjs", "-e", code];
}

describe("the packed package", () => {
  it("holds what runs and its types, and no sources, tests or paths of this machine", () => {
    const files = execFileSync("tar", ["-tzf", tarballs.root], { encoding: "utf8" }).trim().split("\n");
    const stray = files.filter(
      (file) =>
        !/^package\/(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/(esm|cjs)\/(package\.json|.+\.(c?js|d\.c?ts)))$/.test(
          file,
        ),
    );
    expect(stray).toEqual([]);
    for (const tarball of [tarballs.root, ...Object.values(tarballs.platforms)]) {
      const content = execFileSync("tar", ["-xzOf", tarball], { maxBuffer: 2 ** 28 });
      expect([ROOT, `${homedir()}/.`].filter((path) => content.includes(path))).toEqual([]);
      console.log(
        `${tarball.slice(dirname(tarball).length + 1)}: ${Math.ceil(readFileSync(tarball).length / 1024)} KiB`,
      );
    }
  });

  it("asks for every platform package in its own version, and for nothing to be run or built", () => {
    const manifest = JSON.parse(
      execFileSync("tar", ["-xzOf", tarballs.root, "package/package.json"], { encoding: "utf8" }),
    );
    const versions = Object.keys(tarballs.platforms).map((name) => [name, manifest.version]);
    expect(manifest.optionalDependencies).toEqual(Object.fromEntries(versions));
    expect(manifest).not.toHaveProperty("scripts");
  });

  it.each([
    ["publint", ["run", "--strict"]],
    // node10 knows no exports, so it can't find the entries beside the main one.
    ["attw", ["--profile", "node16"]],
  ])("is fine by %s", (tool, args) => {
    const { stdout, stderr, status } = node(ROOT, [join("node_modules", ".bin", tool), ...args, tarballs.root]);
    expect({ output: `${stdout}${stderr}`, status }).toMatchObject({ status: 0 });
  });
});

describe("installed where a binary is packed for", () => {
  let project: string;
  beforeAll(() => {
    project = install("with-native", "@types/node@20", "fastify", "ioredis", "prom-client");
  });

  it("brings the platform package of this machine and no other", () => {
    const packages = readdirSync(join(project, "node_modules", "@tollkeeper"));
    const libc = (process.report.getReport() as { header: object }).header;
    const suffix = "glibcVersionRuntime" in libc ? "gnu" : "musl";
    expect(packages).toEqual([`native-${process.platform}-${process.arch}-${suffix}`]);
  });

  it.each([
    ["ESM", esm],
    ["CommonJS", commonJs],
  ])("decides natively from %s", (_, code) => {
    expect(node(project, code("native"))).toEqual({ stdout: '["native",true,8]\n', stderr: "", status: 0 });
    expect(node(project, code("auto"))).toEqual({ stdout: '["native",true,8]\n', stderr: "", status: 0 });
  });

  it.each(["fastify", "prometheus", "fingerprint"])("has the same exports of tollkeeper/%s for both", (entry) => {
    const print =
      "console.log(Object.keys(entry).filter((name) => !/default|__esModule|module.exports/.test(name)).sort().join())";
    const imported = node(project, [
      "--input-type=module",
      "-e",
      `import * as entry from "tollkeeper/${entry}"; ${print}`,
    ]);
    const code = `const entry = require("tollkeeper/${entry}"); ${print}`;
    const required = node(project, ["--no-experimental-require-module", "-e", code]);
    expect(imported).toMatchObject({ stderr: "", status: 0 });
    expect(required).toEqual(imported);
  });

  it("loads nothing but itself on import", () => {
    const coverage = join(folder, "loaded");
    const code = `const start = performance.now(); await import("tollkeeper"); console.log(performance.now() - start);`;
    const { stdout } = node(project, ["--input-type=module", "-e", code], { NODE_V8_COVERAGE: coverage });
    const loaded = readdirSync(coverage).flatMap((file) => {
      const { result } = JSON.parse(readFileSync(join(coverage, file), "utf8")) as { result: { url: string }[] };
      return result.map(({ url }) => url).filter((url) => url.includes("/node_modules/"));
    });
    const own = pathToFileURL(join(project, "node_modules", "tollkeeper", "dist", "esm")).href;
    expect(loaded).toContain(`${own}/index.js`);
    expect(loaded.filter((url) => !url.startsWith(own))).toEqual([]);
    console.log(`import "tollkeeper": ${Number(stdout).toFixed(1)} ms`);
  });

  it.each([
    ["nodenext, ESM", "nodenext", "nodenext", "consumer.mts"],
    ["nodenext, CommonJS", "nodenext", "nodenext", "consumer.cts"],
    ["bundler", "esnext", "bundler", "consumer.ts"],
  ])("has types for %s", (_, module, resolution, name) => {
    cpSync(fileURLToPath(new URL("consumer/consumer.ts", import.meta.url)), join(project, name));
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--types", "node"];
    const tsc = join(ROOT, "node_modules", ".bin", "tsc");
    const args = [tsc, ...options, "--module", module, "--moduleResolution", resolution, name];
    expect(node(project, args)).toEqual({ stdout: "", stderr: "", status: 0 });
  });
});

describe("installed where no binary is", () => {
  let project: string;
  beforeAll(() => {
    project = install("without-native", "--omit=optional");
  });

  it.each([
    ["ESM", esm],
    ["CommonJS", commonJs],
  ])("decides in JavaScript from %s", (_, code) => {
    const { stdout, stderr, status } = node(project, code("auto"));
    expect({ stdout, status }).toEqual({ stdout: '["js",true,8]\n', status: 0 });
    expect(stderr).toMatch(/TOLLKEEPER_JS_ENGINE.* @tollkeeper\/native-\S+ is not installed/);
  });

  it("says what is missing when asked for the native engine", () => {
    const { stderr, status } = node(project, esm("native"));
    expect(status).toBe(1);
    expect(stderr).toMatch(/ERR_NATIVE_MISSING/);
    expect(stderr).toMatch(/engine is "native", but .*@tollkeeper\/native-\S+ is not installed/);
  });
});
