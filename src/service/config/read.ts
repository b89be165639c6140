import { checkTiers, maxKeysOf, type TollkeeperError } from "tollkeeper";
import { checkPrices } from "tollkeeper/ledger";
import type { z } from "zod";
import { jsonPath } from "../json-path.js";
import { METERS } from "../meters.js";
import { type Environment, readVariables } from "./environment.js";
import { type ConfigFile, parseFile } from "./file.js";
import { PRESETS } from "./presets.js";
import { Problems, shortened } from "./problems.js";
import { type Config, layerSchema, NOT_IN_FILE, SETTINGS, type SettingName } from "./schema.js";
import type { Setting } from "./setting.js";
import { nearest } from "./suggestion.js";
import { readText } from "./text.js";
import { LIMIT_SETTINGS, tiersOf } from "./tiers.js";

/** UTF-16 units that are told of a value, and of where it stands. */
const MAX_SHOWN = 100;

/** Where the value of a setting comes from. */
export type Source =
  | { kind: "default" }
  | { kind: "preset"; preset: string }
  | { kind: "file"; path: string; line: number }
  | { kind: "environment"; variable: string };

/** The effective configuration, and where each value of it comes from. */
export interface Configuration {
  readonly config: Config;
  readonly sources: Readonly<Record<keyof Config, Source>>;
  /** What its owner should know though it can be used. */
  readonly warnings: readonly string[];
}

/** What one place says. */
type Layer = Partial<Config>;

const names = Object.keys(SETTINGS) as SettingName[];

/**
 * Reads the configuration: environment variables over the file that `RATE_LIMIT_CONFIG` names, over a preset, over the
 * defaults.
 *
 * @throws {ServiceError} `ERR_CONFIG_INVALID`, naming every variable and field that is unknown or of a bad value,
 * where it stands, what it was and what it may be; secrets are not shown.
 */
export function readConfiguration(environment: Environment): Configuration {
  const problems = new Problems();
  const variables = readVariables(environment, problems);
  const shownVariable = (name: SettingName) =>
    `${SETTINGS[name].variable} is ${shown(SETTINGS[name], environment[SETTINGS[name].variable])}`;
  const fromEnvironment = check(variables, (path) => shownVariable(path[0] as SettingName), problems);

  const { config: path } = fromEnvironment;
  const { file, isOpenToAll = false } = path === undefined ? {} : openFile(path, problems);
  const fromFile: Layer = file === undefined ? {} : checkFile(file, problems);

  const preset = fromEnvironment.preset ?? fromFile.preset ?? SETTINGS.preset.fallback;
  const sources: Partial<Record<keyof Config, Source>> = {};
  const merged: Record<string, unknown> = {};
  for (const name of names) {
    const [value, source] = pick(name, { fromEnvironment, fromFile, preset, file });
    merged[name] = value;
    sources[name] = source;
  }
  sources.tiers = fromFile.tiers === undefined ? { kind: "default" } : fileSource(file, ["tiers"]);
  sources.prices = fromFile.prices === undefined ? { kind: "default" } : fileSource(file, ["prices"]);
  const given = { tiers: structuredClone(fromFile.tiers ?? {}), prices: fromFile.prices ?? {} };
  const config = { ...merged, ...given } as Config;
  settleLimits(config, sources as Configuration["sources"], problems);
  if (problems.count === 0) checkTogether(config, file, shownVariable, problems);
  problems.check();
  const secrets = isOpenToAll ? names.filter((name) => SETTINGS[name].secret && Object.hasOwn(fromFile, name)) : [];
  const warnings = secrets.map((name) => `${path} holds ${name} and can be read by everybody; chmod o-r the file`);
  return { config, sources: sources as Configuration["sources"], warnings };
}

/** Where a value comes from, for people. */
export function sourceText(source: Source): string {
  switch (source.kind) {
    case "default":
      return "default";
    case "preset":
      return `preset ${source.preset}`;
    case "file":
      return `${source.path}:${source.line}`;
    case "environment":
      return source.variable;
  }
}

interface Layers {
  fromEnvironment: Layer;
  fromFile: Layer;
  preset: Config["preset"];
  file: ConfigFile | undefined;
}

