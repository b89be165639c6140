import { readFileSync } from "node:fs";
import { parse } from "yaml";
import type { z } from "zod";
import { kongFileSchema } from "../../scripts/operations/kong-schema.mjs";

/** Kong's declarative file. */
export type KongFile = z.infer<typeof kongFileSchema>;
export type Service = KongFile["services"][number];
export type Consumer = KongFile["consumers"][number];
type Plugin = Service["plugins"][number];

/** Reads the file that is deployed, with the secrets that decK would put in from its environment. */
export function readKongFile(environment: Readonly<Record<string, string>>): KongFile {
  const file = new URL("../../k8s/base/kong/kong.yaml", import.meta.url);
  return fill(kongFileSchema.parse(parse(readFileSync(file, "utf8"))), environment);
}

function fill<T>(value: T, environment: Readonly<Record<string, string>>): T {
  const text = JSON.stringify(value).replaceAll(/\$\{\{ env \\"(DECK_[A-Z_]+)\\" \}\}/g, (_, name: string) => {
    const found = environment[name];
    if (found === undefined) throw new Error(`decK's environment has no ${name}`);
    return found;
  });
  return JSON.parse(text) as T;
}

type Configs = { [One in Plugin as One["name"]]: One["config"] };

/** What a plugin is told, by its name; undefined where it is not used. */
export function configOf<Name extends keyof Configs>(
  plugins: readonly Plugin[] | undefined,
  name: Name,
): Configs[Name] | undefined {
  return plugins?.find((plugin) => plugin.name === name)?.config as Configs[Name] | undefined;
}
