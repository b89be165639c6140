import { type Problems, shortened } from "./problems.js";
import { SETTINGS } from "./schema.js";
import { nearest } from "./suggestion.js";

const PREFIX = "RATE_LIMIT_";
/** UTF-16 units that are told of an unknown name. */
const MAX_NAME = 100;

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says of each setting, not yet checked. Each variable of our prefix that is unknown is a problem. */
export function readVariables(environment: Environment, problems: Problems): Record<string, unknown> {
  const settings = Object.entries(SETTINGS);
  const known = new Set(settings.map(([, { variable }]) => variable));
  const unknown = Object.keys(environment)
    .filter((variable) => variable.startsWith(PREFIX) && environment[variable] !== undefined)
    .filter((variable) => !(known as Set<string>).has(variable))
    .sort();
  for (const variable of unknown) {
    problems.add(() => `${shortened(variable, MAX_NAME)} is unknown; ${suggestion(variable, known)}`);
  }
  const values: Record<string, unknown> = {};
  for (const [name, { variable, read }] of settings) {
    const text = environment[variable];
    if (text !== undefined) values[name] = read(text);
  }
  return values;
}

/** The known variable nearest to a misspelt one, or where to find them all. */
function suggestion(variable: string, known: ReadonlySet<string>): string {
  const meant = nearest(variable, known);
  return meant === undefined ? "docs/configuration.md lists those that there are" : `did you mean ${meant}?`;
}
