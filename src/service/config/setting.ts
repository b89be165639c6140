import { holdEverything, type Network, parseNetwork } from "tollkeeper/http";
import { z } from "zod";
import { MAX_ENTRIES } from "./bounds.js";

/** One setting: what it may be, how it is written in the environment, and what to say when it is something else. */
export interface Setting<T> {
  /** The environment variable. */
  readonly variable: string;
  readonly schema: z.ZodType<T>;
  readonly fallback: T;
  /** Reads the text of an environment variable into what the schema checks. */
  readonly read: (text: string) => unknown;
  /** "it may be …" */
  readonly mayBe: string;
  readonly description: string;
  /** Never shown. */
  readonly secret: boolean;
}

type Words = Pick<Setting<unknown>, "mayBe" | "description">;

function setting<T>(
  variable: string,
  schema: z.ZodType<T>,
  fallback: T,
  read: (text: string) => unknown,
  words: Words,
  secret = false,
): Setting<T> {
  return { variable, schema, fallback, read, ...words, secret };
}

/** Any text of at least one character. */
export function text(variable: string, fallback: string, mayBe: string, description: string): Setting<string> {
  return setting(variable, z.string().min(1), fallback, (text) => text, { mayBe, description });
}

/** What names in Redis may begin with, so that none of one prefix can be one of another. */
export function word(variable: string, fallback: string, description: string): Setting<string> {
  const mayBe = "1 to 64 letters, digits, _, - and .";
  return setting(variable, z.string().regex(/^[\w.-]{1,64}$/), fallback, (text) => text, { mayBe, description });
}

/** A text that is never shown; undefined when it is not set. */
export function secret(variable: string, minLength: number, description: string): Setting<string | undefined> {
  const mayBe = `a text of at least ${minLength} character${minLength === 1 ? "" : "s"}`;
  return setting(
    variable,
    z.string().min(minLength).optional(),
    undefined,
    (text) => text,
    { mayBe, description },
    true,
  );
}

/** A secret that comes as a header field, which can hold no others: with a line break, say, it would never match. */
export function fieldSecret(variable: string, description: string): Setting<string | undefined> {
  const mayBe = "a text of 16 to 1000 visible ASCII characters, with spaces between them at most";
  const schema = z.string().regex(/^[!-~][ -~]{14,998}[!-~]$/);
  return setting(variable, schema.optional(), undefined, (text) => text, { mayBe, description }, true);
}

/** A setting that may be left out, and has no default. */
export function optional<T>(setting: Setting<T>): Setting<T | undefined> {
  return { ...setting, schema: setting.schema.optional(), fallback: undefined };
}

/** A whole number. */
export function integer(
  variable: string,
  fallback: number,
  [least, most]: readonly [number, number],
  description: string,
): Setting<number> {
  const mayBe = `a whole number, ${least} to ${most}`;
  return setting(variable, z.int().min(least).max(most), fallback, numberOf, { mayBe, description });
}

/** A number with at most three decimals. */
export function decimal(
  variable: string,
  fallback: number,
  [least, most]: readonly [number, number],
  description: string,
): Setting<number> {
  const schema = z.number().min(least).max(most).multipleOf(0.001);
  const mayBe = `a number, ${least} to ${most}, with at most three decimals`;
  return setting(variable, schema, fallback, numberOf, { mayBe, description });
}

/** Percentages that rise. */
export function percentages(
  variable: string,
  fallback: number[],
  most: number,
  description: string,
): Setting<number[]> {
  const mayBe = `up to 10 whole numbers that rise, 1 to ${most}, separated by commas, or empty for none`;
  const rises = (list: number[]) => list.every((value, index) => index === 0 || value > (list[index - 1] ?? 0));
  const schema = z.array(z.int().min(1).max(most)).max(10).refine(rises);
  return setting(variable, schema, fallback, (text) => listOf(text).map(numberOf), { mayBe, description });
}

/** `true` or `false`. */
export function flag(variable: string, fallback: boolean, description: string): Setting<boolean> {
  const read = (text: string) => (text === "true" ? true : text === "false" ? false : text);
  return setting(variable, z.boolean(), fallback, read, { mayBe: "true or false", description });
}

/** One word of several. */
export function choice<const T extends readonly [string, ...string[]]>(
  variable: string,
  words: T,
  fallback: T[number],
  description: string,
): Setting<T[number]> {
  const mayBe = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return setting(variable, z.enum(words), fallback, (text) => text, { mayBe, description });
}

/** Networks in CIDR notation, separated by commas; `but` says what else one might expect, and why not. */
export function networks(variable: string, description: string, but = ""): Setting<string[]> {
  const network = z.string().superRefine((cidr, context) => {
    const parsed = parseNetwork(cidr);
    if (typeof parsed === "string") context.addIssue(`${cidr || "an empty item"} can't be used: ${parsed}`);
  });
  const mayBe = `networks in CIDR notation, separated by commas, such as 10.0.0.0/8,2001:db8::/32${but}`;
  const list = listOfAll(network).superRefine((cidrs, context) => {
    const parsed = cidrs.map(parseNetwork).filter((cidr): cidr is Network => typeof cidr !== "string");
    if (holdEverything(parsed)) context.addIssue("together they hold every address, so they would trust everybody");
  });
  return setting(variable, list, [], listOf, { mayBe, description });
}

/** Origins as browsers send them, separated by commas; `*` is any. */
export function origins(variable: string, fallback: string[], description: string): Setting<string[]> {
  const origin = z.string().refine((text) => text === "*" || isOrigin(text));
  const mayBe = "origins such as https://example.com, separated by commas, * for any, or empty for none";
  return setting(variable, listOfAll(origin), fallback, listOf, { mayBe, description });
}

/** A list whose items are looked at only if there are not too many. */
function listOfAll(item: z.ZodType<string>) {
  const isShort = (items: unknown[]) => items.length <= MAX_ENTRIES;
  const message = `there are more than ${MAX_ENTRIES} of them`;
  return z.array(z.unknown()).refine(isShort, { error: message, abort: true }).pipe(z.array(item));
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && /^https?:/.test(text) && new URL(text).origin === text;
}

function numberOf(text: string): unknown {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function listOf(text: string): string[] {
  return text.trim() === "" ? [] : text.split(",").map((item) => item.trim());
}
