import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { assemble } from "../../scripts/build/assemble.mjs";
import { LIBRARY, runtimeClosure, SERVICE } from "../../scripts/build/closure.mjs";
import { ENVIRONMENT, PLATFORM, packagesIn, run } from "./project.js";
import { Registry } from "./registry.js";

let folder: string;
let service: ChildProcess | undefined;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tollkeeper-service-"));
});
afterEach(async () => {
  if (service?.exitCode === null) {
    service.kill();
    await once(service, "exit");
  }
  service = undefined;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts the service in an empty folder, and gives what it prints before it waits for calls. */
async function startLines(program: string, ...args: string[]): Promise<string> {
  const cwd = mkdtempSync(join(folder, "state-"));
  const env = { ...ENVIRONMENT, HOST: "127.0.0.1", PORT: "0", RATE_LIMIT_DEMO_KEYS: "new" };
  service = spawn(program, [...args, "serve"], { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  for await (const chunk of service.stdout ?? []) {
    printed += String(chunk);
    if (printed.includes("curl -i")) break;
  }
  return printed;
}

async function answers(lines: string): Promise<void> {
  expect(lines).toContain("engine native");
  const [url = ""] = /http:\/\/[\d.:]+/.exec(lines) ?? [];
  const [, key = ""] = /^ +free +(\S+)$/m.exec(lines) ?? [];
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const body = JSON.stringify({ fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } });
  const answer = await fetch(`${url}/v1/identify`, { method: "POST", headers, body });
  expect(answer.status, await answer.text()).toBe(200);
  expect(answer.headers.get("x-quota-tier")).toBe("free");
}

it("the service, installed from the registry, has a command that serves", async () => {
  const registry = await Registry.open();
  const options = [`--registry=${registry.url}`, "--no-audit", "--no-fund", "--loglevel=error"];
  const installed = await run(folder, "npm", ["install", "--global", "--prefix", folder, ...options, SERVICE.name]);
  await registry.close();
  expect(installed, installed.stderr).toMatchObject({ status: 0 });
  const command = join(folder, "bin", "tollkeeper");
  expect(await run(folder, command, ["--version"])).toEqual({ stdout: `${SERVICE.version}\n`, stderr: "", status: 0 });
  await answers(await startLines(command));
});

it("the image's folder holds what is packed, and of all else the versions of the lockfile, and serves", async () => {
  const app = join(folder, "app");
  await assemble(app);
  const versions = (of: Record<string, { version?: string }>) =>
    Object.fromEntries(Object.entries(of).map(([path, { version }]) => [path.replace("node_modules/", ""), version]));
  const modules = join(app, "node_modules");
  const found = packagesIn(modules).map((name) => [
    name,
    (JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8")) as { version: string }).version,
  ]);
  const own = { [LIBRARY.name]: LIBRARY.version, [`@tollkeeper/native-${PLATFORM}`]: LIBRARY.version };
  expect(Object.fromEntries(found)).toEqual({ ...versions(runtimeClosure()), ...own });
  await answers(await startLines(process.execPath, join(app, "dist", "cli", "main.js")));
});
