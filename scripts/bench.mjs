// Compiles bench/ and runs it against the built package. `npm run bench -- engine [--quick]`
import { orFail, ROOT, run, runTool } from "./run.mjs";
import { setUp } from "./setup.mjs";

await setUp();
await orFail(runTool("tsc", ["-p", "bench"], { output: "stderr" }));
await orFail(run(process.execPath, ["--expose-gc", `${ROOT}dist/bench/index.js`, ...process.argv.slice(2)]));
