import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { VERSION as SERVICE_VERSION } from "../../src/service/version.js";
import { VERSION } from "../../src/version.js";

it.each([
  ["package.json", VERSION],
  ["npm/service/package.json", SERVICE_VERSION],
])("the version is that of %s", (manifest, version) => {
  expect(version).toBe(JSON.parse(readFileSync(manifest, "utf8")).version);
});
