import { parseArgs } from "node:util";
import { engine } from "./engine.js";

const BENCHMARKS = { engine };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false } },
});
const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS);
for (const name of names) {
  const benchmark = BENCHMARKS[name as keyof typeof BENCHMARKS];
  if (benchmark === undefined) {
    console.error(`benchmark is ${name}; it may be one of ${Object.keys(BENCHMARKS).join(", ")}`);
    process.exit(1);
  }
  await benchmark({ quick: values.quick });
}
