// A Redis, one or more replicas of the app on it, and the load of k6 or autocannon, all on loopback.
//   npm run load -- --replicas 3 [--tool k6|autocannon] [--mode leased|exact] [--minute 60]
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { freePort, until } from "../../scripts/operations/scene.mjs";
import { goTool } from "../../scripts/operations/tools.mjs";
import { orFail, ROOT, run } from "../../scripts/run.mjs";
import { setUp } from "../../scripts/setup.mjs";
import { load } from "./autocannon.mjs";

const { values } = parseArgs({
  options: {
    replicas: { type: "string", default: "1" },
    tool: { type: "string", default: "k6" },
    mode: { type: "string", default: "leased" },
    minute: { type: "string", default: "60" },
  },
});
const CLI = `${ROOT}dist/esm/cli.js`;
/** @type {import("node:child_process").ChildProcess[]} */
const children = [];

await setUp();
await orFail(measure().finally(stop));

async function measure() {
  const port = await freePort();
  children.push(spawn("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--save", ""], { stdio: "ignore" }));
  const settings = { RATE_LIMIT_REDIS_URL: `redis://127.0.0.1:${port}`, RATE_LIMIT_MODE: values.mode };
  const urls = [];
  for (let replica = 0; replica < Number(values.replicas); replica++) urls.push(await startApp(settings));
  const [key, burstKey] = [makeKey("stages", settings), makeKey("burst", settings)];
  const environment = { URLS: urls.join(","), KEY: key, BURST_KEY: burstKey, MINUTE: values.minute };
  console.log(`${values.tool}, ${urls.length} replicas, mode ${values.mode}; two accounts of the tier free, both new`);
  if (values.tool === "autocannon") await load({ urls, key, burstKey, minute: Number(values.minute) });
  else await run(await goTool("k6"), ["run", "--quiet", "bench/load/stages.k6.js"], { env: environment });
}

/**
 * @param {NodeJS.ProcessEnv} settings
 * @returns {Promise<string>} Its address.
 */
async function startApp(settings) {
  const env = { ...process.env, ...settings, PORT: "0", RATE_LIMIT_LOG_LEVEL: "warn", RATE_LIMIT_DEMO_KEYS: "never" };
  const child = spawn(process.execPath, [CLI, "serve"], { env, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  let url = "";
  createInterface(child.stdout).on("line", (line) => {
    url = /on (http:\S+),/.exec(line)?.[1] ?? url;
  });
  await until("the app serves", async () => (await fetch(`${url}/health`)).ok);
  return url;
}

/**
 * @param {string} account
 * @param {NodeJS.ProcessEnv} settings
 * @returns {string} A key of a new account of the tier free.
 */
function makeKey(account, settings) {
  const args = [CLI, "keys", "create", "--account", account, "--tier", "free", "--json"];
  return JSON.parse(execFileSync(process.execPath, args, { env: { ...process.env, ...settings }, encoding: "utf8" }))
    .key;
}

async function stop() {
  for (const child of children.reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGTERM");
    await once(child, "exit");
  }
}
