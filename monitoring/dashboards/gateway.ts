import { type DashboardBuilder, RowBuilder } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboardOf, figure, graph, type Queries } from "./panel.js";

const WHERE = 'namespace="$namespace"';
const RATE = "$__rate_interval";

const requests = (more = "") => `sum(rate(kong_http_requests_total{${WHERE}${more}}[${RATE}]))`;

/** Percentiles of one of Kong's histograms, whose unit is ms. */
function percentiles(histogram: string): Queries {
  const at = (quantile: number) =>
    `histogram_quantile(${quantile}, sum by (le) (rate(${histogram}_bucket{${WHERE}}[${RATE}])))`;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** Whether calls come through, how fast, and what Kong itself stands on. */
export function gatewayDashboard(): DashboardBuilder {
  return dashboardOf(
    "tollkeeper-gateway",
    "Kong API Gateway Health & Performance",
    "Traffic, latency and errors at the gateway; its database, targets and admin API.",
    "kong_datastore_reachable",
  )
    .withRow(new RowBuilder("Now"))
    .withPanel(figure("Requests", "reqps", "Calls a second through Kong.", requests()))
    .withPanel(
      figure(
        "Errors",
        "percentunit",
        "Share of calls answered with a 5xx.",
        `${requests(',code=~"5.."')} / ${requests()}`,
      ),
    )
    .withPanel(figure("Over their limit", "reqps", "Calls a second answered with 429.", requests(',code="429"')))
    .withPanel(figure("Kong", "none", "Kong pods that can be scraped.", `sum(up{job="kong",${WHERE}})`))
    .withPanel(
      figure(
        "Database",
        "bool_on_off",
        "Whether every Kong reaches PostgreSQL.",
        `min(kong_datastore_reachable{${WHERE}})`,
      ),
    )
    .withPanel(
      figure(
        "Healthy targets",
        "none",
        "App pods that Kong sends calls to.",
        `max(sum by (instance) (kong_upstream_target_health{${WHERE},state="healthy"}))`,
      ),
    )
    .withRow(new RowBuilder("Traffic"))
    .withPanel(
      graph("Requests by route", "reqps", "Calls a second.", {
        "{{route}}": `sum by (route) (rate(kong_http_requests_total{${WHERE}}[${RATE}]))`,
      }),
    )
    .withPanel(
      graph("Requests by status", "reqps", "Calls a second.", {
        "{{code}}": `sum by (code) (rate(kong_http_requests_total{${WHERE}}[${RATE}]))`,
      }),
    )
    .withPanel(
      graph("Who answered", "reqps", "Kong itself (its guard, a missing key), or the app behind it.", {
        "{{source}}": `sum by (source) (rate(kong_http_requests_total{${WHERE}}[${RATE}]))`,
      }),
    )
    .withPanel(
      graph("Bandwidth", "Bps", "Bytes a second, in and out.", {
        "{{direction}}": `sum by (direction) (rate(kong_bandwidth_bytes{${WHERE}}[${RATE}]))`,
      }),
    )
    .withRow(new RowBuilder("Latency"))
    .withPanel(graph("Whole call", "ms", "Kong and the app together.", percentiles("kong_request_latency_ms"), 8))
    .withPanel(graph("Kong's part", "ms", "Plugins and routing.", percentiles("kong_kong_latency_ms"), 8))
    .withPanel(graph("The app's part", "ms", "Until its first byte.", percentiles("kong_upstream_latency_ms"), 8))
    .withRow(new RowBuilder("What it stands on"))
    .withPanel(
      graph(
        "Targets",
        "none",
        "App pods by what Kong's health checks say of them, as the most pessimistic Kong sees it.",
        {
          "{{state}}": `max by (state) (sum by (state, instance) (kong_upstream_target_health{${WHERE}}))`,
        },
      ),
    )
    .withPanel(
      graph("Connections", "none", "Connections by state.", {
        "{{state}}": `sum by (state) (kong_nginx_connections_total{${WHERE},state=~"active|reading|writing|waiting"})`,
      }),
    )
    .withPanel(
      graph("Admin API", "s", "How long its /status takes; asked every 30 s.", {
        "{{instance}}": `probe_duration_seconds{job="kong-admin",${WHERE}}`,
      }),
    )
    .withPanel(
      graph("Shared memory of Kong", "percentunit", "Part of each shared dictionary in use.", {
        "{{shared_dict}}":
          `max by (shared_dict) (kong_memory_lua_shared_dict_bytes{${WHERE}} ` +
          `/ kong_memory_lua_shared_dict_total_bytes{${WHERE}})`,
      }),
    );
}
