import { parseArgs } from "node:util";
import { accuracy } from "./accuracy.js";
import { attacks } from "./attacks.js";
import { clients } from "./clients.js";
import { engine } from "./engine.js";
import { http } from "./http.js";
import { ledger } from "./ledger.js";
import { memory } from "./memory.js";
import { pauses } from "./pauses.js";
import { plugin } from "./plugin.js";
import { redis } from "./redis.js";
import { publish } from "./report.js";
import { scale } from "./scale.js";
import { storage } from "./storage.js";
import { workers } from "./workers.js";

const BENCHMARKS = {
  engine,
  memory,
  pauses,
  workers,
  http,
  plugin,
  clients,
  storage,
  ledger,
  accuracy,
  redis,
  scale,
  attacks,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    large: { type: "boolean", default: false },
    beside: { type: "string" },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(BENCHMARKS);
for (const name of names) {
  const benchmark = BENCHMARKS[name as keyof typeof BENCHMARKS];
  if (benchmark === undefined) {
    console.error(`benchmark is ${name}; it may be one of ${Object.keys(BENCHMARKS).join(", ")}`);
    process.exit(1);
  }
  const start = performance.now();
  publish(name, await benchmark(values), values);
  console.log(`took ${Math.round((performance.now() - start) / 1000)} s`);
}
