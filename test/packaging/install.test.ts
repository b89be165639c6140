import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LIBRARY, SERVICE } from "../../scripts/build/closure.mjs";
import { platformPackages } from "../../scripts/build/pack.mjs";
import { ROOT } from "../../scripts/run.mjs";
import { BINARY, PLATFORM, run } from "./project.js";
import { manifestIn, Registry } from "./registry.js";

const TIERS = `{ free: { limits: [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1.5 }] } }`;
const USE = `
  const limiter = createLimiter({ tiers: ${TIERS}, engine: ENGINE });
  const { allowed, limits } = limiter.consume("acct:42", "free", 2);
  console.log(JSON.stringify([limiter.engine, allowed, limits[0].remaining]));
`;
let folder: string;
let registry: Registry;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  registry = await Registry.open();
});
afterAll(async () => {
  await registry.close();
  rmSync(folder, { recursive: true, force: true });
});

/** An empty project in which npm has installed these. */
async function install(name: string, ...args: string[]): Promise<string> {
  const project = join(folder, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name, private: true }));
  const options = [`--registry=${registry.url}`, "--no-audit", "--no-fund", "--loglevel=error"];
  const installed = await run(project, "npm", ["install", ...options, ...args]);
  expect(installed, installed.stderr).toMatchObject({ status: 0 });
  return project;
}