/** The value of a setting from the uppermost place that has one. */
function pick(name: SettingName, { fromEnvironment, fromFile, preset, file }: Layers): [value: unknown, Source] {
  const { variable, fallback } = SETTINGS[name];
  if (Object.hasOwn(fromEnvironment, name)) return [fromEnvironment[name], { kind: "environment", variable }];
  if (Object.hasOwn(fromFile, name)) return [fromFile[name], fileSource(file, [name])];
  if (Object.hasOwn(PRESETS[preset], name)) return [PRESETS[preset][name], { kind: "preset", preset }];
  return [fallback, { kind: "default" }];
}

function fileSource(file: ConfigFile | undefined, path: readonly PropertyKey[]): Source {
  return { kind: "file", path: file?.path ?? "", line: file?.lineOf(path) ?? 1 };
}

/** A file, and whether everybody on this machine can read it. */
function openFile(path: string, problems: Problems): { file?: ConfigFile; isOpenToAll?: boolean } {
  try {
    const found = readText(path);
    if ("problem" in found) {
      problems.add(() => `${path}: ${found.problem}`);
      return {};
    }
    const file = parseFile(path, found.text);
    for (const problem of file.problems) problems.add(() => problem);
    return { file, isOpenToAll: (found.mode & 0o004) !== 0 };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    problems.add(() => `${SETTINGS.config.variable} is ${JSON.stringify(path)}, which can't be read (${code})`);
    return {};
  }
}

function checkFile(file: ConfigFile, problems: Problems): Layer {
  const place = (path: readonly PropertyKey[]): string => `${file.path}:${file.lineOf(path)}: `;
  const { values } = file;
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    problems.add(() => `${file.path}:1: the file is ${shown(undefined, values)}; it may be a mapping of settings`);
    return {};
  }
  for (const name of NOT_IN_FILE) {
    if (Object.hasOwn(values, name)) problems.add(() => `${place([name])}${name} may only be in the environment`);
  }
  const describe = (path: readonly PropertyKey[]): string => {
    const name = path[0] as SettingName;
    return `${place(path)}${shortened(jsonPath(path), MAX_SHOWN)} is ${shown(SETTINGS[name], valueAt(values, path))}`;
  };
  return check(values as Record<string, unknown>, describe, problems);
}

/**
 * Checks what one place says.
 *
 * @param describe Says where a value stands, and what it was.
 * @returns What was good of it.
 */
function check(
  values: Record<string, unknown>,
  describe: (path: readonly PropertyKey[]) => string,
  problems: Problems,
): Layer {
  const parsed = layerSchema.safeParse(values);
  if (parsed.success) return onlyGiven(parsed.data as Layer);
  const bad = new Set<PropertyKey>();
  for (const issue of parsed.error.issues.flatMap(flattened)) {
    const [name] = issue.path;
    if (name === undefined) continue;
    // One problem for each setting, but every one of a tier's, which has many fields.
    if (name !== "tiers" && bad.has(name)) continue;
    bad.add(name);
    problems.add(() => problemOf(issue, describe));
  }
  const good = Object.fromEntries(Object.entries(values).filter(([name]) => !bad.has(name)));
  return onlyGiven((layerSchema.safeParse(good).data ?? {}) as Layer);
}

function onlyGiven(layer: Layer): Layer {
  return Object.fromEntries(Object.entries(layer).filter(([, value]) => value !== undefined)) as Layer;
}

/** An unknown field is one problem for each, at its own place. */
function flattened(issue: z.core.$ZodIssue): (z.core.$ZodIssue & { unknownBeside?: boolean })[] {
  if (issue.code !== "unrecognized_keys") return [issue];
  return issue.keys.map((key) => ({ ...issue, path: [...issue.path, key], unknownBeside: true }));
}

