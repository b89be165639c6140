import type { Config } from "./config/schema.js";
import type { DemoKey } from "./demo.js";
import { VERSION } from "./version.js";

/** What the start of the service is told from. */
export interface Start {
  /** `http://127.0.0.1:8080` */
  url: string;
  engine: { kind: "native" | "js" | "redis"; reason: string | undefined };
  storage: string;
  /** Where metrics are, if they have a port of their own. */
  metricsUrl: string | undefined;
  demoKeys: readonly DemoKey[];
  /** Demo keys that are stored and were not revoked. */
  stored: number;
  config: Config;
}

/** How Chromium begins a TLS connection. */
const EXAMPLE = { fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } };

/** What is printed once the service listens, a line each. The demo keys are shown here and never again. */
export function startLines({ url, engine, storage, metricsUrl, demoKeys, stored, config }: Start): string[] {
  const why = engine.reason === undefined ? "" : ` (${engine.reason})`;
  const lines = [`fingerprint-api ${VERSION} on ${url}, engine ${engine.kind}${why}`, `storage: ${storage}`];
  if (metricsUrl !== undefined) lines.push(`metrics: ${metricsUrl}`);
  if (demoKeys.length > 0) {
    lines.push("demo keys, shown only now:");
    for (const { tier, key } of demoKeys) lines.push(`  ${tier.padEnd(10)} ${key}`);
    lines.push("try:", `  ${curl(url, demoKeys[0]?.key)}`);
  } else if (config.demoKeys === "never") {
    const refused = stored === 0 ? "none" : `${stored} of an earlier start are stored, and refused`;
    lines.push(`demo keys: ${refused}, as RATE_LIMIT_DEMO_KEYS=never says`, "try:", `  ${curl(url, undefined)}`);
  } else {
    lines.push(
      "demo keys: none made, since there are keys already; only their hashes are kept, so they can't be shown again",
      ...(stored === 0 ? [] : [`  ${stored} of an earlier start are good; RATE_LIMIT_DEMO_KEYS=never refuses them`]),
      "  for new ones (older demo keys are then revoked): RATE_LIMIT_DEMO_KEYS=new npm start",
      "try:",
      `  ${curl(url, undefined)}`,
    );
  }
  return lines;
}

function curl(url: string, key: string | undefined): string {
  const authorization = key === undefined ? "" : ` -H 'Authorization: Bearer ${key}'`;
  return `curl -i ${url}/v1/identify${authorization} -H 'Content-Type: application/json' -d '${JSON.stringify(EXAMPLE)}'`;
}
