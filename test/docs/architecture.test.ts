/** `docs/architecture.md` names what there is, and nothing else; `docs/internals.md` names nothing that there is not. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { MAY_IMPORT } from "../../scripts/check/layers.mjs";
import { ROOT } from "../../scripts/run.mjs";

const page = readFileSync(join(ROOT, "docs", "architecture.md"), "utf8");

/** Paths of the tree under a heading; each line is a name, indented by its depth, and what it is. */
function named(heading: string): string[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
  const [, tree = ""] = /^```text\n([\s\S]*?)^```$/m.exec(section) ?? [];
  const folders: string[] = [];
  return [...tree.matchAll(/^( *)(\S+)(?: +\S.*)?$/gm)].flatMap(([, indent = "", name = ""]) => {
    folders.length = indent.length / 2;
    if (!name.endsWith("/")) return [[...folders, name].join("")];
    folders.push(name);
    return [];
  });
}

function filesIn(folder: string, extension: string): string[] {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(extension)).map((file) => `${folder}/${file.replaceAll("\\", "/")}`);
}

it("names every file of src/ once, and no other", () => {
  expect(named("src").sort()).toEqual(filesIn("src", ".ts").sort());
});

it("names every file of each crate's src/ once, and no other", () => {
  const crates = readdirSync(join(ROOT, "crates")).map((crate) => `crates/${crate}/src`);
  const files = crates.filter((folder) => existsSync(join(ROOT, folder))).flatMap((folder) => filesIn(folder, ".rs"));
  expect(named("crates").sort()).toEqual(files.sort());
});

it("says of every file what it is", () => {
  expect(page.match(/^ *[\w-]+\.(ts|rs)$/gm) ?? []).toEqual([]);
});

it("has the table of layers that the check has", () => {
  const rows = [...page.matchAll(/^\| `([\w/-]+)` \| ((?:`[\w/-]+`(?:, )?)+|nothing) \|$/gm)];
  const table = rows.map(([, layer, may = ""]) => [layer, may.match(/[\w/-]+(?=`)/g) ?? []]);
  expect(Object.fromEntries(table)).toEqual(MAY_IMPORT);
});

it("names the folders of the tests", () => {
  const folders = readdirSync(join(ROOT, "test"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.filter(({ name }) => !page.includes(`\`${name}/\``)).map(({ name }) => name)).toEqual([]);
});

describe("the walk of a call", () => {
  const walk = readFileSync(join(ROOT, "docs", "internals.md"), "utf8").replaceAll(/\s+/g, " ");
  const steps = [...walk.matchAll(/`((?:src|crates)\/[^`]+)`((?: ›(?: `[^`/]+`,?)+)?)/g)].map(
    ([, file = "", names = ""]) => ({ file, names: names.match(/[^`›, ]+/g) ?? [] }),
  );

  it("has steps", () => expect(steps.length).toBeGreaterThan(40));

  it.each(steps)("finds $names in $file", ({ file, names }) => {
    const words = new Set(readFileSync(join(ROOT, file), "utf8").match(/#?\w+/g));
    expect(names.filter((name) => !words.has(name))).toEqual([]);
  });
});
