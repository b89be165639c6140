import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { Project, tools } from "../packaging/project.js";

const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const limits = [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }];
  const limiter = createLimiter({ tiers: { free: { limits } } });
  console.log(JSON.stringify([limiter.engine, limiter.consume("acct:42", "free", 2).limits[0].remaining]));
`;

/** Limits before a handler of the runtime's own server: what is left of a quota after a failure, and then a denial. */
const SERVER = `
  import { createLimiter } from "tollkeeper";
  import { tollkeeper } from "tollkeeper/fetch";
  const limits = [
    { name: "minute", type: "bucket", limit: 1, windowSeconds: 60, burst: 1 },
    { name: "day", type: "quota", limit: 9, period: "day" },
  ];
  const limiter = createLimiter({ tiers: { anonymous: { limits } }, engine: "js" });
  const bun = (request, server) => server.requestIP(request)?.address;
  const deno = (_request, { remoteAddr }) => remoteAddr.hostname;
  const limit = tollkeeper({ limiter, address: globalThis.Bun ? bun : deno });
  const handler = limit(() => new Response("no", { status: 503 }));
  const where = { port: 0, hostname: "127.0.0.1" };
  const server = globalThis.Bun
    ? Bun.serve({ ...where, fetch: handler })
    : Deno.serve({ ...where, onListen: () => undefined }, handler);
  const url = "http://127.0.0.1:" + (server.port ?? server.addr.port);
  const first = await fetch(url);
  const second = await fetch(url);
  const { code } = await second.json();
  const day = limiter.peek("ip:127.0.0.1", "anonymous", 0).limits[1].remaining;
  console.log(JSON.stringify([first.status, first.headers.get("ratelimit-policy"), second.status, code, day]));
  process.exit();
`;
const SERVED = '[503,"\\"minute\\";q=1;w=60, \\"day\\";q=9;w=86400",429,"rate_limit_exceeded",9]\n';

let folder: string;
let project: Project;

beforeAll(() => {
  folder = tools({ bun: "1.4.5", deno: "2.9.6" });
  project = new Project(folder);
  project.write("app.mjs", PROGRAM);
  project.write("server.mjs", SERVER);
  for (const name of ["ipaddr.js", "structured-headers"]) {
    cpSync(join(ROOT, "node_modules", name), join(project.folder, "node_modules", name), { recursive: true });
  }
});
afterAll(() => rmSync(project.folder, { recursive: true, force: true }));

function run(program: "bun" | "deno", ...args: string[]) {
  return project.run(join(folder, "node_modules", ".bin", program), args);
}

describe("Deno", () => {
  it("serves by tollkeeper/fetch", () => {
    const permissions = ["--allow-read", "--allow-env", "--allow-sys", "--allow-net"];
    expect(run("deno", "run", "--no-prompt", ...permissions, "server.mjs")).toMatchObject({
      stdout: SERVED,
      status: 0,
    });
  });

  it("decides natively with the permissions that docs/bundlers.md names", () => {
    const permissions = ["--allow-read", "--allow-env", "--allow-sys", "--allow-ffi"];
    expect(run("deno", "run", "--no-prompt", ...permissions, "app.mjs")).toMatchObject({
      stdout: '["native",8]\n',
      status: 0,
    });
  });

  it.each([
    [[], /--allow-sys/],
    [["--allow-read", "--allow-env", "--allow-sys"], /--allow-ffi/],
  ])("decides in JavaScript with %j, and names the permission that is missing", (permissions, missing) => {
    const { stdout, stderr, status } = run("deno", "run", "--no-prompt", ...permissions, "app.mjs");
    expect({ stdout, status }).toEqual({ stdout: '["js",8]\n', status: 0 });
    expect(stderr).toMatch(/TOLLKEEPER_JS_ENGINE/);
    expect(stderr).toMatch(missing);
  });
});

describe("Bun", () => {
  it("serves by tollkeeper/fetch", () => {
    expect(run("bun", "server.mjs")).toMatchObject({ stdout: SERVED, status: 0 });
  });

  it("decides natively", () => {
    expect(run("bun", "app.mjs")).toMatchObject({ stdout: '["native",8]\n', status: 0 });
  });

  it.each(["bun", "node"] as const)("decides natively once bundled for %s", (target) => {
    const output = `bundle-${target}.mjs`;
    expect(run("bun", "build", "app.mjs", `--target=${target}`, `--outfile=${output}`)).toMatchObject({ status: 0 });
    const ran = target === "bun" ? run("bun", output) : project.node(output);
    expect(ran).toMatchObject({ stdout: '["native",8]\n', status: 0 });
  });
});
