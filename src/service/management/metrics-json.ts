import type { Registry } from "prom-client";

/** One metric of a registry, for programs that read JSON. */
export interface JsonMetric {
  name: string;
  help: string;
  type: string;
  values: { name: string; labels: Record<string, string | number>; value: number | null }[];
}

/** The figures of a registry as JSON: what the Prometheus text says, line by line; null for what is not a number. */
export async function metricsAsJson(registry: Registry): Promise<JsonMetric[]> {
  return (await registry.getMetricsAsJSON()).map(({ name, help, type, values }) => ({
    name,
    help,
    type: String(type),
    values: values.map(({ value, labels, ...rest }) => ({
      name: (rest as { metricName?: string }).metricName ?? name,
      labels: labels as Record<string, string | number>,
      value: Number.isFinite(value) ? value : null,
    })),
  }));
}
