import { TollkeeperError } from "../errors.js";
import { type Config, configSchema, SETTINGS } from "./schema.js";
import type { Setting } from "./setting.js";

const PREFIX = "RATE_LIMIT_";
/** Most keys that the JavaScript engine holds. */
const MAX_KEYS_JS = 16_000_000;

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

const settings = Object.entries(SETTINGS) as [keyof Config, Setting<unknown>][];

/**
 * Reads the configuration from environment variables.
 *
 * @throws {TollkeeperError} `ERR_CONFIG_INVALID`, naming every variable that is unknown or of a bad value, what it was
 * and what it may be; secrets are not shown.
 */
export function readEnvironment(environment: Environment): Config {
  const known = new Set(settings.map(([, { variable }]) => variable));
  const problems = Object.keys(environment)
    .filter((variable) => variable.startsWith(PREFIX) && environment[variable] !== undefined && !known.has(variable))
    .sort()
    .map((variable) => `${variable} is unknown; ${suggestion(variable, known)}`);

  const values: Record<string, unknown> = {};
  for (const [name, { variable, read }] of settings) {
    const text = environment[variable];
    if (text !== undefined) values[name] = read(text);
  }
  const parsed = configSchema.safeParse(values);
  if (!parsed.success) {
    for (const [name, setting] of settings) {
      const issue = parsed.error.issues.find(({ path }) => path[0] === name);
      if (issue === undefined) continue;
      const reason = issue.code === "custom" && issue.message !== "Invalid input" ? ` (${issue.message})` : "";
      problems.push(`${setting.variable} is ${shown(setting, environment)}; it may be ${setting.mayBe}${reason}`);
    }
  }
  if (parsed.success && parsed.data.engine === "js" && parsed.data.maxKeys > MAX_KEYS_JS) {
    const { maxKeys, engine } = SETTINGS;
    const mayBe = `a whole number, 1 to ${MAX_KEYS_JS}, with ${engine.variable}=js`;
    problems.push(`${maxKeys.variable} is ${shown(maxKeys, environment)}; it may be ${mayBe}`);
  }
  if (problems.length > 0 || !parsed.success) {
    const heading = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    const lines = problems.map((problem) => `\n  ${problem}`).join("");
    throw new TollkeeperError("ERR_CONFIG_INVALID", `the environment can't be used, ${heading}:${lines}`);
  }
  return parsed.data;
}

/** Whether a setting was given, and not left to its default. */
export function isSet(name: keyof Config, environment: Environment): boolean {
  return environment[SETTINGS[name].variable] !== undefined;
}

function shown({ variable, secret }: Setting<unknown>, environment: Environment): string {
  return secret ? "******" : JSON.stringify(environment[variable]);
}

/** The known variable nearest to a misspelt one, or where to find them all. */
function suggestion(variable: string, known: ReadonlySet<string>): string {
  const nearest = [...known].find((name) => distance(name, variable) <= 2);
  return nearest === undefined ? "docs/configuration.md lists those that there are" : `did you mean ${nearest}?`;
}

/** Letters to insert, delete or replace to turn one text into the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
