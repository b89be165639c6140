/** Every link within the documentation leads to a file that is there, and to a heading that it has. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";

const pages = execFileSync("git", ["ls-files", "*.md"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");

/** What GitHub calls a heading in an address. */
function anchorsOf(page: string): string[] {
  const headings = readFileSync(join(ROOT, page), "utf8").matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- _]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** Files that a page links to and are not there, and headings that they have not. */
function deadLinksOf(page: string): string[] {
  const links = readFileSync(join(ROOT, page), "utf8").matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)/g);
  return [...links].flatMap(([link, path = "", anchor]) => {
    const target = path === "" ? page : join(dirname(page), path);
    const isThere = existsSync(join(ROOT, target)) && (anchor === undefined || anchorsOf(target).includes(anchor));
    return isThere ? [] : [`${page}: ${link}`];
  });
}

it("has no dead link", () => {
  expect(pages.length).toBeGreaterThan(40);
  expect(pages.flatMap(deadLinksOf)).toEqual([]);
});
