import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it, onTestFinished } from "vitest";

/** As `npm start` runs it: set-up has compiled it. */
const CLI = "dist/service/cli/main.js";

/** A process of the command line, its answer and how it ends. */
function tollkeeper(args: string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], {
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

  it.each([["check-config"], ["--help"]])("%s ends well though nobody reads it to the end", async (command) => {
    const { child, ended } = tollkeeper([command]);
    child.stdout.destroy();
    expect(await ended).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});

describe("tollkeeper serve", () => {
  it.each(["SIGINT", "SIGTERM"] as const)("ends with exit code 0 on %s", async (signal) => {
    const { child, ended, url } = await serving();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    child.kill(signal);
    expect(await ended).toMatchObject({ code: 0 });
  });

  it("serves on when nobody reads its log any more", async () => {
    const { child, ended, url } = await serving({ RATE_LIMIT_LOG_LEVEL: "trace" });
    child.stderr.destroy();
    child.stdout.destroy();
    for (let call = 0; call < 3; call++) expect((await fetch(`${url}/v1/quota`)).status).toBe(200);
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
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

  it.each(["0", "300"])(
    "loses no call: delay %s ms",
    async (RATE_LIMIT_DRAIN_DELAY_MS) => {
      const { child, ended, url } = await serving({ RATE_LIMIT_DRAIN_DELAY_MS, RATE_LIMIT_SHADOW: "true" });
      const outcome = { answered: 0, last: 0, ends: [] as string[] };
      const caller = async (): Promise<void> => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        onTestFinished(() => agent.destroy());
        for (;;) {
          const { status, connection } = await call(agent, url);
          if (status !== 200) throw Object.assign(new Error("not answered"), { code: `status ${status}` });
          if (connection === "close") outcome.last++;
          if (++outcome.answered === 20 * CALLERS) child.kill("SIGTERM");
        }
      };
      const callers = Array.from({ length: CALLERS }, caller).map((calling) =>
        calling.catch(({ code = "unknown" }: NodeJS.ErrnoException) => void outcome.ends.push(code)),
      );
      await Promise.all(callers);
      // Each came back to find that nobody listens any more, and had sent nothing.
      expect(outcome.ends).toEqual(Array(CALLERS).fill("ECONNREFUSED"));
      expect(outcome.last).toBe(CALLERS);
      expect(await ended).toMatchObject({ code: 0 });
    },
    30_000,
  );
});
