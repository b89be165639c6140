// Compiles bench/ and runs it against the built package. `npm run bench -- engine [--quick]`
import { parseArgs } from "node:util";
import { joinLeases } from "./build/join-leases.mjs";
import { orFail, ROOT, run, runTool } from "./run.mjs";
import { setUp } from "./setup.mjs";

const args = process.argv.slice(2);
const { values } = parseArgs({ args, strict: false, options: { beside: { type: "string" } } });

await setUp();
await orFail(runTool("tsc", ["-p", "bench"], { output: "stderr" }));
for (const root of [ROOT, values.beside]) if (typeof root === "string") await joinLeases(root);
await orFail(run(process.execPath, ["--expose-gc", `${ROOT}dist/bench/index.js`, ...args]));
