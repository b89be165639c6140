import type { DashboardBuilder } from "@grafana/grafana-foundation-sdk/dashboard";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimeSeriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

/** Where the queries go: what the viewer has chosen. */
const DATASOURCE = { type: "prometheus", uid: "$datasource" };

/** Queries by legend; a legend may name labels, as `{{route}}`. */
export type Queries = Readonly<Record<string, string>>;

/** Figures over time. `width` is of 24. */
export function graph(
  title: string,
  unit: string,
  description: string,
  queries: Queries,
  width = 12,
): TimeSeriesBuilder {
  const panel = new TimeSeriesBuilder()
    .title(title)
    .description(description)
    .unit(unit)
    .datasource(DATASOURCE)
    .height(8)
    .span(width)
    .min(0)
    .fillOpacity(8);
  for (const query of queriesOf(queries)) panel.withTarget(query);
  return panel;
}

/** One figure, as it is now. */
export function figure(title: string, unit: string, description: string, query: string): StatBuilder {
  return new StatBuilder()
    .title(title)
    .description(description)
    .unit(unit)
    .datasource(DATASOURCE)
    .height(4)
    .span(4)
    .withTarget(new DataqueryBuilder().refId("A").expr(query).instant());
}

function queriesOf(queries: Queries): DataqueryBuilder[] {
  return Object.entries(queries).map(([legend, expr], index) =>
    new DataqueryBuilder()
      .refId(String.fromCharCode("A".charCodeAt(0) + index))
      .expr(expr)
      .legendFormat(legend)
      .range(),
  );
}

/**
 * A dashboard with the variables that all have: the datasource and the namespace.
 *
 * @param metric One that only the namespaces to choose from have.
 */
export function dashboardOf(uid: string, title: string, description: string, metric: string): DashboardBuilder {
  return new dashboard.DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["tollkeeper"])
    .editable()
    .refresh("30s")
    .time({ from: "now-1h", to: "now" })
    .timezone("browser")
    .withVariable(new dashboard.DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"))
    .withVariable(
      new dashboard.QueryVariableBuilder("namespace")
        .label("Namespace")
        .datasource(DATASOURCE)
        .query(`label_values(${metric}, namespace)`)
        .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
        .sort(dashboard.VariableSort.AlphabeticalAsc),
    );
}
