import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { BINARY, ENVIRONMENT, Project, tools } from "../packaging/project.js";

const ROUTE = `
  import { createLimiter } from "tollkeeper";
  import { tollkeeper, tollOf } from "tollkeeper/fetch";
  const limits = [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }];
  const limiter = createLimiter({ tiers: { free: { limits } } });
  export const dynamic = "force-dynamic";
  const limit = tollkeeper({ limiter, identify: async () => ({ key: "acct:42", tier: "free" }), cost: 2 });
  export const GET = limit((request) => Response.json([limiter.engine, tollOf(request).limits[0].remaining]));
`;
const OUTSIDE = `serverExternalPackages: ["tollkeeper"], output: "standalone"`;
const INCLUDED = `outputFileTracingIncludes: { "/*": ["./node_modules/@tollkeeper/**/*"] }`;

let project: Project;
let server: ChildProcess | undefined;

beforeAll(() => {
  const folder = tools({ ioredis: "6.0.0", next: "16.4.6", react: "19.3.1", "react-dom": "19.3.1" });
  project = new Project();
  // Turbopack builds only with packages that are within the project, and follows no link out of it.
  rmSync(join(project.folder, "node_modules", "ioredis"));
  cpSync(join(folder, "node_modules"), join(project.folder, "node_modules"), { recursive: true });
  for (const name of ["ipaddr.js", "structured-headers"]) {
    cpSync(join(ROOT, "node_modules", name), join(project.folder, "node_modules", name), { recursive: true });
  }
  mkdirSync(join(project.folder, "app", "limit"), { recursive: true });
  project.write("app/limit/route.js", ROUTE);
  project.write("app/layout.js", "export default ({ children }) => <html><body>{children}</body></html>;");
});
afterEach(async () => {
  if (server?.exitCode === null) {
    server.kill();
    await once(server, "exit");
  }
  server = undefined;
});
afterAll(() => rmSync(project.folder, { recursive: true, force: true }));

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, "close");
  return port;
}

/** Next's command line. */
const next = () => join(project.folder, "node_modules", "next", "dist", "bin", "next");

/** Builds the app with a configuration, starts it, and asks it. */
async function answerOf(config: string, bundler: string): Promise<unknown> {
  project.write("next.config.js", `module.exports = { ${config} };`);
  rmSync(join(project.folder, ".next"), { recursive: true, force: true });
  const { status, stdout, stderr } = project.node(next(), "build", bundler);
  expect(status, `${stdout}${stderr}`).toBe(0);
  const port = String(await freePort());
  server = spawn(process.execPath, [next(), "start", "-H", "127.0.0.1", "-p", port], {
    cwd: project.folder,
    env: ENVIRONMENT,
  });
  let said = "";
  const ready = new Promise<void>((resolve) => {
    for (const stream of [server?.stdout, server?.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes("Ready")) resolve();
      });
    }
  });
  await Promise.race([ready, once(server, "exit")]);
  return (await fetch(`http://127.0.0.1:${port}/limit`)).json();
}

it.each([
  ["--webpack", "", "native"],
  ["--turbopack", "", "js"],
  ["--webpack", OUTSIDE, "native"],
  ["--turbopack", `${OUTSIDE}, ${INCLUDED}`, "native"],
])("Next with %s and { %s } decides with %s", async (bundler, config, engine) => {
  expect(await answerOf(config, bundler)).toEqual([engine, 8]);
  const standalone = project.native.replace(project.folder, join(project.folder, ".next", "standalone"));
  expect(existsSync(join(standalone, BINARY))).toBe(config !== "");
});
