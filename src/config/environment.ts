import { SETTINGS } from "./schema.js";
import { nearest } from "./suggestion.js";

const PREFIX = "RATE_LIMIT_";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says of each setting, not yet checked; and each variable of our prefix that is unknown. */
export function readVariables(environment: Environment): { values: Record<string, unknown>; problems: string[] } {
  const settings = Object.entries(SETTINGS);
  const known = new Set(settings.map(([, { variable }]) => variable));
  const problems = Object.keys(environment)
    .filter((variable) => variable.startsWith(PREFIX) && environment[variable] !== undefined)
    .filter((variable) => !(known as Set<string>).has(variable))
    .sort()
    .map((variable) => `${variable} is unknown; ${suggestion(variable, known)}`);
  const values: Record<string, unknown> = {};
  for (const [name, { variable, read }] of settings) {
    const text = environment[variable];
    if (text !== undefined) values[name] = read(text);
  }
  return { values, problems };
}

/** The known variable nearest to a misspelt one, or where to find them all. */
function suggestion(variable: string, known: ReadonlySet<string>): string {
  const meant = nearest(variable, known);
  return meant === undefined ? "docs/configuration.md lists those that there are" : `did you mean ${meant}?`;
}
