// Kong 3.9's /metrics and /status, for where no Kong can run: the names, labels and buckets that its prometheus plugin has
// (kong/plugins/prometheus/exporter.lua), with figures that grow from scrape to scrape as those of a busy gateway do.
import { once } from "node:events";
import { createServer } from "node:http";

const KONG_BUCKETS = [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000];
const UPSTREAM_BUCKETS = [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000];
const ROUTES = ["identify", "compare", "batch"];
const NODE = "3f5a0c1e-0d6b-4c0e-9d51-6a8f1f6f2b11";
const SERVICE = 'service="fingerprint-api"';

/** Starts it on loopback; `host` is its address and port. */
export async function startKongFixture() {
  let scrapes = 0;
  const server = createServer((request, response) => {
    if (request.url === "/metrics") return response.end(exposition(++scrapes));
    if (request.url === "/status") return response.end('{"database":{"reachable":true}}');
    response.statusCode = 404;
    return response.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { host: `127.0.0.1:${port}`, stop: () => void server.close().closeAllConnections() };
}

/**
 * @param {number} scrapes How many there were, this one included.
 */
function exposition(scrapes) {
  const calls = scrapes * 100;
  return [
    ...metric("kong_bandwidth_bytes", "counter", "Total bandwidth (ingress/egress) throughput in bytes", [
      ...ROUTES.flatMap((route) =>
        ["ingress", "egress"].map((direction) => [
          `${SERVICE},route="${route}",direction="${direction}",workspace="default",consumer=""`,
          calls * 700,
        ]),
      ),
    ]),
    ...metric("kong_datastore_reachable", "gauge", "Datastore reachable from Kong, 0 is unreachable", [["", 1]]),
    ...metric("kong_http_requests_total", "counter", "HTTP status codes per consumer/service/route in Kong", [
      ...ROUTES.flatMap((route) =>
        [
          ["200", "service", calls],
          ["401", "kong", scrapes * 3],
          ["429", "service", scrapes * 9],
          ["502", "service", scrapes],
        ].map(([code, source, value]) => [
          `${SERVICE},route="${route}",code="${code}",source="${source}",workspace="default",consumer=""`,
          value,
        ]),
      ),
    ]),
    ...histogram(
      "kong_kong_latency_ms",
      "Latency added by Kong in ms for each service/route in Kong",
      KONG_BUCKETS,
      calls,
    ),
    ...metric("kong_memory_lua_shared_dict_bytes", "gauge", "Allocated slabs in bytes in a shared_dict", [
      [`node_id="${NODE}",shared_dict="kong_db_cache",kong_subsystem="http"`, 819_200 + scrapes],
      [`node_id="${NODE}",shared_dict="prometheus_metrics",kong_subsystem="http"`, 57_344],
    ]),
    ...metric("kong_memory_lua_shared_dict_total_bytes", "gauge", "Total capacity in bytes of a shared_dict", [
      [`node_id="${NODE}",shared_dict="kong_db_cache",kong_subsystem="http"`, 134_217_728],
      [`node_id="${NODE}",shared_dict="prometheus_metrics",kong_subsystem="http"`, 5_242_880],
    ]),
    ...metric("kong_nginx_connections_total", "gauge", "Number of connections by subsystem", [
      ...["accepted", "active", "handled", "reading", "total", "waiting", "writing"].map((state) => [
        `node_id="${NODE}",subsystem="http",state="${state}"`,
        state === "accepted" || state === "handled" || state === "total" ? calls : 3,
      ]),
    ]),
    ...metric("kong_nginx_requests_total", "gauge", "Total number of requests", [
      [`node_id="${NODE}",subsystem="http"`, calls * 3],
    ]),
    ...metric("kong_node_info", "gauge", "Kong Node metadata information", [[`node_id="${NODE}",version="3.9.3"`, 1]]),
    ...histogram(
      "kong_request_latency_ms",
      "Total latency incurred during requests for each service/route in Kong",
      UPSTREAM_BUCKETS,
      calls,
    ),
    ...histogram(
      "kong_upstream_latency_ms",
      "Latency added by upstream response for each service/route in Kong",
      UPSTREAM_BUCKETS,
      calls,
    ),
    ...metric(
      "kong_upstream_target_health",
      "gauge",
      "Health status of targets of upstream. States = healthchecks_off|healthy|unhealthy|dns_error, value is 1 when state is populated.",
      ["10.1.0.7:8080", "10.1.1.4:8080", "10.1.2.9:8080"].flatMap((address) =>
        ["healthchecks_off", "healthy", "unhealthy", "dns_error"].map((state) => [
          'upstream="fingerprint-api",target="fingerprint-api-pods.tollkeeper.svc.cluster.local:8080",' +
            `address="${address}",state="${state}",subsystem="http"`,
          state === "healthy" ? 1 : 0,
        ]),
      ),
    ),
    "",
  ].join("\n");
}

/**
 * @param {string} name
 * @param {"counter" | "gauge"} type
 * @param {string} help
 * @param {(string | number | undefined)[][]} samples Labels and value of each.
 */
function metric(name, type, help, samples) {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([labels, value]) => `${name}${labels === "" ? "" : `{${labels}}`} ${value}`),
  ];
}

/**
 * Most calls are in the first buckets, and some in each.
 *
 * @param {string} name
 * @param {string} help
 * @param {number[]} bounds
 * @param {number} calls
 */
function histogram(name, help, bounds, calls) {
  const lines = ROUTES.flatMap((route) => {
    const labels = `${SERVICE},route="${route}",workspace="default"`;
    const buckets = bounds.map((bound, index) => {
      const below = Math.floor(calls * (1 - 0.5 ** (index + 1)));
      return `${name}_bucket{${labels},le="${bound}"} ${below}`;
    });
    return [
      ...buckets,
      `${name}_bucket{${labels},le="+Inf"} ${calls}`,
      `${name}_count{${labels}} ${calls}`,
      `${name}_sum{${labels}} ${calls * 4}`,
    ];
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`, ...lines];
}