function problemOf(
  issue: z.core.$ZodIssue & { unknownBeside?: boolean },
  describe: (path: readonly PropertyKey[]) => string,
): string {
  const { path } = issue;
  if (issue.unknownBeside) {
    const field = String(path.at(-1));
    const meant = path.length === 1 ? nearest(field, [...names, "tiers", "prices"]) : undefined;
    const where = describe(path).split(" is ")[0];
    return `${where} is unknown; ${meant === undefined ? "docs/configuration.md lists those that there are" : `did you mean ${meant}?`}`;
  }
  if (path[0] === "tiers" || path[0] === "prices") return `${describe(path)}; it may be ${issue.message}`;
  const { mayBe, fallback } = SETTINGS[path[0] as SettingName];
  const isNoList = Array.isArray(fallback) && issue.code === "invalid_type" && path.length === 1;
  const isExplained = issue.code === "custom" && issue.message !== "Invalid input";
  const reason = isNoList ? " (in a file, a list of them)" : isExplained ? ` (${issue.message})` : "";
  return `${describe([path[0] as PropertyKey])}; it may be ${mayBe}${reason}`;
}

/** Settings that are a limit of a tier, where the file has that tier itself: the environment changes it. */
function settleLimits(config: Config, sources: Configuration["sources"], problems: Problems): void {
  for (const [name, [tier, limit]] of Object.entries(LIMIT_SETTINGS)) {
    const configured = config.tiers[tier];
    const source = sources[name as SettingName];
    if (configured === undefined || source.kind === "default" || source.kind === "preset") continue;
    const target = configured.limits.find((candidate) => candidate.name === limit);
    const where = source.kind === "environment" ? source.variable : `${sourceText(source)}: ${name}`;
    if (source.kind === "file") {
      problems.add(() => `${where} is a limit of tiers.${tier}, which the file has too; it may be in one place only`);
    } else if (target === undefined) {
      problems.add(() => `${where} is the limit ${limit} of tiers.${tier}, which has none of that name in the file`);
    } else {
      target.limit = config[name as keyof typeof LIMIT_SETTINGS];
    }
  }
}

/** What can be told only of all values together. */
function checkTogether(
  config: Config,
  file: ConfigFile | undefined,
  shownVariable: (name: SettingName) => string,
  problems: Problems,
): void {
  if (config.engine === "js" && config.maxKeys > maxKeysOf("js")) {
    const mayBe = `a whole number, 1 to ${maxKeysOf("js")}, with ${SETTINGS.engine.variable}=js`;
    problems.add(() => `${shownVariable("maxKeys")}; it may be ${mayBe}`);
  }
  if (config.requireGateway && config.gatewaySecret === undefined && config.gatewaySecretPrevious === undefined) {
    problems.add(() => `requireGateway is true; it may be true with ${SETTINGS.gatewaySecret.variable} only`);
  }
  try {
    checkTiers(tiersOf(config));
  } catch (error) {
    const { message } = error as TollkeeperError;
    const path = (/^tiers\S*/.exec(message)?.[0] ?? "tiers").split(/[.[\]]+/);
    problems.add(() => (file === undefined ? message : `${file.path}:${file.lineOf(path)}: ${message}`));
  }
  checkPlans(config, file, problems);
}

/** Prices are of plans and meters that there are. */
function checkPlans(config: Config, file: ConfigFile | undefined, problems: Problems): void {
  const place = (path: readonly string[]) => `${file?.path}:${file?.lineOf(["prices", ...path])}: prices.`;
  const tiers = Object.keys(tiersOf(config));
  for (const plan of Object.keys(config.prices)) {
    const mayBe = `one of ${tiers.join(", ")}`;
    if (!tiers.includes(plan)) problems.add(() => `${place([plan])}${plan} is of no plan; it may be ${mayBe}`);
  }
  try {
    config.prices = checkPrices(config.prices, METERS);
  } catch (error) {
    const { message } = error as TollkeeperError;
    const path = (/^\S+/.exec(message.replace(/^prices\.?/, ""))?.[0] ?? "")
      .split(/[.[\]]+/)
      .filter((part) => part !== "");
    problems.add(() => `${place(path)}${message.replace(/^prices\.?/, "")}`);
  }
}

function valueAt(values: object, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], values);
}

function shown(setting: Setting<unknown> | undefined, value: unknown): string {
  if (setting?.secret) return "******";
  return shortened(JSON.stringify(value) ?? "missing", MAX_SHOWN);
}
