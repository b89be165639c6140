import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Project, tools } from "../packaging/project.js";

const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const limits = [{ name: "minute", type: "bucket", limit: 10, windowSeconds: 60, burst: 1 }];
  const limiter = createLimiter({ tiers: { free: { limits } } });
  console.log(JSON.stringify([limiter.engine, limiter.consume("acct:42", "free", 2).limits[0].remaining]));
`;

let folder: string;
let project: Project;

beforeAll(() => {
  folder = tools({ bun: "1.4.5", deno: "2.9.6" });
  project = new Project(folder);
  project.write("app.mjs", PROGRAM);
});
afterAll(() => rmSync(project.folder, { recursive: true, force: true }));

function run(program: "bun" | "deno", ...args: string[]) {
  return project.run(join(folder, "node_modules", ".bin", program), args);
}

describe("Deno", () => {
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
