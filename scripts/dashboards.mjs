// Writes monitoring/dashboards/generated from its TypeScript. `npm run dashboards`; with `-- --draw`, then also pictures of
// what a real Prometheus shows on them, to docs/dashboards.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { drawDashboards } from "./operations/dashboards.mjs";
import { startScene } from "./operations/scene.mjs";
import { orFail, ROOT, runTool } from "./run.mjs";

const GENERATED = "monitoring/dashboards/generated";
const PICTURES = join(ROOT, "docs/dashboards");

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

async function write() {
  for (const [file, text] of Object.entries(await generate())) writeFileSync(join(ROOT, file), text);
}

async function draw() {
  const scene = await startScene();
  try {
    mkdirSync(PICTURES, { recursive: true });
    for (const [name, picture] of Object.entries(await drawDashboards(ROOT, scene))) {
      writeFileSync(join(PICTURES, `${name}.svg`), picture);
    }
  } finally {
    await scene.stop();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await orFail(write());
  if (process.argv.includes("--draw")) await orFail(draw());
}
