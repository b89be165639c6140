import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";

/** Compiled for these tests alone, inside the package, so that it finds the package's binary. */
const BUILD = "target/cli-test";

beforeAll(() => {
  execFileSync("node_modules/.bin/tsc", ["-p", "src", "--outDir", BUILD]);
}, 60_000);

const COMMANDS = [
  "serve",
  "check-config",
  "keys",
  "keys create",
  "keys list",
  "keys revoke",
  "quota",
  "quota show",
  "quota reset",
  "quota set-tier",
  "tiers",
  "bench",
];

/** A process of the command line, its answer and how it ends. */
function tollkeeper(args: string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(BUILD, "cli.js"), ...args], {
    env: { PATH: process.env["PATH"], PORT: "0", RATE_LIMIT_STORAGE: "memory", ...environment },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output.stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, ...output }));
  });
  return { child, ended };
}

/** A started service: the lines up to the one to try. */
async function serving(environment: Record<string, string> = {}) {
  const { child, ended } = tollkeeper(["serve"], environment);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line.includes("curl ")) break;
  }
  const url = /on (http:\S+?),/.exec(lines[0] ?? "")?.[1] ?? "";
  return { child, ended, lines, url };
}

describe("tollkeeper", () => {
  it("--version says the version of package.json", async () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(await tollkeeper(["--version"]).ended).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("--help says what there is", async () => {
    const { code, stdout } = await tollkeeper(["--help"]).ended;
    expect(code).toBe(0);
    for (const command of ["serve", "check-config", "keys", "quota", "tiers", "bench"])
      expect(stdout).toContain(command);
    expect(stdout).toContain("Exit codes: 0 done, 1 failed, 2 not understood.");
  });

  it.each(COMMANDS)("%s --help has examples, and exits with 0", async (command) => {
    const { code, stdout } = await tollkeeper([...command.split(" "), "--help"]).ended;
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: tollkeeper ${command}`);
    expect(stdout).toMatch(/Examples:\n {2}\$ tollkeeper /);
  });

  it.each([[[]], [["sreve"]], [["serve", "more"]]])("refuses %j with exit code 2", async (args) => {
    const { code, stderr } = await tollkeeper(args).ended;
    expect(code).toBe(2);
    expect(stderr).toContain("Usage:");
  });

  it("refuses options that there are not with exit code 2", async () => {
    const { code, stderr } = await tollkeeper(["serve", "--prot", "80"]).ended;
    expect(code).toBe(2);
    expect(stderr).toContain("--prot");
  });
});

describe("tollkeeper serve", () => {
  it.each(["SIGINT", "SIGTERM"] as const)("ends with exit code 0 on %s", async (signal) => {
    const { child, ended, url } = await serving();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    child.kill(signal);
    expect(await ended).toMatchObject({ code: 0 });
  });

  it("keeps what was used when it is told to stop", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const environment = {
      RATE_LIMIT_STORAGE: "file",
      RATE_LIMIT_FILE: join(folder, "usage.redb"),
      RATE_LIMIT_FLUSH_MS: "60000",
    };
    const first = await serving(environment);
    const key = /free +(fpk_\S+)/.exec(first.lines.join("\n"))?.[1] ?? "";
    const left = async (url: string) => {
      const answer = await fetch(`${url}/nowhere`, { headers: { "x-api-key": key } });
      return answer.headers.get("x-quota-monthly-remaining");
    };
    expect(await left(first.url)).toBe("49999");
    first.child.kill("SIGTERM");
    expect(await first.ended).toMatchObject({ code: 0 });
    const second = await serving(environment);
    expect(await left(second.url)).toBe("49998");
  });

  it("is forced to end by a second signal, with exit code 1", async () => {
    const { child, ended, url } = await serving();
    const { port, hostname } = new URL(url);
    const unfinished = connect(Number(port), hostname);
    onTestFinished(() => void unfinished.destroy());
    unfinished.on("error", () => unfinished.destroy());
    await new Promise((resolve) => unfinished.write("POST /v1/identify HTTP/1.1\r\nhost: x\r\n", resolve));
    const insist = setInterval(() => child.kill("SIGTERM"), 50);
    const { code } = await ended;
    clearInterval(insist);
    expect(code).toBe(1);
  });

  it("names a port that is taken, and ends with exit code 1", async () => {
    const { url } = await serving();
    const { code, stderr, stdout } = await tollkeeper(["serve"], { PORT: new URL(url).port }).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/ERR_ADDRESS_IN_USE: .*PORT.*HOST/);
    expect(stdout).toBe("");
  });

  it("names every bad setting, and ends with exit code 1", async () => {
    const { code, stderr } = await tollkeeper(["serve"], { PORT: "-1", RATE_LIMIT_PRT: "1" }).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("ERR_CONFIG_INVALID");
    expect(stderr).toContain('PORT is "-1"');
    expect(stderr).toContain("RATE_LIMIT_PRT is unknown");
  });

  it("logs to stderr, at the level asked for", async () => {
    const { child, ended } = await serving({ RATE_LIMIT_LOG_LEVEL: "silent" });
    child.kill("SIGTERM");
    expect((await ended).stderr).toBe("");
    const verbose = await serving({ RATE_LIMIT_LOG_LEVEL: "debug" });
    await fetch(`${verbose.url}/nowhere`);
    verbose.child.kill("SIGTERM");
    expect((await verbose.ended).stderr).toContain('"route":"unknown"');
  });
});

describe("tollkeeper check-config", () => {
  function fileOf(text: string): string {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "tollkeeper.yaml");
    writeFileSync(path, text);
    return path;
  }

  const secrets = {
    RATE_LIMIT_KEY_PEPPER: "a pepper that is secret",
    RATE_LIMIT_REDIS_URL: "redis://user:hunter2@redis.example:6379",
  };

  it("prints every value with its source, and no secret", async () => {
    const path = fileOf("preset: staging\nfreeMinuteLimit: 7\n");
    const { code, stdout, stderr } = await tollkeeper(["check-config", "--config", path], secrets).ended;
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(new RegExp(`^freeMinuteLimit +7 +${path}:2$`, "m"));
    expect(stdout).toMatch(/^host +0\.0\.0\.0 +preset staging$/m);
    expect(stdout).toMatch(/^port +0 +PORT$/m);
    expect(stdout).toMatch(/^keyPepper +\*{6} +RATE_LIMIT_KEY_PEPPER$/m);
    expect(stdout).toMatch(/^ {2}free +minute 7 in 60 s, burst 1\.5, month 50000 a month$/m);
    expect(stdout).not.toMatch(/hunter2|pepper that|\u001b/);
  });

  it("prints the same as JSON", async () => {
    const { stdout } = await tollkeeper(["check-config", "--json"], secrets).ended;
    const { settings, tiers } = JSON.parse(stdout);
    expect(settings.redisUrl).toEqual({
      value: "redis://***@redis.example:6379",
      source: "RATE_LIMIT_REDIS_URL",
      variable: "RATE_LIMIT_REDIS_URL",
    });
    expect(settings.metricsPort.value).toBeNull();
    expect(tiers.partner).toEqual({ limits: [] });
  });

  it("ends with exit code 1 if it is not good, in JSON where that is asked for", async () => {
    const path = fileOf("port: many\n");
    const { code, stdout, stderr } = await tollkeeper(["check-config", "--json", "--config", path]).ended;
    expect([code, stdout]).toEqual([1, ""]);
    const { error } = JSON.parse(stderr);
    expect(error).toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining(`${path}:1: port is "many"`),
    });
  });
});

describe("tollkeeper keys", () => {
  function environmentWithFile(): Record<string, string> {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    return { RATE_LIMIT_STORAGE: "file", RATE_LIMIT_FILE: join(folder, "usage.redb"), RATE_LIMIT_DEMO_KEYS: "never" };
  }

  it("makes the first key while the service is stopped, which then knows it; and not while it runs", async () => {
    const environment = environmentWithFile();
    const create = ["keys", "create", "--account", "ops", "--tier", "pro"];
    const { code, stdout, stderr } = await tollkeeper(create, environment).ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^fpk_live_\w{43}_\w{6}\n$/);
    expect(stderr).toMatch(/^key [0-9a-f]{16} of account ops, for fingerprint; shown only now:\n$/);
    const { url } = await serving(environment);
    const answer = await fetch(`${url}/nowhere`, { headers: { "x-api-key": stdout.trim() } });
    expect(answer.headers.get("x-quota-tier")).toBe("pro");
    const locked = await tollkeeper(["keys", "list"], environment).ended;
    expect(locked.code).toBe(1);
    expect(locked.stderr).toMatch(/ERR_STORAGE_LOCKED: .*--url and TOLLKEEPER_API_KEY/);
  });

  it("lists and revokes them", async () => {
    const environment = environmentWithFile();
    const create = ["keys", "create", "--account", "ops", "--tier", "pro", "--scope", "admin", "quota:read", "--json"];
    const made = JSON.parse((await tollkeeper(create, environment).ended).stdout);
    expect(made).toMatchObject({ account: "ops", scopes: ["admin", "quota:read"], revoked: null });
    const listed = await tollkeeper(["keys", "list"], environment).ended;
    expect(listed.stdout).toMatch(new RegExp(`^${made.id} +ops +admin,quota:read +\\S+ +-$`, "m"));
    expect(listed.stdout).not.toContain(made.key);
    expect((await tollkeeper(["keys", "revoke", made.id], environment).ended).stdout).toBe(
      `revoked ${made.id} of account ops\n`,
    );
    const [after] = JSON.parse(
      (await tollkeeper(["keys", "list", "--json", "--account", "ops"], environment).ended).stdout,
    );
    expect(after).toMatchObject({ id: made.id, revoked: expect.any(String) });
    expect(await tollkeeper(["keys", "revoke", "0000"], environment).ended).toMatchObject({ code: 1, stdout: "" });
  });

  it.each([
    [["--account", "a"], "ERR_ACCOUNT_UNKNOWN"],
    [["--account", "a", "--tier", "gold"], "ERR_TIER_UNKNOWN: tier is gold; it may be one of free,"],
  ])("refuses %j with exit code 1", async (options, message) => {
    const { code, stderr } = await tollkeeper(["keys", "create", ...options], environmentWithFile()).ended;
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });

  it.each([
    [["create"], "required option '--account <name>' not specified"],
    [["create", "--account", "a", "--scope", "all"], "Allowed choices are fingerprint, quota:read, admin"],
    [["revoke"], "missing required argument 'id'"],
  ])("does not understand %j, and ends with exit code 2", async (args, message) => {
    const { code, stderr } = await tollkeeper(["keys", ...args], environmentWithFile()).ended;
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it("can't work on keys that are nowhere kept", async () => {
    const { code, stderr } = await tollkeeper(["keys", "list"]).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("RATE_LIMIT_STORAGE is memory");
  });
});

describe("commands that ask a running service", () => {
  it("want a key in the environment, and an address that is one", async () => {
    const { code, stderr } = await tollkeeper(["quota", "show", "acme"]).ended;
    expect([code, stderr]).toEqual([2, expect.stringContaining("TOLLKEEPER_API_KEY is not set")]);
    const withKey = { TOLLKEEPER_API_KEY: "k" };
    const ended = await tollkeeper(["tiers", "--url", "example", "--json"], withKey).ended;
    expect(ended.code).toBe(2);
    expect(JSON.parse(ended.stderr).error).toMatchObject({
      code: "usage",
      message: expect.stringContaining("example"),
    });
  });

  it("say that it can't be reached", async () => {
    const args = ["quota", "show", "acme", "--url", "http://127.0.0.1:1"];
    const { code, stderr } = await tollkeeper(args, { TOLLKEEPER_API_KEY: "k" }).ended;
    expect([code, stderr]).toEqual([1, "tollkeeper: unreachable: http://127.0.0.1:1 can't be reached: ECONNREFUSED\n"]);
  });
});

it("tollkeeper bench measures both engines, says what it is doing, and prints figures", async () => {
  const { code, stdout, stderr } = await tollkeeper(["bench", "--keys", "100", "--rounds", "1", "--json"]).ended;
  expect(code).toBe(0);
  expect(stderr).toContain("measuring engine native, 100 keys …");
  const { figures } = JSON.parse(stdout);
  expect(figures).toMatchObject([
    { engine: "native", keys: 100, nsPerDecision: expect.any(Number) },
    { engine: "js", keys: 100 },
  ]);
  expect((await tollkeeper(["bench", "--keys", "0"]).ended).code).toBe(2);
});

it("SIGHUP has the file read again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "tollkeeper.yaml");
  writeFileSync(path, "shadow: false\n");
  const { child, ended } = await serving({ RATE_LIMIT_CONFIG: path });
  const told = new Promise<void>((resolve) => {
    let log = "";
    child.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes("the configuration is as it was")) resolve();
    });
  });
  child.kill("SIGHUP");
  await told;
  child.kill("SIGTERM");
  expect(await ended).toMatchObject({ code: 0 });
});

describe("a service that is told to stop under load", () => {
  const CALLERS = 60;

  /** One call on a connection that is kept for the next. */
  function call(agent: Agent, url: string): Promise<{ status: number; connection: string | undefined }> {
    return new Promise((resolve, reject) => {
      const sent = request(`${url}/v1/identify`, {
        method: "POST",
        agent,
        headers: { "content-type": "application/json" },
      });
      sent.once("error", reject);
      sent.once("response", (answer) => {
        answer.resume();
        answer.once("error", reject);
        answer.once("end", () => resolve({ status: answer.statusCode ?? 0, connection: answer.headers.connection }));
      });
      sent.end('{"fingerprint":{"http":{"headers":[["user-agent","curl/8.5.0"]]}}}');
    });
  }

  it.each(["0", "300"])("loses no call: delay %s ms", async (RATE_LIMIT_DRAIN_DELAY_MS) => {
    const { child, ended, url } = await serving({ RATE_LIMIT_DRAIN_DELAY_MS, RATE_LIMIT_SHADOW: "true" });
    const outcome = { answered: 0, last: 0, refused: 0, lost: [] as string[] };
    const caller = async (): Promise<void> => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        try {
          const { status, connection } = await call(agent, url);
          if (status === 200) outcome.answered++;
          else outcome.lost.push(`status ${status}`);
          if (connection === "close") outcome.last++;
          if (outcome.answered === 20 * CALLERS) child.kill("SIGTERM");
        } catch (error) {
          const { code = String(error) } = error as NodeJS.ErrnoException;
          // Nobody listens any more, and nothing was sent.
          if (code !== "ECONNREFUSED") outcome.lost.push(code);
          else outcome.refused++;
          return agent.destroy();
        }
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    expect(outcome.lost).toEqual([]);
    expect(outcome.refused).toBe(CALLERS);
    expect(outcome.last).toBeGreaterThanOrEqual(CALLERS);
    expect(await ended).toMatchObject({ code: 0 });
  });
});
