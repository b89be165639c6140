import { redactedUrl } from "tollkeeper";
import { type Configuration, readConfiguration, sourceText } from "../config/read.js";
import { type Config, SETTINGS, type SettingName } from "../config/schema.js";
import { tiersOf } from "../config/tiers.js";
import { columns, type Output } from "./output.js";
import { limitsText } from "./tiers.js";

const names = Object.keys(SETTINGS) as SettingName[];

/**
 * Prints the effective configuration, where each value comes from, and no secret.
 *
 * @throws {ServiceError} `ERR_CONFIG_INVALID`
 */
export function checkConfig(environment: NodeJS.ProcessEnv, json: boolean, output: Output): void {
  const configuration = readConfiguration(environment);
  for (const warning of configuration.warnings) output.note(warning);
  if (json) output.print(JSON.stringify(asJson(configuration), undefined, 2));
  else for (const line of asText(configuration, output)) output.print(line);
}

function asJson({ config, sources }: Configuration): object {
  const settings = names.map((name) => [
    name,
    { value: shown(config, name) ?? null, source: sourceText(sources[name]), variable: SETTINGS[name].variable },
  ]);
  return { settings: Object.fromEntries(settings), tiers: tiersOf(config) };
}

function asText({ config, sources }: Configuration, { dim }: Output): string[] {
  const rows = names.map((name) => [name, textOf(shown(config, name)), sourceText(sources[name])]);
  const settings = columns(rows).map((line, index) => {
    const source = rows[index]?.[2] ?? "";
    return line.slice(0, line.length - source.length) + dim(source);
  });
  const tiers = Object.entries(tiersOf(config)).map(([name, { limits }]) => [name, limitsText(limits)]);
  return [...settings, "", "tiers", ...columns(tiers).map((line) => `  ${line}`)];
}

/** A setting as it may be shown: of a secret only that there is one, and of an address all but its password. */
function shown(config: Config, name: SettingName): unknown {
  const value = config[name];
  if (!SETTINGS[name].secret || value === undefined) return value;
  return name === "redisUrl" ? redactedUrl(String(value)) : "******";
}

function textOf(value: unknown): string {
  if (value === undefined) return "-";
  return Array.isArray(value) ? value.join(",") || "(empty)" : String(value);
}
