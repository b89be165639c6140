/**
 * Every fenced block of README.md and docs/, and of the doc comments in src/, runs:
 *
 * - `ts` is compiled against the built package and run; what a line prints stands behind it as `console.log(…); // 13`.
 *   Servers listen on a free port, and end when nothing is left to do.
 * - `sh` runs in an empty folder, next to a service of its own in place of the one on 127.0.0.1:8080, with a free
 *   account's key as $KEY and an administrator's as $ADMIN; of npm, only that the script or package exists is checked.
 * - `yaml` is a configuration file. `json` is JSON. `text` is shown, not run. A block that says nothing of its kind is a fault.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { readConfiguration } from "../../src/service/config/read.js";

interface Snippet {
  name: string;
  page: string;
  kind: string;
  code: string;
}

/** How long, in ms, a snippet may run. */
const RUN_MS = 20_000;

const pages = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", ...markdownIn("docs")];
const snippets = [...pages, ...sourcesIn("src")].flatMap(snippetsOf);
const ofKind = (kind: string) => snippets.filter((snippet) => snippet.kind === kind);

function markdownIn(folder: string): string[] {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".md")).map((file) => join(folder, file));
}

function sourcesIn(folder: string): string[] {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".ts")).map((file) => join(folder, file));
}

/** A source without what stands at the beginning of each line of a doc comment. */
function uncommented(source: string): string {
  return source.replaceAll(/^ +\* ?/gm, "");
}

function snippetsOf(page: string): Snippet[] {
  const source = readFileSync(join(ROOT, page), "utf8");
  const text = page.endsWith(".ts") ? uncommented(source) : source;
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(({ 1: kind = "", 2: code = "", index }) => {
    return { name: `${page}:${text.slice(0, index).split("\n").length}`, page, kind, code };
  });
}

/** What the lines of a snippet say that they print. */
function promised(code: string): string {
  const lines = code.split("\n").flatMap((line) => /^\s*console\.log\(.*; \/\/ (.*)$/.exec(line)?.slice(1) ?? []);
  return lines.map((line) => `${line}\n`).join("");
}

/** What was printed, with the seconds that a field promises where as many fewer are left as a run may take. */
function withoutDelay(printed: string, promised: string): string {
  const all = [...promised.matchAll(/;t=(\d+)/g)].values();
  return printed.replaceAll(/;t=(\d+)/g, (told, left) => {
    const [text = told, seconds] = all.next().value ?? [];
    const passed = Number(seconds) - Number(left);
    return passed >= 0 && passed <= RUN_MS / 1000 ? text : told;
  });
}

describe("the documents", () => {
  it("say of every block what it is", () => {
    expect(snippets.filter(({ kind }) => !["ts", "sh", "yaml", "json", "text"].includes(kind))).toEqual([]);
  });

  it("have no example in a source that would not be run", () => {
    const text = sourcesIn("src").map((source) => uncommented(readFileSync(join(ROOT, source), "utf8")));
    const examples = text.join("").match(/@example.*\n.*/g) ?? [];
    expect(examples.filter((example) => !example.endsWith("\n```ts"))).toEqual([]);
  });

  it.each(pages)("%s links to files that are there", (page) => {
    const text = readFileSync(join(ROOT, page), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map(([, link]) => String(link));
    expect(links.filter((link) => !existsSync(join(ROOT, dirname(page), link)))).toEqual([]);
  });

  it.each(ofKind("yaml"))("$name is a configuration that the service takes", ({ code }) => {
    const folder = mkdtempSync(join(tmpdir(), "snippet-"));
    const RATE_LIMIT_CONFIG = join(folder, "tollkeeper.yaml");
    writeFileSync(RATE_LIMIT_CONFIG, code);
    expect(() => readConfiguration({ RATE_LIMIT_CONFIG })).not.toThrow();
    rmSync(folder, { recursive: true });
  });

  it.each(ofKind("json"))("$name is JSON", ({ code }) => {
    expect(() => JSON.parse(code)).not.toThrow();
  });
});

describe("ts snippets", () => {
  // In this repository, so that "tollkeeper" is this package.
  const folder = join(ROOT, "target", "snippets");
  const listenAnywhere = `data:text/javascript,${encodeURIComponent(`
    import { Server } from "node:net";
    const { listen } = Server.prototype;
    Server.prototype.listen = function (options, ...rest) {
      return listen.call(this, typeof options === "object" ? { ...options, port: 0 } : 0, ...rest).unref();
    };
  `)}`;
  const file = (index: number, type: string) => join(folder, `snippet-${index}.${type}`);

  beforeAll(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: "../../tsconfig.json",
        include: ["*.mts"],
        compilerOptions: { noEmit: false, rootDir: ".", paths: {} },
      }),
    );
    for (const [index, { code }] of ofKind("ts").entries()) writeFileSync(file(index, "mts"), code);
  });

  it("compile", () => {
    const { stdout } = spawnSync(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", folder], { encoding: "utf8" });
    const named = stdout.replaceAll(/\S*snippet-(\d+)\.mts/g, (_, index) => ofKind("ts")[Number(index)]?.name ?? "");
    expect(named).toBe("");
  });

  it.each(ofKind("ts").map((snippet, index) => ({ ...snippet, index })))(
    "$name runs",
    ({ code, index }) => {
      const { stdout, stderr, status } = spawnSync(process.execPath, ["--import", listenAnywhere, file(index, "mjs")], {
        cwd: mkdtempSync(join(tmpdir(), "snippet-")),
        encoding: "utf8",
        timeout: RUN_MS,
      });
      const expected = promised(code);
      const printed = withoutDelay(stdout, expected);
      expect({ printed, stderr, status }).toEqual({ printed: expected, stderr: "", status: 0 });
    },
    30_000,
  );
});

