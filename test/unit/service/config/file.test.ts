import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { readConfiguration, sourceText } from "../../../../src/service/config/read.js";
import { tiersOf } from "../../../../src/service/config/tiers.js";

/** The path of a file with that text, which goes with the test. */
function fileOf(text: string, name = "tollkeeper.yaml"): string {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function read(text: string, environment: Record<string, string> = {}, name?: string) {
  const path = fileOf(text, name);
  return { path, ...readConfiguration({ RATE_LIMIT_CONFIG: path, ...environment }) };
}

function problemsOf(text: string, environment: Record<string, string> = {}): string[] {
  try {
    read(text, environment);
  } catch (error) {
    const lines = (error as Error).message.split("\n  ").slice(1);
    return lines.map((line) => line.replace(/^\S*tollkeeper\.yaml/, "FILE"));
  }
  throw new Error("the file was accepted");
}

const GOLD = `
tiers:
  gold:
    limits:
      - { name: minute, type: bucket, limit: 500, windowSeconds: 60 }
      - { name: month, type: quota, limit: 5000, period: month, shadow: true }
  free:
    limits:
      - { name: minute, type: bucket, limit: 10, windowSeconds: 60, burst: 1 }
`;

describe("a configuration file", () => {
  it("stands above a preset and below the environment, and every value knows where it is from", () => {
    const text = "preset: production\nport: 9000\nfreeMinuteLimit: 5\nipWhitelist: [10.0.0.0/8, 192.0.2.1]\n";
    const { config, sources, path } = read(text, { PORT: "9001" });
    expect(config).toMatchObject({
      host: "0.0.0.0",
      port: 9001,
      freeMinuteLimit: 5,
      demoKeys: "never",
      mode: "leased",
    });
    expect(config.ipWhitelist).toEqual(["10.0.0.0/8", "192.0.2.1"]);
    expect(sourceText(sources.host)).toBe("preset production");
    expect(sourceText(sources.port)).toBe("PORT");
    expect(sourceText(sources.freeMinuteLimit)).toBe(`${path}:3`);
    expect(sourceText(sources.mode)).toBe("default");
  });

  it("may be JSON", () => {
    const { config, sources } = read('{\n  "port": 9000,\n  "tiers": {}\n}', {}, "tollkeeper.json");
    expect(config.port).toBe(9000);
    expect(sources.port).toMatchObject({ kind: "file", line: 2 });
  });

  it("may have nothing but comments", () => {
    expect(read("# nothing yet\n").config.port).toBe(8080);
  });

  it("lets a quota have overage", () => {
    const month = "{ name: month, type: quota, limit: 1000000, period: month, overage: { max: 500000 } }";
    const { gold } = tiersOf(read(`tiers:\n  gold:\n    limits: [${month}]\n`).config);
    expect(gold?.limits).toEqual([
      { name: "month", type: "quota", limit: 1_000_000, period: "month", overage: { max: 500_000 } },
    ]);
  });

  it("adds tiers and replaces built-in ones; a bucket without a burst has that of burstMultiplier", () => {
    const tiers = tiersOf(read(`burstMultiplier: 2${GOLD}`).config);
    const bucket = { name: "minute", type: "bucket", windowSeconds: 60 };
    expect(tiers["gold"]?.limits).toEqual([
      { ...bucket, limit: 500, burst: 2 },
      { name: "month", type: "quota", limit: 5000, period: "month", shadow: true },
    ]);
    expect(tiers["free"]?.limits).toEqual([{ ...bucket, limit: 10, burst: 1 }]);
    expect(Object.keys(tiers)).toEqual(["free", "pro", "enterprise", "partner", "anonymous", "trusted", "gold"]);
  });

  it("has its limits changed by the environment, also those of a tier that it has itself", () => {
    const { config } = read(GOLD, { RATE_LIMIT_FREE_MINUTE_LIMIT: "7" });
    expect(tiersOf(config)["free"]?.limits).toMatchObject([{ name: "minute", limit: 7, burst: 1 }]);
  });

  it("refuses what can't be in it, at its line, with what it was and what it may be", () => {
    expect(
      problemsOf(`preset: prod
port: "80"
freeMinuteLimt: 3
config: other.yaml
keyPepper: short
tiers:
  gold:
    limits:
      - name: minute
        type: bucket
        limit: -1
        windowSeconds: 60
        brust: 2
  free: 5
  pro:
    limits:
      - { name: month, type: weekly, limit: 5 }
`),
    ).toEqual([
      "FILE:4: config may only be in the environment",
      'FILE:1: preset is "prod"; it may be development, staging or production',
      'FILE:2: port is "80"; it may be a whole number, 0 to 65535',
      "FILE:5: keyPepper is ******; it may be a text of at least 16 characters",
      "FILE:11: tiers.gold.limits[0].limit is -1; it may be a number from 0 with at most three decimals",
      "FILE:13: tiers.gold.limits[0].brust is unknown; docs/configuration.md lists those that there are",
      "FILE:14: tiers.free is 5; it may be a mapping with limits",
      'FILE:17: tiers.pro.limits[0].type is "weekly"; it may be a limit of type bucket, quota or concurrency',
      "FILE:3: freeMinuteLimt is unknown; did you mean freeMinuteLimit?",
    ]);
  });

  it.each([
    [
      "tiers:\n  a:\n    limits:\n      - { name: m, type: bucket, limit: 1, windowSeconds: 60, burst: 0 }",
      "FILE:4: tiers.a.limits[0].burst is 0; it may be a number above 0 with at most three decimals",
    ],
    [
      "tiers:\n  a:\n    limits:\n      - { name: month, type: quota, limit: 1, period: month, overage: { max: 0 } }",
      "FILE:4: tiers.a.limits[0].overage.max is 0; it may be a number above 0 with at most three decimals",
    ],
    [
      "tiers:\n  a:\n    limits:\n      - { name: month, type: quota, limit: 1, period: month, overage: 500 }",
      "FILE:4: tiers.a.limits[0].overage is 500; it may be a mapping with max",
    ],
    [
      "tiers:\n  a:\n    limits:\n      - { name: minute, type: quota, limit: 1, period: day }",
      'FILE:4: tiers.a.limits[0] is a day quota named "minute"; it may be a bucket, as elsewhere',
    ],
    [
      "freeMinuteLimit: 3\ntiers:\n  free: { limits: [] }",
      "FILE:1: freeMinuteLimit is a limit of tiers.free, which the file has too",
    ],
    ["", "FILE:1: the file is empty; it may be a mapping of settings, {} for none"],
    ["ipWhitelist: 10.0.0.0/8", "such as 10.0.0.0/8,2001:db8::/32 (in a file, a list of them)"],
    ['tiers:\n  "gö→ld": { limits: [] }', "FILE:2: tiers.gö→ld is gö→ld; it may be a name of 1 to 64 visible ASCII"],
    ["- port: 80", 'FILE:1: the file is [{"port":80}]; it may be a mapping of settings'],
    ["port: 80\nport: 81", "FILE:2: Map keys must be unique"],
    ["port: [", "FILE:1: Flow sequence in block collection must be"],
  ])("refuses %j", (text, problem) => {
    expect(problemsOf(text).join("\n")).toContain(problem);
  });

  it("is not read beyond 1 MiB, while calls would wait for it", () => {
    expect(read(`port: 80${" ".repeat(2 ** 20 - 8)}`).config.port).toBe(80);
    expect(problemsOf(`port: 80${" ".repeat(2 ** 20 - 7)}`)).toEqual([
      "FILE: the file has 1048577 bytes; it may have 1048576",
    ]);
  });

  it("has no more than 50 of its problems told", () => {
    const text = Array.from({ length: 60 }, (_, index) => `odd${index}: 1\n`).join("");
    expect(problemsOf(text)).toHaveLength(51);
    expect(problemsOf(text).at(-1)).toBe("and 10 more");
  });

  it("refuses a limit of the environment where the file's tier has no such limit", () => {
    const problems = problemsOf(GOLD, { RATE_LIMIT_FREE_MONTHLY_QUOTA: "7" });
    expect(problems).toEqual([
      "RATE_LIMIT_FREE_MONTHLY_QUOTA is the limit month of tiers.free, which has none of that name in the file",
    ]);
  });

  it("that is not there stops the start", () => {
    const RATE_LIMIT_CONFIG = "/nowhere/tollkeeper.yaml";
    expect(() => readConfiguration({ RATE_LIMIT_CONFIG })).toThrow(
      'RATE_LIMIT_CONFIG is "/nowhere/tollkeeper.yaml", which can\'t be read (ENOENT)',
    );
  });

  it("that grows without end when it is read is refused", () => {
    const levels = Array.from(
      { length: 12 },
      (_, level) => `l${level + 1}: &l${level + 1} [${"*l0,".repeat(9).replaceAll("l0", `l${level}`)}]`,
    );
    expect(problemsOf(`l0: &l0 [x]\n${levels.join("\n")}\n`).join("\n")).toContain("Excessive alias count");
  });
});

it.each([
  [0o600, []],
  [0o640, []],
  [0o644, ["gatewaySecret", "keyPepper"]],
  [0o604, ["gatewaySecret", "keyPepper"]],
])("a file with secrets of mode %o is told of, if everybody can read it, without them", (mode, told) => {
  const path = fileOf(
    "keyPepper: a pepper that is long enough\ngatewaySecret: a secret that is long enough\nport: 1\n",
  );
  chmodSync(path, mode);
  const { warnings } = readConfiguration({ RATE_LIMIT_CONFIG: path });
  expect(warnings.map((warning) => / holds (\w+) and can be read by everybody/.exec(warning)?.[1])).toEqual(told);
  expect(warnings.join()).not.toContain("long enough");
});
