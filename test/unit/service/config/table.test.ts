import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { presetsTable, settingsTable } from "./table.js";

const FILE = "docs/configuration.md";

it("docs/configuration.md has every setting as the schema has it; vitest run --update writes it anew", async () => {
  let documented = readFileSync(FILE, "utf8");
  for (const [name, table] of [
    ["settings", settingsTable()],
    ["presets", presetsTable()],
  ]) {
    const place = new RegExp(`(<!-- ${name}:.*-->\\n)[\\s\\S]*?(<!-- /${name} -->)`);
    expect(documented).toMatch(place);
    documented = documented.replace(place, (_, start, end) => `${start}${table}\n${end}`);
  }
  await expect(documented).toMatchFileSnapshot(`../../../../${FILE}`);
});
