import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter, TollkeeperError } from "../../src/index.js";
import { NOON, remaining, TIERS } from "../unit/limiter/engines.js";

function temporaryFolder(): string {
  const folder = fs.mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A limiter of a file, which flushes only when it is asked, and what it told. */
function open(path: string) {
  const told: string[] = [];
  const onStorageError = (error: unknown) =>
    void told.push(error instanceof TollkeeperError ? error.code : String(error));
  const storage = { type: "file", path, flushMs: 60_000 } as const;
  const limiter = createLimiter({ tiers: TIERS, clock: () => NOON, storage, onStorageError });
  onTestFinished(() => limiter.close().catch(() => undefined));
  return { limiter, told };
}

const codeOf = (call: () => unknown) => {
  try {
    return call() && "opened";
  } catch (error) {
    return (error as TollkeeperError).code;
  }
};

/** What is done to the file while it is open; the path of the file, and a place beside it. */
const GONE: Record<string, (path: string, beside: string) => void> = {
  removed: (path) => fs.rmSync(path),
  "moved away": (path, beside) => fs.renameSync(path, beside),
  "cut to nothing": (path) => fs.truncateSync(path, 0),
  "cut short": (path) => fs.truncateSync(path, 4096),
  "replaced by an empty file": (path) => {
    fs.rmSync(path);
    fs.writeFileSync(path, "");
  },
  "its folder removed and made again": (path) => {
    fs.rmSync(dirname(path), { recursive: true });
    fs.mkdirSync(dirname(path));
  },
  "its link led elsewhere": (path, beside) => {
    fs.renameSync(path, beside);
    fs.symlinkSync(`${beside}-other`, path);
  },
};

it.each(Object.keys(GONE))(
  "a storage file that is %s while open is written anew, whole, and it is told",
  async (how) => {
    const folder = join(temporaryFolder(), "data");
    fs.mkdirSync(folder);
    const path = join(folder, "limits.redb");
    const { limiter, told } = open(path);
    limiter.consume("before", "free", 60);
    await limiter.records.put("name", "value");
    await limiter.flush();
    GONE[how]?.(path, join(dirname(folder), "away"));
    limiter.consume("after", "free", 5);
    await limiter.records.put("later", "value");
    await limiter.flush();
    expect(told).toEqual(["ERR_STORAGE_REPLACED"]);
    expect(codeOf(() => open(path))).toBe("ERR_STORAGE_LOCKED");
    limiter.consume("after", "free", 5);
    await limiter.close();
    expect(told).toHaveLength(1);

    const next = open(path).limiter;
    expect(remaining(next, "before", "free", "month")).toBe(49_940);
    expect(remaining(next, "after", "free", "month")).toBe(49_990);
    expect(next.records.list("")).toEqual([
      ["later", "value"],
      ["name", "value"],
    ]);
  },
);

/** What stands in the file's place then. */
const OTHERS: Record<string, (path: string, other: string) => void> = {
  "moved over it": (path, other) => fs.renameSync(other, path),
  "written into it": (path, other) => fs.copyFileSync(other, path),
  "put where a link leads": (path, other) => {
    fs.rmSync(path);
    fs.symlinkSync(other, path);
  },
};
const CONTENTS: Record<string, (path: string) => Promise<void> | void> = {
  "another limiter's file": async (path) => {
    const { limiter } = open(path);
    limiter.consume("other", "free", 7);
    await limiter.close();
  },
  "something else": (path) => fs.writeFileSync(path, "not ours".repeat(1000)),
};

it.each(Object.keys(OTHERS).flatMap((how) => Object.keys(CONTENTS).map((what) => [what, how] as const)))(
  "%s %s while it is open is left as it is, and every flush says so until it is moved away",
  async (what, how) => {
    const folder = temporaryFolder();
    const path = join(folder, "limits.redb");
    const other = join(folder, "other");
    await CONTENTS[what]?.(other);
    const content = fs.readFileSync(other);
    const { limiter, told } = open(path);
    limiter.consume("k", "free", 60);
    await limiter.flush();
    OTHERS[how]?.(path, other);
    for (let time = 0; time < 2; time++) {
      limiter.consume("k", "free", 1);
      await expect(limiter.flush()).rejects.toMatchObject({ code: "ERR_STORAGE_REPLACED" });
    }
    await expect(limiter.records.put("name", "value")).rejects.toMatchObject({ code: "ERR_STORAGE_REPLACED" });
    await expect(limiter.close()).rejects.toMatchObject({ code: "ERR_STORAGE_REPLACED" });
    expect(fs.readFileSync(path).equals(content)).toBe(true);
    fs.rmSync(path);
    await limiter.close();
    expect(told).toEqual(["ERR_STORAGE_REPLACED"]);
    expect(remaining(open(path).limiter, "k", "free", "month")).toBe(49_938);
  },
);

it("two processes have one path never, not even where the file has just been removed", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const { limiter } = open(path);
  await limiter.flush();
  fs.rmSync(path);
  const program = `
    const { createLimiter } = require(${JSON.stringify(join(process.cwd(), "dist/cjs/index.js"))});
    try {
      createLimiter({ tiers: { t: { limits: [] } }, storage: { type: "file", path: ${JSON.stringify(path)} } });
      console.log("opened");
    } catch (error) { console.log(error.code); }
    process.exit();`;
  const opened = () => spawnSync(process.execPath, ["-e", program], { encoding: "utf8" }).stdout.trim();
  expect(opened()).toBe("ERR_STORAGE_LOCKED");
  expect(fs.existsSync(path)).toBe(false);
  await limiter.flush();
  expect(opened()).toBe("ERR_STORAGE_LOCKED");
  await limiter.close();
  expect(opened()).toBe("opened");
});

it.each([
  { what: "gone", inItsPlace: () => undefined },
  { what: "a file", inItsPlace: (folder: string) => fs.writeFileSync(folder, "") },
])("a folder that is $what is told of at each flush, and nothing is lost once it is there again", async (now) => {
  const folder = join(temporaryFolder(), "data");
  fs.mkdirSync(folder);
  const path = join(folder, "limits.redb");
  const { limiter } = open(path);
  limiter.consume("k", "free", 60);
  fs.rmSync(folder, { recursive: true });
  now.inItsPlace(folder);
  await expect(limiter.flush()).rejects.toMatchObject({ code: "ERR_STORAGE_IO" });
  fs.rmSync(folder, { force: true });
  fs.mkdirSync(folder);
  await limiter.close();
  expect(remaining(open(path).limiter, "k", "free", "month")).toBe(49_940);
});

it.each([0o644, 0o660, 0o666, 0o604])("a file of mode %o becomes its owner's alone, and it is told", async (mode) => {
  const path = join(temporaryFolder(), "limits.redb");
  await open(path).limiter.close();
  fs.chmodSync(path, mode);
  const { limiter, told } = open(path);
  expect(fs.statSync(path).mode & 0o777).toBe(0o600);
  await limiter.close();
  expect(told).toEqual(["ERR_STORAGE_EXPOSED"]);
});

it("a folder that everybody may write to is told", async () => {
  const folder = temporaryFolder();
  fs.chmodSync(folder, 0o777);
  const { limiter, told } = open(join(folder, "limits.redb"));
  await limiter.close();
  expect(told).toEqual(["ERR_STORAGE_EXPOSED"]);
});
