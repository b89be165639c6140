// Load by autocannon, as bench/load/stages.k6.js has it: 1 minute up to 50 connections, 3 minutes at 50, 1 minute down, then
// a burst of 150 calls on one connection. `URLS=… KEY=… BURST_KEY=… node bench/load/autocannon.mjs`
import { pathToFileURL } from "node:url";
import autocannon from "autocannon";

const BODY = JSON.stringify({ fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } });
const MOST = 50;
const STEPS = 5;
/** Calls a second of each connection. */
const RATE = 10;

/** @typedef {{ name: string, connections: number, duration?: number, amount?: number }} Stage */

/**
 * @param {number} minute Seconds that a minute of the stages takes.
 * @returns {Stage[]}
 */
function stagesOf(minute) {
  const ramp = Array.from({ length: STEPS }, (_, step) => ((step + 1) * MOST) / STEPS);
  const part = minute / STEPS;
  return [
    ...ramp.map((connections) => ({ name: "up", connections, duration: part })),
    { name: "steady", connections: MOST, duration: 3 * minute },
    ...ramp.reverse().map((connections) => ({ name: "down", connections, duration: part })),
  ];
}

/**
 * @param {{ urls: string[], key: string, burstKey: string, minute?: number }} options
 * @returns {Promise<void>} Once all is printed.
 */
export async function load({ urls, key, burstKey, minute = 60 }) {
  for (const stage of stagesOf(minute))
    print(stage, await fire(urls, key, { ...stage, overallRate: stage.connections * RATE }));
  const burst = { name: "burst", connections: 1, amount: 150 };
  print(burst, await fire(urls.slice(0, 1), burstKey, burst));
}

/**
 * @param {string[]} urls
 * @param {string} key
 * @param {Partial<autocannon.Options>} options
 */
async function fire(urls, key, { connections = 1, overallRate = 0, ...options }) {
  const results = urls.map((url) =>
    autocannon({
      url: `${url}/v1/identify`,
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": key },
      body: BODY,
      connections: Math.max(1, Math.round(connections / urls.length)),
      ...(overallRate > 0 ? { overallRate: Math.round(overallRate / urls.length) } : {}),
      ...options,
    }),
  );
  return Promise.all(results);
}

/**
 * @param {Stage} stage
 * @param {autocannon.Result[]} results
 */
function print({ name, connections }, results) {
  const sum = (/** @type {(result: autocannon.Result) => number} */ of) =>
    results.reduce((total, result) => total + of(result), 0);
  const worst = (/** @type {(result: autocannon.Result) => number} */ of) => Math.max(...results.map(of));
  const denied = sum(({ statusCodeStats }) => statusCodeStats?.["429"]?.count ?? 0);
  console.log(
    `${name.padEnd(6)} ${String(connections).padStart(3)} connections: ${sum((result) => result["2xx"])} passed, ` +
      `${denied} of status 429, ${sum(({ errors, non2xx }) => errors + non2xx) - denied} failed; ` +
      `p50 ${worst(({ latency }) => latency.p50)} ms, p99 ${worst(({ latency }) => latency.p99)} ms`,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { URLS = "http://127.0.0.1:8080", KEY = "", BURST_KEY = KEY, MINUTE = "60" } = process.env;
  await load({ urls: URLS.split(","), key: KEY, burstKey: BURST_KEY, minute: Number(MINUTE) });
}
