import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { BINARY, PLATFORM, Project } from "./project.js";

const TIERS = `{ free: { limits: [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }] } }`;
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  import { createRequire } from "node:module";
  const engine = process.env.ENGINE;
  const limiter = createLimiter({ tiers: ${TIERS}, engine });
  // Others of the same process, of either build, have nothing new to tell.
  createLimiter({ tiers: ${TIERS}, engine });
  createRequire(import.meta.url)("tollkeeper").createLimiter({ tiers: ${TIERS}, engine });
  const { limits } = limiter.consume("acct:42", "free", 2);
  console.log(JSON.stringify([limiter.engine, limits[0].remaining, limiter.fallbackReason ?? null]));
`;

const project = new Project();
const file = join(project.native, BINARY);
const manifest = join(project.native, "package.json");
const good = { binary: readFileSync(file), manifest: readFileSync(manifest) };

beforeEach(() => {
  writeFileSync(file, good.binary);
  writeFileSync(manifest, good.manifest);
});
afterAll(() => rmSync(project.folder, { recursive: true, force: true }));

function run(engine: string, ...flags: string[]) {
  project.write("program.mjs", PROGRAM.replace("process.env.ENGINE", JSON.stringify(engine)));
  return project.node(...flags, "program.mjs");
}

/** How often it was warned of JavaScript. */
function warnings(stderr: string): number {
  return stderr.split("[TOLLKEEPER_JS_ENGINE]").length - 1;
}

it("says nothing where the binary decides, nor where JavaScript was asked for", () => {
  expect(run("auto")).toEqual({ stdout: '["native",8,null]\n', stderr: "", status: 0 });
  expect(run("js")).toEqual({ stdout: '["js",8,null]\n', stderr: "", status: 0 });
});

const permission = process.allowedNodeEnvironmentFlags.has("--permission")
  ? "--permission"
  : "--experimental-permission";
const report = (code: string) => ["--import", `data:text/javascript,process.report.getReport = () => ${code}`];
const stub = (code: string) => () => {
  writeFileSync(manifest, JSON.stringify({ name: `@tollkeeper/native-${PLATFORM}`, main: "stub.cjs" }));
  writeFileSync(join(project.native, "stub.cjs"), code);
};

describe.each<[string, reason: RegExp, spoil: () => void, ...flags: string[]]>([
  ["a binary that is not there", /Cannot find module '.*\.node'/, () => rmSync(file)],
  ["an empty binary", /file too short|not a mach-o|not a valid/i, () => writeFileSync(file, "")],
  [
    "a binary that is none",
    /file too short|invalid ELF|not a mach-o|not a valid/i,
    () => writeFileSync(file, "x".repeat(5000)),
  ],
  // Linux would map these, and end the process with SIGBUS.
  ...[1000, 5000, 1_000_000].map((length): [string, RegExp, () => void] => [
    `a binary cut short at ${length} bytes`,
    /the file is cut short|truncated|not a valid/i,
    () => writeFileSync(file, good.binary.subarray(0, length)),
  ]),
  ["another release", /is of version 0\.0\.9, and tollkeeper of version/, stub('exports.VERSION = "0.0.9"')],
  ["something else by its name", /is of version unknown/, stub("exports.Engine = class {}")],
  ["a package that throws", /can't be loaded: on purpose/, stub("throw new Error('on purpose\\nand more')")],
  ["a package that throws no error", /can't be loaded: null/, stub("throw null")],
  [
    "permissions without addons",
    /addons is disabled|ERR_DLOPEN_DISABLED/,
    () => undefined,
    permission,
    "--allow-fs-read=*",
  ],
  ...(process.platform === "linux"
    ? ([
        [
          "musl without its package",
          /native-linux-\w+-musl is not installed/,
          () => undefined,
          ...report("({ header: {} })"),
        ],
        [
          "a report that can't be had",
          /can't be loaded: not allowed/,
          () => undefined,
          ...report("{ throw new Error('not allowed') }"),
        ],
      ] as [string, RegExp, () => void, ...string[]][])
    : []),
])("%s", (_, reason, spoil, ...flags) => {
  it("has JavaScript decide under auto, with one warning that names the reason", () => {
    spoil();
    const { stdout, stderr, status } = run("auto", ...flags);
    expect({ stderr, status }).toMatchObject({ status: 0 });
    const [engine, remaining, why] = JSON.parse(stdout) as [string, number, string];
    expect([engine, remaining]).toEqual(["js", 8]);
    expect(why).toMatch(reason);
    expect(why).not.toContain("\n");
    expect(stderr).toContain(`TollkeeperWarning: limits are decided in JavaScript, since ${why}`);
    expect(warnings(stderr)).toBe(1);
  });

  it("is an error if the native engine is asked for", () => {
    spoil();
    const { stderr, status } = run("native", ...flags);
    expect(status).toBe(1);
    expect(stderr).toMatch(/ERR_NATIVE_MISSING/);
    expect(stderr).toMatch(reason);
  });
});

describe("without the binary, in worker threads", () => {
  beforeEach(() => rmSync(file));

  /** What each thread gets, in the order of the threads; the main one first. */
  function threads(options: string) {
    project.write(
      "threads.mjs",
      `
      import { isMainThread, parentPort, Worker } from "node:worker_threads";
      import { createLimiter } from "tollkeeper";
      function open() {
        try {
          const limiter = createLimiter({ tiers: ${TIERS}, ...${options} });
          let allowed = 0;
          while (limiter.consume("k", "free").allowed) allowed++;
          return allowed;
        } catch ({ code, message }) {
          return code + ": " + message;
        }
      }
      if (isMainThread) {
        const seen = [open()];
        for (let worker = 0; worker < 3; worker++) {
          seen.push(await new Promise((resolve) => new Worker(new URL(import.meta.url)).once("message", resolve)));
        }
        console.log(JSON.stringify(seen));
      } else parentPort.postMessage(open());
    `,
    );
    const { stdout, stderr, status } = project.node("threads.mjs");
    expect({ stderr, status }).toMatchObject({ status: 0 });
    return { seen: JSON.parse(stdout) as (number | string)[], stderr };
  }

  it.each(['{ name: "one" }', '{ name: "one", engine: "js" }'])("refuses a name there: %s", (options) => {
    const { seen } = threads(options);
    const refused = expect.stringMatching(
      /^ERR_NAME_NEEDS_NATIVE: .*(is not installed|\.node|engine is "js").*leave the name out/,
    );
    expect(seen).toEqual([10, refused, refused, refused]);
  });

  it("has each thread count for itself where there is no name, and warns once", () => {
    const { seen, stderr } = threads("{}");
    expect(seen).toEqual([10, 10, 10, 10]);
    expect(warnings(stderr)).toBe(1);
  });
});
