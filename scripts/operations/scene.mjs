// A Prometheus that scrapes what it would in a cluster, on loopback: the app, a Redis by its exporter, Kong's metrics as a
// fixture has them, and its admin API by the blackbox exporter.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { ROOT } from "../run.mjs";
import { startService } from "../service.mjs";
import { startKongFixture } from "./kong-fixture.mjs";
import { debianTools } from "./tools.mjs";

const NAMESPACE = "tollkeeper";
/** More calls than the tier free lets through at once, so that some are denied. */
const CALLS = 130;
const PATIENCE_MS = 60_000;
const POLL_MS = 250;
const BODY = JSON.stringify({ fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } });

/** @typedef {{ metric: Record<string, string>, value: [number, string] }} Sample */

/** Started by {@link startScene}; everything in it ends with `stop()`. */
export class Scene {
  /** @type {import("node:child_process").ChildProcess[]} */
  #children = [];
  /** @type {(() => void)[]} */
  #cleanups = [];
  #prometheus = "";
  /** Where the app is called, and with which key. */
  #app = { url: "", key: "" };
  /** @type {() => Promise<void>} */
  #stopApp = async () => undefined;
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #redis;

  /** @param {Record<string, unknown>[]} groups Rule groups to load. */
  async start(groups) {
    await debianTools("redis-server", "prometheus", "prometheus-redis-exporter", "prometheus-blackbox-exporter");
    const folder = mkdtempSync(join(tmpdir(), "tks-"));
    this.#cleanups.push(() => rmSync(folder, { recursive: true, force: true }));

    const redisPort = await freePort();
    const maxmemory = ["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"];
    this.#redis = this.#spawn("redis-server", [
      "--port",
      `${redisPort}`,
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      ...maxmemory,
    ]);
    await reach(redisPort);
    const app = await startService({
      RATE_LIMIT_REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      RATE_LIMIT_STORAGE: "memory",
      RATE_LIMIT_LOG_LEVEL: "silent",
    });
    this.#stopApp = app.stop;
    this.#app = { url: app.url, key: app.keys["free"] ?? "" };
    const redisExporter = await freePort();
    const at = ["--redis.addr", `redis://127.0.0.1:${redisPort}`, "--web.listen-address", `127.0.0.1:${redisExporter}`];
    this.#spawn("prometheus-redis-exporter", at);
    const kong = await startKongFixture();
    this.#cleanups.push(kong.stop);
    const blackbox = await freePort();
    const modules = ["--config.file", join(ROOT, "monitoring/blackbox.yaml")];
    this.#spawn("prometheus-blackbox-exporter", [...modules, "--web.listen-address", `127.0.0.1:${blackbox}`]);

    const port = await freePort();
    this.#prometheus = `http://127.0.0.1:${port}`;
    const rules = join(folder, "rules.yaml");
    writeFileSync(rules, stringify({ groups }));
    const config = join(folder, "prometheus.yaml");
    const target = (/** @type {string} */ job, /** @type {string} */ address) => ({
      job_name: job,
      static_configs: [{ targets: [address], labels: { namespace: NAMESPACE } }],
    });
    writeFileSync(
      config,
      stringify({
        global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
        rule_files: [rules],
        scrape_configs: [
          target("fingerprint-api", new URL(this.#app.url).host),
          target("redis", `127.0.0.1:${redisExporter}`),
          target("kong", kong.host),
          {
            ...target("kong-admin", `127.0.0.1:${blackbox}`),
            metrics_path: "/probe",
            params: { module: ["http_2xx"], target: [`http://${kong.host}/status`] },
          },
        ],
      }),
    );
    mkdirSync(join(folder, "data"));
    const store = ["--storage.tsdb.path", join(folder, "data"), "--web.listen-address", `127.0.0.1:${port}`];
    this.#spawn("prometheus", ["--config.file", config, ...store]);
    await until("Prometheus has scraped all", async () => (await this.query("up == 1")).length === 4);
    await this.call(CALLS);
    await until("the calls are counted", async () => {
      const [denied] = await this.query('sum(tollkeeper_decisions_total{outcome="denied"})');
      return Number(denied?.value[1]) > 0;
    });
  }

  /**
   * What PromQL gives now.
   *
   * @param {string} expression
   * @returns {Promise<Sample[]>}
   */
  async query(expression) {
    const response = await fetch(`${this.#prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`);
    const { status, data, error } = /** @type {any} */ (await response.json());
    if (status !== "success") throw new Error(`${expression}: ${error}`);
    return data.result;
  }

  /**
   * What PromQL gave at each second of a time that has passed, in ms since the epoch.
   *
   * @param {string} expression
   * @param {number} fromMs
   * @param {number} toMs
   * @returns {Promise<{ metric: Record<string, string>, values: [seconds: number, value: string][] }[]>}
   */
  async queryRange(expression, fromMs, toMs) {
    const about = { query: expression, start: `${fromMs / 1000}`, end: `${toMs / 1000}`, step: "1" };
    const response = await fetch(`${this.#prometheus}/api/v1/query_range?${new URLSearchParams(about)}`);
    const { status, data, error } = /** @type {any} */ (await response.json());
    if (status !== "success") throw new Error(`${expression}: ${error}`);
    return data.result;
  }

  /**
   * Calls the app so many times, one after another.
   *
   * @param {number} calls
   */
  async call(calls) {
    const { url, key } = this.#app;
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    for (let call = 0; call < calls; call++) {
      const response = await fetch(`${url}/v1/identify`, { method: "POST", headers, body: BODY });
      await response.arrayBuffer();
    }
  }

  /** The alerts that fire now, by name. @returns {Promise<string[]>} */
  async firing() {
    const response = await fetch(`${this.#prometheus}/api/v1/alerts`);
    const { data } = /** @type {any} */ (await response.json());
    return data.alerts
      .filter((/** @type {any} */ { state }) => state === "firing")
      .map((/** @type {any} */ { labels }) => labels.alertname);
  }

  /** Ends the Redis, which the exporter then reports. */
  async stopRedis() {
    if (this.#redis !== undefined) await end(this.#redis);
  }

  async stop() {
    await Promise.all([this.#stopApp(), ...this.#children.map(end)]);
    for (const cleanup of this.#cleanups) cleanup();
  }

  /**
   * @param {string} command
   * @param {string[]} args
   * @param {NodeJS.ProcessEnv} [env]
   */
  #spawn(command, args, env = {}) {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "ignore"] });
    child.stdout.on("error", () => undefined);
    child.stdout.resume();
    this.#children.push(child);
    const orphan = () => child.kill("SIGKILL");
    process.once("exit", orphan);
    child.once("exit", () => process.off("exit", orphan));
    return child;
  }
}

/**
 * Starts it all, with these rule groups loaded; ends what has begun if it fails.
 *
 * @param {Record<string, unknown>[]} groups
 */
export async function startScene(groups = []) {
  const scene = new Scene();
  try {
    await scene.start(groups);
    return scene;
  } catch (error) {
    await scene.stop();
    throw error;
  }
}

/**
 * Asks until it is so.
 *
 * @param {string} what
 * @param {() => Promise<boolean>} isSo A failure counts as "not yet".
 * @param {number} [patienceMs]
 */
export async function until(what, isSo, patienceMs = PATIENCE_MS) {
  const deadline = performance.now() + patienceMs;
  while (!(await isSo().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`it is not so after ${patienceMs / 1000} s that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Ports that were given out: the kernel may well name one again before anybody listens on it. @type {Set<number>} */
const taken = new Set();

/** @returns {Promise<number>} A port of loopback that nobody listens on, and another one each time. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  if (taken.has(port)) return freePort();
  taken.add(port);
  return port;
}

/** @param {number} port */
async function reach(port) {
  await until(`something listens on port ${port}`, async () => {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
    return true;
  });
}

/** @param {import("node:child_process").ChildProcess} child */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}