const node = (project: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  run(project, process.execPath, args, env);

/** What is said where Redis is to be asked without ioredis, in a process that nothing else keeps alive. */
const ASK_REDIS = `
  const onStorageError = ({ code, message }) => console.log("told", code + ": " + message);
  const storage = { type: "redis", url: "redis://127.0.0.1:1" };
  const limiter = createLimiter({ tiers: ${TIERS}, storage, onStorageError });
  const print = (what) => ({ code, message }) => console.log(what, code + ": " + message);
  limiter.ready(200).catch(print("ready"))
    .then(() => limiter.consume("acct:42", "free")).then(() => console.log("decided"), print("consume"))
    .then(() => limiter.close());
`;

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

describe("what is packed", () => {
  const filesIn = (name: string) => {
    const list = execFileSync("tar", ["-tzf", registry.tarball(name)], { encoding: "utf8" });
    return list
      .trim()
      .split("\n")
      .map((file) => file.replace("package/", ""));
  };
  const DOCUMENTS = ["package.json", "README.md", "LICENSE", "CHANGELOG.md"];

  it.each([
    [LIBRARY.name, /^dist\/(esm|cjs)\/(package\.json|(?!service).+\.(js|d\.ts))$/, "dist/esm/index.js"],
    [SERVICE.name, /^dist\/(?!esm|cjs).+\.js$/, "dist/cli/main.js"],
    [`@tollkeeper/native-${PLATFORM}`, /^tollkeeper\..+\.node$/, BINARY],
  ])("of %s is what runs and its types, without sources, tests or paths of this machine", (name, pattern, main) => {
    const files = filesIn(name);
    expect(files).toContain(main);
    expect(files.filter((file) => !pattern.test(file) && !DOCUMENTS.includes(file))).toEqual([]);
    const tarball = registry.tarball(name);
    const content = execFileSync("tar", ["-xzOf", tarball], { maxBuffer: 2 ** 28 });
    expect([ROOT, `${homedir()}/.`].filter((path) => content.includes(path))).toEqual([]);
    console.log(`${name}: ${Math.ceil(statSync(tarball).size / 1024)} KiB`);
  });

  it("of the library asks for every platform's package in its own version, and for nothing to be run or built", async () => {
    const manifest = await manifestIn(registry.tarball(LIBRARY.name));
    const versions = platformPackages().map(({ name }) => [name, manifest["version"]]);
    expect(manifest["optionalDependencies"]).toEqual(Object.fromEntries(versions));
    expect(manifest).not.toHaveProperty("scripts");
    expect(manifest).not.toHaveProperty("bin");
  });

  it.each([
    ["publint", ["run", "--strict"]],
    // node10 knows no exports, so it can't find the entries beside the main one.
    ["attw", ["--profile", "node16"]],
  ])("of the library is fine by %s", async (tool, args) => {
    const program = join("node_modules", ".bin", tool);
    const { stdout, stderr, status } = await node(ROOT, [program, ...args, registry.tarball(LIBRARY.name)]);
    expect({ output: `${stdout}${stderr}`, status }).toMatchObject({ status: 0 });
  });
});

describe("installed where a binary is packed for", () => {
  let project: string;
  beforeAll(async () => {
    project = await install("with-native", "tollkeeper", "fastify", "prom-client", "rate-limiter-flexible");
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
  ])("decides natively from %s", async (_, code) => {
    expect(await node(project, code("native"))).toEqual({ stdout: '["native",true,8]\n', stderr: "", status: 0 });
    expect(await node(project, code("auto"))).toEqual({ stdout: '["native",true,8]\n', stderr: "", status: 0 });
  });

  it.each(["fastify", "express", "fetch", "http", "prometheus", "fingerprint", "ledger"])(
    "has the same exports of tollkeeper/%s for both",
    async (entry) => {
      const print =
        "console.log(Object.keys(entry).filter((name) => !/default|__esModule|module.exports/.test(name)).sort().join())";
      const imported = await node(project, [
        "--input-type=module",
        "-e",
        `import * as entry from "tollkeeper/${entry}"; ${print}`,
      ]);
      const code = `const entry = require("tollkeeper/${entry}"); ${print}`;
      const required = await node(project, ["--no-experimental-require-module", "-e", code]);
      expect(imported).toMatchObject({ stderr: "", status: 0 });
      expect(required).toEqual(imported);
    },
  );

  it("loads nothing but itself on import", async () => {
    const coverage = join(folder, "loaded");
    await node(project, ["--input-type=module", "-e", 'import "tollkeeper"'], { NODE_V8_COVERAGE: coverage });
    const loaded = readdirSync(coverage).flatMap((file) => {
      const { result } = JSON.parse(readFileSync(join(coverage, file), "utf8")) as { result: { url: string }[] };
      return result.map(({ url }) => url).filter((url) => url.includes("/node_modules/"));
    });
    const own = pathToFileURL(join(project, "node_modules", "tollkeeper", "dist", "esm")).href;
    expect(loaded).toContain(`${own}/index.js`);
    expect(loaded.filter((url) => !url.startsWith(own) || url.includes("/ledger/"))).toEqual([]);
  });

  it("is imported as others are, in the time that is printed", async () => {
    const packages = ["tollkeeper", "rate-limiter-flexible"];
    const times: Record<string, number[]> = {};
    for (let round = 0; round < 20; round++) {
      for (const name of packages) {
        const code = `const start = performance.now(); await import("${name}"); console.log(performance.now() - start);`;
        const { stdout, status } = await node(project, ["--input-type=module", "-e", code]);
        expect(status).toBe(0);
        times[name] = [...(times[name] ?? []), Number(stdout)];
      }
    }
    for (const name of packages) {
      const median = times[name]?.sort((a, b) => a - b)[10] ?? Number.NaN;
      console.log(`import "${name}": ${median.toFixed(1)} ms, median of 20`);
    }
  });
});

describe("installed where no binary is", () => {
  let project: string;
  beforeAll(async () => {
    project = await install("without-native", "tollkeeper", "--omit=optional");
  });

  it.each([
    ["ESM", esm],
    ["CommonJS", commonJs],
  ])("decides in JavaScript from %s", async (_, code) => {
    const { stdout, stderr, status } = await node(project, code("auto"));
    expect({ stdout, status }).toEqual({ stdout: '["js",true,8]\n', status: 0 });
    expect(stderr).toMatch(/TOLLKEEPER_JS_ENGINE.* @tollkeeper\/native-\S+ is not installed/);
  });

  it("says what is missing when asked for the native engine", async () => {
    const { stderr, status } = await node(project, esm("native"));
    expect(status).toBe(1);
    expect(stderr).toMatch(/ERR_NATIVE_MISSING/);
    expect(stderr).toMatch(/engine is "native", but .*@tollkeeper\/native-\S+ is not installed/);
  });
});

describe("installed alone", () => {
  let project: string;
  beforeAll(async () => {
    project = await install("alone", "tollkeeper");
  });

  it.each([
    ["ESM", ["--input-type=module", "-e", `import { createLimiter } from "tollkeeper"; ${ASK_REDIS}`]],
    ["CommonJS", ["-e", `const { createLimiter } = require("tollkeeper"); ${ASK_REDIS}`]],
  ])("says to install ioredis where Redis is asked for, from %s", async (_, args) => {
    const { stdout, stderr, status } = await node(project, args);
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    const missing = "ERR_PACKAGE_MISSING: .*ioredis, which is not installed; npm install ioredis";
    expect(stdout).toMatch(
      new RegExp(`^told ${missing}\nready ${missing}\nconsume ERR_STORE_UNAVAILABLE.*ioredis.*\n$`),
    );
  });

  it("names prom-client where tollkeeper/prometheus is loaded without it", async () => {
    const { stderr, status } = await node(project, ["--input-type=module", "-e", 'import "tollkeeper/prometheus"']);
    expect(status).toBe(1);
    expect(stderr).toContain("Cannot find package 'prom-client'");
  });

  it.each(["fastify", "express", "fetch", "http", "fingerprint", "ledger"])("loads tollkeeper/%s", async (entry) => {
    const code = `import "tollkeeper/${entry}"; require("tollkeeper/${entry}")`;
    const args = [
      "--input-type=module",
      "-e",
      code.replace("require", 'import { createRequire } from "node:module"; createRequire(process.cwd() + "/x")'),
    ];
    expect(await node(project, args)).toEqual({ stdout: "", stderr: "", status: 0 });
  });
});