describe("sh snippets", () => {
  let service: ChildProcess;
  let url: string;
  let key: string;
  let admin: string;
  const folder = mkdtempSync(join(tmpdir(), "snippets-"));
  const cli = join(ROOT, "dist", "service", "cli", "main.js");

  beforeAll(async () => {
    const own = { RATE_LIMIT_FILE: join(folder, "state"), RATE_LIMIT_DEMO_KEYS: "new" };
    const env = { ...process.env, HOST: "127.0.0.1", PORT: "0", ...own };
    const create = [
      "keys",
      "create",
      "--account",
      "ops",
      "--tier",
      "enterprise",
      "--scope",
      "admin",
      "quota:read",
      "usage:read",
    ];
    admin = execFileSync(process.execPath, [cli, ...create], { env, encoding: "utf8" }).trim();
    service = spawn(process.execPath, [cli, "serve"], {
      cwd: folder,
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    for await (const chunk of service.stdout ?? []) {
      printed += chunk;
      if (printed.includes("curl -i")) break;
    }
    url = /http:\/\/[\d.:]+/.exec(printed)?.[0] ?? "";
    expect(url).not.toBe("");
    key = /^ +free +(\S+)$/m.exec(printed)?.[1] ?? "";
  }, 30_000);
  afterAll(() => {
    service.kill("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  });

  const npm = `npm() {
    case $1 in
      start | test) node -e 'process.exit(require(process.argv[1]).scripts[process.argv[2]] ? 0 : 1)' "$PACKAGE" "$1" ;;
      run) node -e 'process.exit(require(process.argv[1]).scripts[process.argv[2]] ? 0 : 1)' "$PACKAGE" "$2" ;;
      install) [[ " tollkeeper @tollkeeper/service " = *" \${!#} "* ]] ;;
      *) echo "npm $1 is not known to test/docs" >&2; return 1 ;;
    esac
  }`;

  const command = `tollkeeper() {
    node "$CLI" "$@"
  }`;

  it.each(ofKind("sh"))(
    "$name runs",
    ({ code }) => {
      const script = `set -euo pipefail\n${npm}\n${command}\n${code.replaceAll("http://127.0.0.1:8080", url)}`;
      const env = { ...process.env, KEY: key, ADMIN: admin, PACKAGE: join(ROOT, "package.json"), CLI: cli };
      expect(() =>
        execFileSync("bash", ["-c", script], { cwd: folder, env, encoding: "utf8", timeout: RUN_MS }),
      ).not.toThrow();
    },
    30_000,
  );
});
