import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PLATFORM, packagesIn, type Ran, run, tools } from "./project.js";
import { Registry } from "./registry.js";

const PROGRAM = `
  const limits = [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }];
  const limiter = createLimiter({ tiers: { free: { limits } } });
  console.log(JSON.stringify([limiter.engine, limiter.consume("acct:42", "free", 2).limits[0].remaining]));
`;
/** npm's program, as Node brings it. */
const NPM = join(dirname(dirname(process.execPath)), "lib", "node_modules", "npm", "bin", "npm-cli.js");

let registry: Registry;
let managers: string;
let folder: string;

beforeAll(async () => {
  managers = tools({
    "@yarnpkg/cli-dist": "4.18.1",
    bun: "1.4.5",
    [`node-${process.platform}-${process.arch}`]: "20.17.0",
    pnpm: "10.34.9",
    yarn: "1.22.22",
  });
  folder = mkdtempSync(join(tmpdir(), "tollkeeper-managers-"));
  registry = await Registry.open();
});
afterAll(async () => {
  await registry.close();
  rmSync(folder, { recursive: true });
});

/** An empty project. */
function project(name: string, files: Record<string, string> = {}): string {
  const made = join(folder, name);
  mkdirSync(made);
  const own = {
    "package.json": JSON.stringify({ name: "app", version: "1.0.0", private: true, license: "MIT" }),
    "app.mjs": `import { createLimiter } from "tollkeeper"; ${PROGRAM}`,
    "app.cjs": `const { createLimiter } = require("tollkeeper"); ${PROGRAM}`,
  };
  for (const [file, text] of Object.entries({ ...own, ...files })) writeFileSync(join(made, file), text);
  return made;
}

function installed(result: Ran): void {
  expect(result, `${result.stdout}${result.stderr}`).toMatchObject({ status: 0 });
}

function bytesIn(path: string): number {
  const files = readdirSync(path, { recursive: true, encoding: "utf8" }).map((file) => statSync(join(path, file)));
  return files.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
}

describe("npm", () => {
  const install = ["install", "tollkeeper", "--no-audit", "--no-fund", "--loglevel=error"];

  it("installs three packages and the platform's, of 7 MB at most", async () => {
    const made = project("npm");
    installed(await run(made, process.execPath, [NPM, ...install, `--registry=${registry.url}`]));
    const modules = join(made, "node_modules");
    const packages = packagesIn(modules);
    const megabytes = bytesIn(modules) / 1e6;
    console.log(`npm install tollkeeper: ${packages.length} packages, ${megabytes.toFixed(1)} MB`);
    expect(packages).toEqual([`@tollkeeper/native-${PLATFORM}`, "ipaddr.js", "structured-headers", "tollkeeper"]);
    expect(megabytes).toBeLessThan(7);
  });

  it("installs on Node 20.17 where engines are obeyed, and decides natively there", async () => {
    const made = project("node-20.17", { ".npmrc": "engine-strict=true\n" });
    const node = join(managers, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
    expect(await run(made, node, ["--version"])).toMatchObject({ stdout: "v20.17.0\n" });
    installed(await run(made, node, [NPM, ...install, `--registry=${registry.url}`]));
    for (const app of ["app.mjs", "app.cjs"]) {
      expect(await run(made, node, [app])).toEqual({ stdout: '["native",8]\n', stderr: "", status: 0 });
    }
  });
});

describe.each<
  [string, files: () => Record<string, string>, install: (cache: string) => [string, ...string[]], node: string[]]
>([
  [
    "Yarn classic",
    () => ({ ".yarnrc": `registry "${registry.url}"\n` }),
    (cache) => ["yarn/bin/yarn.js", "add", "tollkeeper", "--non-interactive", "--cache-folder", cache],
    [process.execPath],
  ],
  [
    "Yarn with Plug'n'Play",
    () => ({
      "yarn.lock": "",
      ".yarnrc.yml": [
        "nodeLinker: pnp",
        "enableGlobalCache: false",
        "enableTelemetry: false",
        `npmRegistryServer: "${registry.url}"`,
        'unsafeHttpWhitelist: ["127.0.0.1"]',
      ].join("\n"),
    }),
    () => ["@yarnpkg/cli-dist/bin/yarn.js", "add", "tollkeeper"],
    ["@yarnpkg/cli-dist/bin/yarn.js", "node"],
  ],
  [
    "pnpm",
    () => ({ ".npmrc": `registry=${registry.url}\n` }),
    (cache) => ["pnpm/bin/pnpm.cjs", "add", "tollkeeper", "--store-dir", cache],
    [process.execPath],
  ],
  [
    "Bun",
    () => ({ "bunfig.toml": `[install]\nregistry = "${registry.url}"\n` }),
    () => [".bin/bun", "add", "tollkeeper"],
    [".bin/bun"],
  ],
])("%s", (manager, files, install, [program = "", ...args]) => {
  it("installs, and the app decides natively from ESM and CommonJS", async () => {
    const made = project(manager.replaceAll(/\W/g, "-"), files());
    const cache = join(made, ".cache");
    const env = { BUN_INSTALL_CACHE_DIR: cache, XDG_CACHE_HOME: cache, YARN_ENABLE_IMMUTABLE_INSTALLS: "0" };
    const tool = (file: string): [string, string[]] => {
      const path = join(managers, "node_modules", file);
      return file.startsWith("/") ? [file, []] : /\.[cm]?js$/.test(file) ? [process.execPath, [path]] : [path, []];
    };
    const [command, ...options] = install(cache);
    const [installer, first] = tool(command);
    installed(await run(made, installer, [...first, ...options], env));
    const [runner, before] = tool(program);
    for (const app of ["app.mjs", "app.cjs"]) {
      expect(await run(made, runner, [...before, ...args, app], env)).toEqual({
        stdout: '["native",8]\n',
        stderr: "",
        status: 0,
      });
    }
    expect(existsSync(join(made, "node_modules"))).toBe(manager !== "Yarn with Plug'n'Play");
  });
});
