// The dashboards as Grafana loads them: each by the name of its file in generated/.
import { gatewayDashboard } from "./gateway.js";
import { limiterDashboard } from "./limiter.js";

/** The text of each dashboard, JSON. */
export function generateDashboards(): Record<string, string> {
  const dashboards = { gateway: gatewayDashboard(), limiter: limiterDashboard() };
  return Object.fromEntries(
    Object.entries(dashboards).map(([name, builder]) => [name, `${JSON.stringify(builder.build(), undefined, 2)}\n`]),
  );
}
