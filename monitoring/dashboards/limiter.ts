import { type DashboardBuilder, RowBuilder } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboardOf, figure, graph } from "./panel.js";

const WHERE = 'namespace="$namespace"';
const RATE = "$__rate_interval";

const decisions = (more = "") => `sum(rate(tollkeeper_decisions_total{${WHERE}${more}}[${RATE}]))`;

function latency(quantile: number, histogram: string, by = ""): string {
  return `histogram_quantile(${quantile}, sum by (le${by}) (rate(${histogram}_bucket{${WHERE}}[${RATE}])))`;
}

/** Who is let in, who is not and why, and the store that all replicas share. */
export function limiterDashboard(): DashboardBuilder {
  return dashboardOf(
    "tollkeeper-limiter",
    "Rate Limiter & Quota Management",
    "Decisions by tier and limit, the keys held, and the Redis that all replicas share.",
    "tollkeeper_keys",
  )
    .withRow(new RowBuilder("Now"))
    .withPanel(figure("Decisions", "ops", "Decisions a second, over all replicas.", decisions()))
    .withPanel(
      figure(
        "Denied",
        "percentunit",
        "Share of decisions that denied.",
        `${decisions(',outcome="denied"')} / ${decisions()}`,
      ),
    )
    .withPanel(figure("Replicas", "none", "Replicas that can be scraped.", `sum(up{job="fingerprint-api",${WHERE}})`))
    .withPanel(
      figure("Keys", "short", "Accounts and addresses held, over all replicas.", `sum(tollkeeper_keys{${WHERE}})`),
    )
    .withPanel(
      figure(
        "Deciding alone",
        "none",
        "Replicas that decide without Redis.",
        `sum(tollkeeper_store_circuit_open{${WHERE}})`,
      ),
    )
    .withPanel(
      figure(
        "Unreconciled",
        "short",
        "Tokens admitted in an outage, not told to Redis yet.",
        `sum(tollkeeper_unreconciled{${WHERE}})`,
      ),
    )
    .withRow(new RowBuilder("Decisions"))
    .withPanel(
      graph("By tier", "ops", "Decisions a second.", {
        "{{tier}} {{outcome}}": `sum by (tier, outcome) (rate(tollkeeper_decisions_total{${WHERE}}[${RATE}]))`,
      }),
    )
    .withPanel(
      graph("Denied, by limit", "ops", "A minute denies a caller for seconds, a month for weeks.", {
        "{{tier}} {{limit}}": `sum by (tier, limit) (rate(tollkeeper_decisions_total{${WHERE},outcome="denied"}[${RATE}]))`,
      }),
    )
    .withPanel(
      graph("Requests by status", "reqps", "Answers of the app a second.", {
        "{{status}}": `sum by (status) (rate(fingerprint_requests_total{${WHERE}}[${RATE}]))`,
      }),
    )
    .withPanel(
      graph("Request time by route, p95", "s", "From the request's header to the last byte of the answer.", {
        "{{route}}": latency(0.95, "fingerprint_request_seconds", ", route"),
      }),
    )
    .withRow(new RowBuilder("Keys"))
    .withPanel(
      graph("Keys held", "short", "Accounts and addresses, by replica.", {
        "{{instance}}": `tollkeeper_keys{${WHERE}}`,
      }),
    )
    .withPanel(
      graph(
        "Forgotten and overflowing",
        "ops",
        "Keys forgotten a second, and decisions on the shared bucket of a tier.",
        {
          forgotten: `sum(rate(tollkeeper_evictions_total{${WHERE}}[${RATE}]))`,
          overflow: `sum(rate(tollkeeper_overflow_total{${WHERE}}[${RATE}]))`,
        },
      ),
    )
    .withRow(new RowBuilder("Sharing"))
    .withPanel(
      graph("Store commands", "ops", "Commands a second, by outcome.", {
        "{{command}} {{outcome}}": `sum by (command, outcome) (rate(tollkeeper_store_commands_total{${WHERE}}[${RATE}]))`,
      }),
    )
    .withPanel(
      graph("Store latency", "s", "Until Redis has answered.", {
        p50: latency(0.5, "tollkeeper_store_seconds"),
        p99: latency(0.99, "tollkeeper_store_seconds"),
      }),
    )
    .withPanel(
      graph("Tokens taken ahead", "short", "Out on leases now, and what a bucket may admit beyond its limit at most.", {
        outstanding: `sum(tollkeeper_lease_outstanding{${WHERE}})`,
        "worst case": `max(tollkeeper_worst_case_overshoot{${WHERE}})`,
      }),
    )
    .withPanel(
      graph("Replicas that share", "none", "As each replica last heard it from Redis.", {
        "{{instance}}": `tollkeeper_store_replicas{${WHERE}}`,
      }),
    )
    .withRow(new RowBuilder("Redis"))
    .withPanel(
      graph("Memory", "bytes", "In use, and the most that it may use.", {
        used: `redis_memory_used_bytes{${WHERE},job="redis"}`,
        maxmemory: `redis_memory_max_bytes{${WHERE},job="redis"}`,
      }),
    )
    .withPanel(
      graph("Commands", "ops", "Commands a second.", {
        "{{instance}}": `rate(redis_commands_processed_total{${WHERE},job="redis"}[${RATE}])`,
      }),
    )
    .withPanel(
      graph("Up", "bool_on_off", "Whether the exporter reaches Redis.", {
        "{{instance}}": `redis_up{${WHERE},job="redis"}`,
      }),
    )
    .withPanel(
      graph("Keys in Redis", "short", "All keys, of usage and of API keys.", {
        "{{db}}": `redis_db_keys{${WHERE},job="redis",db="db0"}`,
      }),
    )
    .withRow(new RowBuilder("Processes"))
    .withPanel(
      graph(
        "CPU",
        "percentunit",
        "Cores in use, by replica.",
        {
          "{{instance}}": `rate(process_cpu_seconds_total{${WHERE},job="fingerprint-api"}[${RATE}])`,
        },
        8,
      ),
    )
    .withPanel(
      graph(
        "Memory of the app",
        "bytes",
        "Resident, by replica.",
        {
          "{{instance}}": `process_resident_memory_bytes{${WHERE},job="fingerprint-api"}`,
        },
        8,
      ),
    )
    .withPanel(
      graph(
        "Event loop lag",
        "s",
        "99th percentile, by replica.",
        {
          "{{instance}}": `nodejs_eventloop_lag_p99_seconds{${WHERE},job="fingerprint-api"}`,
        },
        8,
      ),
    );
}
