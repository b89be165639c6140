import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { Lexer } from "yaml";
import type { TollkeeperError } from "../../../../src/index.js";
import { LiveConfig } from "../../../../src/service/config/live.js";
import { readConfiguration } from "../../../../src/service/config/read.js";

const many = (count: number, item: (index: number) => string, join = "\n") =>
  Array.from({ length: count }, (_, index) => item(index)).join(join);
const tier = "{ limits: [] }";

/** Texts that are refused, and what is said of each. */
const TEXTS: [name: string, text: string, told: RegExp][] = [
  ["600 KB of nested mappings, as JSON", '{"a":'.repeat(120_000) + 1 + "}".repeat(120_000), /nested deeper than 32/],
  ["the same without an end", '{"a":'.repeat(200_000), /nested deeper than 32/],
  ["nested lists", "[".repeat(1_000_000), /nested deeper than 32/],
  ["lists of one line", "- ".repeat(400_000), /nested deeper than 32|signs/],
  ["questions of one line", "? ".repeat(400_000), /nested deeper than 32|signs/],
  ["mappings by indentation", many(1000, (index) => `${" ".repeat(index)}a:`), /nested deeper than 32/],
  ["a tier nested", `tiers: { gold: ${"{ limits: ".repeat(30)} 1 ${"}".repeat(31)} }`, /nested deeper than 32/],
  ["60,000 unknown fields", many(60_000, (index) => `field${index}: 1`), /more than 40000 lines/],
  ["60,000 unknown fields, as JSON", `{${many(60_000, (index) => `"f${index}":1`, ",")}}`, /more than 1000 entries/],
  ["900 unknown fields", many(900, (index) => `field${index}: 1`), /900 problems[\s\S]*and 850 more$/],
  ["2,000 tiers", `tiers:\n${many(2000, (index) => `  t${index}: ${tier}`)}`, /more than 1000 entries/],
  ["900 tiers that are none", `tiers:\n${many(900, (index) => `  t${index}: 7`)}`, /900 problems/],
  ["a list of 20,000", `ipWhitelist: [${many(20_000, () => "10.0.0.0/8", ", ")}]`, /more than 1000 entries/],
  [
    "a large file of small lists",
    many(900, (index) => `f${index}: [${many(90, () => "1", ",")}]`),
    /more than 60000 signs/,
  ],
  ...[
    ["empty lines", "port: 1\n", "\n"],
    ["lines of a tab", "port: 1\n", "\t\n"],
    ["comments", "port: 1\n", "#\n"],
    ["comments in a list", "ipWhitelist: [\n", "#\n"],
    ["empty lines of a text", "host: |\n", "\n"],
    ["lines of a folded text", "host: >\n", "  a\n"],
    ["lines of a quoted text", 'host: "', " \n"],
  ].map(([name, start, line = ""]): [string, string, RegExp] => [
    `250,000 ${name}`,
    start + line.repeat(250_000),
    /there are more than 40000 lines/,
  ]),
  ["commas", `a: [${",".repeat(900_000)}]`, /signs|entries|Unexpected/],
  ["a long name of a field", `${"a".repeat(900_000)}: 1`, /name of 900000 characters|1024/],
  ["a long value", `host: 7${"7".repeat(900_000)}`, /host is .{0,120}; it may be/],
  ["a long network", `trustProxy: [${"1".repeat(900_000)}]`, /trustProxy is .{0,120}; it may be/],
  [
    "aliases that double",
    `a: &a [1]\n${many(30, (index) => `b${index}: &b${index} [*${index === 0 ? "a" : `b${index - 1}`}, *${index === 0 ? "a" : `b${index - 1}`}]`)}`,
    /lias/,
  ],
  [
    "one long list named 90 times",
    `a: &a [${many(900, () => "1", ",")}]\nb: [${many(90, () => "*a", ",")}]`,
    /with its aliases/,
  ],
  ["a list that holds itself", "a: &a [*a]", /with its aliases|lias/],
  ["a field that is there twice", "port: 1\nport: 2", /Map keys must be unique/],
  ["a field that is there twice, as JSON", '{"port": 1, "port": 2}', /Map keys must be unique/],
  ["a merge", `tiers:\n  a: &a ${tier}\n  b: { <<: *a }`, /<< is unknown|may be/],
  ["a merge by directive", `%YAML 1.1\n---\ntiers:\n  a: &a ${tier}\n  b: { <<: *a }`, /YAML is of version 1.1/],
  ["a tag of another language", "host: !!js/function 'x'", /Unresolved tag/],
  ["a tag of ours for something else", "tiers: !!set { a, b }", /it may be a mapping of tiers by name|tiers is/],
  ["two documents", "port: 1\n---\nport: 2", /several documents/],
  ["a tier named __proto__", `tiers: { __proto__: ${tier} }`, /a field is named __proto__/],
  ["a field named __proto__", "__proto__: { port: 1 }", /a field is named __proto__/],
  ["__proto__ in a limit", "tiers: { a: { limits: [ { __proto__: 1 } ] } }", /a field is named __proto__/],
  ...["constructor", "toString", "hasOwnProperty", "valueOf"].map((name): [string, string, RegExp] => [
    `a tier named ${name}`,
    `tiers: { ${name}: ${tier} }`,
    new RegExp(`tiers.${name} is`),
  ]),
  ["a list of tiers", `tiers: [${tier}]`, /tiers is .*; it may be a mapping of tiers by name/],
  ["an unknown field of a tier", "tiers: { gold: { limits: [], burst: 3 } }", /tiers.gold.burst is unknown/],
  [
    "an unknown field of a limit",
    "tiers: { gold: { limits: [{ name: m, type: bucket, limit: 1, windowSeconds: 1, minut: 1 }] } }",
    /minut is unknown/,
  ],
  ["a key that is a list", "? [a, b]\n: 1", /is unknown/],
  [
    "numbers that are none",
    "tiers: { gold: { limits: [{ name: m, type: bucket, limit: .nan, windowSeconds: .inf }] } }",
    /limit is/,
  ],
];

