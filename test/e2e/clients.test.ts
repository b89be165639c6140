import { execFile, execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { serve } from "../../src/service/serve.js";

const CLIENTS = join(ROOT, "test", "e2e", "clients");
const VENV = join(ROOT, "target", "clients");
const BODY = '{"fingerprint":{"http":{"headers":[["user-agent","curl/8.5.0"]]}}}';

/** Python with what the clients need, as pinned beside them. */
beforeAll(() => {
  const wanted = join(CLIENTS, "requirements.txt");
  const installed = join(VENV, "requirements.txt");
  if (existsSync(installed) && readFileSync(installed, "utf8") === readFileSync(wanted, "utf8")) return;
  rmSync(VENV, { recursive: true, force: true });
  execFileSync("python3", ["-m", "venv", VENV]);
  execFileSync(join(VENV, "bin", "pip"), ["install", "--quiet", "--disable-pip-version-check", "-r", wanted]);
  copyFileSync(wanted, installed);
}, 300_000);

const python = join(VENV, "bin", "python");
const script = (name: string) => join(CLIENTS, name);
const curl = (url: string, key: string): [string, ...string[]] => [
  "curl",
  ...["--silent", "--show-error", "--fail", "--retry", "3", "--output", "/dev/null", "--write-out", "%{http_code}"],
  ...["-H", `Authorization: Bearer ${key}`, "-H", "Content-Type: application/json", "-d", BODY, `${url}/v1/identify`],
];

/** The program of each client, and its arguments. */
const COMMANDS: Record<string, (url: string, key: string) => [string, ...string[]]> = {
  "Node's fetch": (url, key) => [process.execPath, script("fetch.mjs"), url, key, BODY],
  "OpenAI's SDK for Node": (url, key) => [process.execPath, script("openai.mjs"), url, key, BODY],
  "Python requests": (url, key) => [python, script("with_requests.py"), url, key, BODY],
  "OpenAI's SDK for Python": (url, key) => [python, script("with_openai.py"), url, key, BODY],
  "curl --retry": curl,
};

/** A service with those limits, whose account has used up what it has, and the statuses of its later answers. */
async function exhausted(environment: Record<string, string>) {
  const lines: string[] = [];
  let log = "";
  const service = await serve({
    environment: { PORT: "0", RATE_LIMIT_STORAGE: "memory", RATE_LIMIT_LOG_LEVEL: "debug", ...environment },
    print: (line) => lines.push(line),
    logStream: {
      write: (text) => {
        log += text;
      },
    },
  });
  onTestFinished(() => service.stop());
  const key = /free +(fpk_\S+)/.exec(lines.join("\n"))?.[1] ?? "";
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  for (;;) {
    const answer = await fetch(`${service.url}/v1/identify`, { method: "POST", headers, body: BODY });
    await answer.arrayBuffer();
    if (answer.status === 429) break;
  }
  const statuses = () =>
    [...log.matchAll(/"route":"\/v1\/identify","status":(\d+)/g)].map(([, status]) => Number(status));
  await vi.waitFor(() => expect(statuses()).toContain(429));
  const before = statuses().length;
  return { url: service.url, key, statuses: () => statuses().slice(before) };
}

async function call([program, ...args]: [string, ...string[]]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { env: { ...process.env, no_proxy: "*" } });
  return stdout.trim();
}

describe.each(Object.entries(COMMANDS))("%s", (_, commandOf) => {
  // A token comes every 4 seconds, so that a client that starts slowly is denied too; who does not wait is denied again.
  it("waits as long as a denial says, and then passes", async () => {
    const { url, key, statuses } = await exhausted({
      RATE_LIMIT_FREE_MINUTE_LIMIT: "15",
      RATE_LIMIT_BURST_MULTIPLIER: "1",
    });
    expect(await call(commandOf(url, key))).toBe("200");
    await vi.waitFor(() => expect(statuses()).toEqual([429, 200]));
  }, 30_000);
});

describe.each(["Node's fetch", "OpenAI's SDK for Node", "OpenAI's SDK for Python"])("%s", (name) => {
  it("does not wait for the next month", async () => {
    const { url, key, statuses } = await exhausted({ RATE_LIMIT_FREE_MONTHLY_QUOTA: "3" });
    expect(await call(COMMANDS[name]?.(url, key) ?? ["false"])).toBe("429");
    await vi.waitFor(() => expect(statuses()).toEqual([429]));
  }, 30_000);
});
