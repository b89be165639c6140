// Writes monitoring/dashboards/generated from its TypeScript. `npm run dashboards`
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { orFail, ROOT, runTool } from "./run.mjs";

const GENERATED = "monitoring/dashboards/generated";

/** @returns {Promise<Record<string, string>>} The text of each dashboard by its file's name, compiled anew. */
async function generate() {
  await runTool("tsc", ["-p", "monitoring"], { output: "stderr" });
  const { generateDashboards } = await import(join(ROOT, "dist/monitoring/dashboards/index.js"));
  return Object.fromEntries(
    Object.entries(generateDashboards()).map(([name, text]) => [join(GENERATED, `${name}.json`), String(text)]),
  );
}

/** @returns {Promise<string[]>} Dashboards that are not as their TypeScript makes them. */
export async function staleDashboards() {
  return Object.entries(await generate())
    .filter(([file, text]) => readFileSync(join(ROOT, file), "utf8") !== text)
    .map(([file]) => `${file} is not as monitoring/dashboards makes it: npm run dashboards`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await orFail(
    generate().then((files) => {
      for (const [file, text] of Object.entries(files)) writeFileSync(join(ROOT, file), text);
    }),
  );
}
