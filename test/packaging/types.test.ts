import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { packagesIn, run, tools } from "./project.js";
import { Registry } from "./registry.js";

/** The oldest that is a peer, one from between, and the newest that is known. */
const FASTIFY = ["5.0.0", "5.6.2", versionOf(join(ROOT, "node_modules", "fastify"))];
/** Where each is installed. */
const COMPILERS = { "TypeScript 5": tools({ typescript: "5.9.3" }), "TypeScript 7": ROOT } as const;
const APPS: [compiler: keyof typeof COMPILERS, resolution: string, module: string, file: string][] = [
  ["TypeScript 7", "nodenext", "nodenext", "consumer.mts"],
  ["TypeScript 7", "nodenext", "nodenext", "consumer.cts"],
  ["TypeScript 7", "node16", "node16", "consumer.mts"],
  ["TypeScript 7", "node16", "node16", "consumer.cts"],
  ["TypeScript 7", "bundler", "esnext", "consumer.ts"],
  ["TypeScript 5", "nodenext", "nodenext", "consumer.mts"],
  ["TypeScript 5", "nodenext", "nodenext", "consumer.cts"],
];

let registry: Registry;
let folder: string;

beforeAll(async () => {
  registry = await Registry.open();
  folder = mkdtempSync(join(tmpdir(), "tollkeeper-types-"));
});
afterAll(async () => {
  await registry.close();
  rmSync(folder, { recursive: true, force: true });
});

function versionOf(module: string): string {
  return (JSON.parse(readFileSync(join(module, "package.json"), "utf8")) as { version: string }).version;
}

/** A project in which npm has installed these. */
async function project(name: string, ...packages: string[]): Promise<string> {
  const made = join(folder, name);
  mkdirSync(made);
  writeFileSync(join(made, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  const options = ["--no-audit", "--no-fund", "--loglevel=error", `--registry=${registry.url}`];
  const installed = await run(made, "npm", ["install", ...options, "@types/node@20", "tollkeeper", ...packages]);
  expect(installed, installed.stderr).toMatchObject({ status: 0 });
  return made;
}

/** Compiles a file strictly, with the types of all that it imports. */
function compile(made: string, [compiler, resolution, module, file]: (typeof APPS)[number], output: string) {
  const tsc = join(COMPILERS[compiler], "node_modules", "typescript", "bin", "tsc");
  const strict = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"];
  const modules = ["--module", module, "--moduleResolution", resolution];
  const options = [...strict, ...modules, "--target", "es2022", "--types", "node", "--outDir", output];
  return run(made, process.execPath, [tsc, ...options, file]);
}

describe.each(FASTIFY)("with Fastify %s", (version) => {
  let made: string;
  beforeAll(async () => {
    made = await project(version, `fastify@${version}`, "ioredis", "prom-client");
    const consumer = fileURLToPath(new URL("consumer/consumer.ts", import.meta.url));
    for (const type of ["ts", "mts", "cts"]) cpSync(consumer, join(made, `consumer.${type}`));
  });

  it("installs no other Fastify", () => {
    const all = packagesIn(join(made, "node_modules"));
    expect(all.filter((name) => /(^|\/)fastify$/.test(name))).toEqual(["fastify"]);
    expect(versionOf(join(made, "node_modules", "fastify"))).toBe(version);
  });

  it.each(APPS)("and %s, %s: compiles, and runs", async (...app) => {
    const output = app.join("-").replaceAll(/\W/g, "-");
    expect(await compile(made, app, output)).toEqual({ stdout: "", stderr: "", status: 0 });
    const file = app[3].replace(/ts$/, "js");
    const ran = await run(made, process.execPath, [join(output, file)]);
    expect(ran).toEqual({ stdout: '["native",true,[200,429],200,true,true]\n', stderr: "", status: 0 });
  });
});

it.each(["TypeScript 5", "TypeScript 7"] as const)(
  "The library's own types need no peer, with %s",
  async (compiler) => {
    const made = await project(`alone-${compiler.slice(-1)}`);
    const names = {
      createLimiter: "tollkeeper",
      loadFingerprint: "tollkeeper/fingerprint",
      fieldsOf: "tollkeeper/http",
      tollkeeper: "tollkeeper/fetch",
    };
    const imports = Object.entries(names).map(([name, entry]) => `import { ${name} } from "${entry}";\n`);
    writeFileSync(join(made, "app.mts"), `${imports.join("")}export const all = [${Object.keys(names).join()}];\n`);
    const compiled = await compile(made, [compiler, "nodenext", "nodenext", "app.mts"], "out");
    expect(compiled).toEqual({ stdout: "", stderr: "", status: 0 });
  },
);
