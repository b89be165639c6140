// A Redis, one or more replicas of the app on it, in front of them the stand-in for Kong if it is asked for, and the load of
// k6 or autocannon, all on loopback.
//   npm run load -- --replicas 3 [--gateway] [--tool k6|autocannon] [--mode leased|exact] [--minute 60]
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { startGateway } from "../../scripts/operations/gateway.mjs";
import { readKongFile } from "../../scripts/operations/kong-file.mjs";
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
    gateway: { type: "boolean", default: false },
  },
});
/** By which the replicas know the gateway. */
const SECRET = "the-secret-of-the-gateway-of-a-load-run";
const CLI = `${ROOT}dist/service/cli/main.js`;
/** @type {import("node:child_process").ChildProcess[]} */
const children = [];
/** @type {(() => Promise<void>)[]} */
const stops = [];

await setUp();
await orFail(measure().finally(stop));

async function measure() {
  const port = await freePort();
  children.push(spawn("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--save", ""], { stdio: "ignore" }));
  const settings = {
    RATE_LIMIT_REDIS_URL: `redis://127.0.0.1:${port}`,
    RATE_LIMIT_MODE: values.mode,
    RATE_LIMIT_GATEWAY_SECRET: SECRET,
  };
  const replicas = [];
  for (let replica = 0; replica < Number(values.replicas); replica++) replicas.push(await startApp(settings));
  const accounts = ["stages", "burst"];
  const { urls, keys } = values.gateway
    ? await throughGateway(replicas, accounts)
    : { urls: replicas, keys: accounts.map((account) => makeKey(account, settings)) };
  const [key = "", burstKey = ""] = keys;
  const environment = { URLS: urls.join(","), KEY: key, BURST_KEY: burstKey, MINUTE: values.minute };
  const way = values.gateway ? " behind the stand-in for Kong" : "";
  console.log(
    `${values.tool}, replicas: ${replicas.length}${way}, mode ${values.mode}; two accounts of the tier free, both new`,
  );
  if (values.tool === "autocannon") await load({ urls, key, burstKey, minute: Number(values.minute) });
  else await run(await goTool("k6"), ["run", "--quiet", "bench/load/stages.k6.js"], { env: environment });
}

/**
 * Puts the stand-in for Kong in front, which knows each account as a consumer of the tier free and tells the app so.
 *
 * @param {string[]} replicas
 * @param {string[]} accounts
 */
async function throughGateway(replicas, accounts) {
  const file = readKongFile({
    DECK_APP_TARGET: "app:8080",
    DECK_GATEWAY_SECRET: SECRET,
    DECK_VERIFY_KEY: "none",
    DECK_KONG_REDIS_PASSWORD: "none",
  });
  const keys = accounts.map((account) => `the-key-of-the-account-${account}`);
  const consumers = accounts.map((account, index) => ({
    username: account,
    acls: [{ group: "free" }],
    keyauth_credentials: [{ key: keys[index] ?? "" }],
  }));
  const gateway = await startGateway({ ...file, consumers: [...file.consumers, ...consumers] }, replicas);
  stops.push(gateway.stop);
  return { urls: [gateway.url], keys };
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
  for (const end of stops) await end();
  for (const child of children.reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGTERM");
    await once(child, "exit");
  }
}
