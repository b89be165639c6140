import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";

describe.skipIf(process.platform === "win32")("npm start", () => {
  let folder: string;
  let npm: ChildProcess;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "start-"));
    const env = { ...process.env, HOST: "127.0.0.1", PORT: "0", RATE_LIMIT_FILE: join(folder, "state") };
    npm = spawn("npm", ["start"], { cwd: ROOT, env, detached: true, stdio: ["ignore", "pipe", "ignore"] });
    let printed = "";
    for await (const chunk of npm.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
      printed += chunk;
      if (printed.includes("try:")) break;
    }
    const url = /http:\/\/[\d.:]+/.exec(printed)?.[0];
    expect((await fetch(`${url}/health`)).status).toBe(200);
  }, 60_000);
  afterEach(() => {
    if (npm.exitCode === null && npm.signalCode === null) process.kill(-Number(npm.pid), "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  it("ends in order when npm is told to stop", async () => {
    npm.kill("SIGTERM");
    expect(await once(npm, "exit")).toEqual([0, null]);
  });

  it("ends in order on Ctrl-C, of which the terminal and npm each tell it", async () => {
    process.kill(-Number(npm.pid), "SIGINT");
    expect(await once(npm, "exit")).toEqual([0, null]);
  });
});
