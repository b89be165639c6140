/** The recipes of docs/recipes/limits.md, which test/docs/snippets.test.ts runs in memory, on a file and on Redis as well. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { format } from "node:util";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ROOT } from "../../scripts/run.mjs";
import { createLimiter, type LimiterOptions, type RedisStorage, type StorageOptions } from "../../src/index.js";
import { newPrefix } from "../redis/replicas.js";
import { type RedisServer, redisForFile } from "../redis/server.js";

const page = readFileSync(join(ROOT, "docs", "recipes", "limits.md"), "utf8");
const sections = page.split("\n## ").slice(1);
const recipes = sections.map((section) => {
  const [, title = "", code = ""] = /^(.*)\n[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(section) ?? [];
  return { title, code };
});

let server: RedisServer;
beforeAll(async () => {
  server = await redisForFile();
});

const STORAGES: Record<string, () => StorageOptions | RedisStorage> = {
  memory: () => ({ type: "memory" }),
  file: () => {
    const folder = mkdtempSync(join(tmpdir(), "recipe-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    return { type: "file", path: join(folder, "state") };
  },
  "Redis, leased": () => ({ type: "redis", url: server.url, prefix: newPrefix(), timeoutMs: 5000 }),
  "Redis, exact": () => ({ type: "redis", url: server.url, prefix: newPrefix(), timeoutMs: 5000, mode: "exact" }),
};

/** A recipe as a function: types taken away, and a limiter that waits until it is ready. */
function compiled(code: string): (createLimiter: unknown, console: unknown) => Promise<void> {
  const plain = code
    .replaceAll(/^import .*\n/gm, "")
    .replaceAll(" as const", "")
    .replaceAll(/\((\w+): (string|number)\)/g, "($1)")
    .replace("= createLimiter(", "= await createLimiter(");
  return new Function("createLimiter", "console", `return (async () => {\n${plain}\n})();`) as never;
}

it.each(recipes)("$title: at most 15 lines", ({ code }) => {
  const lines = code.split("\n").filter((line) => line !== "");
  expect(lines.length).toBeGreaterThan(5);
  expect(lines.length).toBeLessThanOrEqual(15);
});

describe.each(Object.entries(STORAGES))("on %s", (_name, storageOf) => {
  it.each(recipes)("$title", async ({ code }) => {
    const printed: string[] = [];
    const opened = async (options: LimiterOptions) => {
      const limiter = createLimiter({ ...options, storage: storageOf() } as LimiterOptions);
      onTestFinished(() => limiter.close());
      await limiter.ready();
      return limiter;
    };
    await compiled(code)(opened, { log: (...values: unknown[]) => void printed.push(format(...values)) });
    const promised = code.split("\n").flatMap((line) => /^\s*console\.log\(.*; \/\/ (.*)$/.exec(line)?.slice(1) ?? []);
    expect(printed).toEqual(promised);
  });
});
