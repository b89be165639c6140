import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, it } from "vitest";
import { JOINED, MODULES } from "../../../scripts/build/join-leases.mjs";

const ROOT = join(import.meta.dirname, "../../..");
const BENCH = join(ROOT, "bench");

/** Where the compiled benchmarks look for a module, by a path written out up to `${`. */
const sought = readdirSync(BENCH, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) => {
    const text = readFileSync(join(BENCH, file), "utf8");
    const beside = text.matchAll(/new URL\(["`]([^"`]+\.js)["`], import\.meta\.url\)/g);
    const ofBuild = text.matchAll(/\bload<[^;]+?>\(["`](dist\/[^"`]+\.js)["`]\)/g);
    return [
      ...[...beside].map(([, path]) => join("dist/bench", dirname(file), String(path))),
      ...[...ofBuild].map(([, path]) => String(path)),
    ];
  });

/** What is built, or is compiled from bench/ before they run. */
function modulesIn(folder: string): string[] {
  const sources = folder.startsWith("dist/bench") ? join(BENCH, relative("dist/bench", folder)) : join(ROOT, folder);
  return existsSync(sources) ? readdirSync(sources).map((file) => file.replace(/(?<!\.d)\.ts$/, ".js")) : [];
}

it.each(sought.filter((path) => path !== JOINED))("the benchmarks find %s where it is built", (path) => {
  const [written = "", ...rest] = path.split("${");
  const modules = modulesIn(dirname(`${written}x`)).filter((file) => file.endsWith(".js"));
  if (rest.length > 0) expect(modules).not.toEqual([]);
  else expect(modules).toContain(path.split("/").at(-1));
});

it.each(MODULES)("what is joined for them has src/%s.ts", (name) => {
  expect(existsSync(join(ROOT, "src", `${name}.ts`))).toBe(true);
});

it("looks at what the benchmarks load", () => {
  expect(sought).toContain("dist/service/serve.js");
  expect(sought).toContain("dist/esm/fastify/index.js");
  expect(sought).toContain(JOINED);
});
