import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { settingsTable } from "../../../src/config/table.js";

const FILE = "docs/configuration.md";
const PLACE = /(<!-- settings:.*-->\n)[\s\S]*?(<!-- \/settings -->)/;

it("docs/configuration.md has every setting as the schema has it; vitest run --update writes it anew", async () => {
  const documented = readFileSync(FILE, "utf8");
  expect(documented).toMatch(PLACE);
  const generated = documented.replace(PLACE, (_, start, end) => `${start}${settingsTable()}\n${end}`);
  await expect(generated).toMatchFileSnapshot(`../../../${FILE}`);
});