describe("a hostile configuration file", () => {
  it.each(TEXTS)("%s is refused with few words and little work, and the one before stays in force", (_, text, told) => {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "t.yaml");
    writeFileSync(path, "port: 9999\nfreeMinuteLimit: 5\n");
    const live = new LiveConfig({ RATE_LIMIT_CONFIG: path });
    let lexemes = 0;
    const lex = Lexer.prototype.lex as (this: Lexer, source: string) => Iterable<string>;
    const counted = vi.spyOn(Lexer.prototype, "lex").mockImplementation(function* (
      this: Lexer,
      source,
    ): Generator<string> {
      for (const lexeme of lex.call(this, source) as Iterable<string>) {
        lexemes++;
        yield lexeme;
      }
    });
    onTestFinished(() => counted.mockRestore());
    writeFileSync(path, text);
    const result = live.reload(() => undefined);
    expect(result.outcome).toBe("refused");
    const { code, message } = (result as { error: TollkeeperError }).error;
    expect(code).toBe("ERR_CONFIG_INVALID");
    expect(message).toMatch(told);
    expect(message.length).toBeLessThan(52 * 512);
    expect(message.split("\n").length).toBeLessThanOrEqual(52);
    // With the spaces between them.
    expect(lexemes).toBeLessThanOrEqual(130_000);
    expect(live.config.freeMinuteLimit).toBe(5);
  });

  it.each<[string, ((path: string) => void) | undefined]>([
    ["a pipe", (path) => void spawnSync("mkfifo", [path])],
    ["a device without an end", undefined],
    ["more than 1 MiB", (path) => writeFileSync(path, "#".repeat(3_000_000))],
  ])("%s is not waited for or read to its end", (_, make) => {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = make === undefined ? "/dev/zero" : join(folder, "t.yaml");
    make?.(path);
    expect(() => readConfiguration({ RATE_LIMIT_CONFIG: path })).toThrow(/no regular file|3000000 bytes; it may have/);
  });
});

describe("a hostile environment", () => {
  it.each<[string, Record<string, string>, RegExp]>([
    [
      "20,000 unknown variables",
      Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`RATE_LIMIT_X${index}`, "1"])),
      /20000 problems/,
    ],
    ["an unknown variable with a long name", { [`RATE_LIMIT_${"X".repeat(100_000)}`]: "1" }, /is unknown/],
    ["a number of 100,000 digits", { PORT: "9".repeat(100_000) }, /PORT is .{0,120}; it may be a whole number/],
    [
      "60,000 networks",
      { RATE_LIMIT_IP_WHITELIST: many(60_000, (index) => `10.${index >> 8}.${index & 255}.1`, ",") },
      /more than 1000/,
    ],
    ["60,000 empty networks", { RATE_LIMIT_TRUST_PROXY: ",".repeat(60_000) }, /more than 1000/],
    ["60,000 origins", { RATE_LIMIT_CORS_ORIGINS: ",".repeat(60_000) }, /more than 1000/],
  ])("%s is refused with few words", (_, environment, told) => {
    let message = "";
    try {
      readConfiguration(environment);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(told);
    expect(message.length).toBeLessThan(52 * 512);
  });
});
