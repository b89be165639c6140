import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter, type LimiterOptions } from "../../src/index.js";
import { admitted, NOON, remaining, TIERS } from "../unit/limiter/engines.js";
import { ATTEMPTS } from "../unit/limiter/login.js";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function openFile(path: string, options: Partial<LimiterOptions> = {}) {
  const limiter = createLimiter({ tiers: TIERS, clock: () => NOON, storage: { type: "file", path }, ...options });
  onTestFinished(() => limiter.close());
  return limiter;
}

it("what was spent is there after a close, in every limit, and the file is its owner's alone", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const first = openFile(path);
  first.consume("acct:42", "free", 60);
  admitted(first, "ip:203.0.113.7", "anonymous", 40);
  await first.close();
  const second = openFile(path);
  expect(second.consume("acct:42", "free", 2).limits).toMatchObject([{ remaining: 38 }, { remaining: 49_938 }]);
  expect(second.consume("ip:203.0.113.7", "anonymous").allowed).toBe(false);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readFileSync(path).includes("acct:42")).toBe(false);
});

it("what was used beyond a limit is there after a close, be it overage by then or not", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const month = { name: "month", type: "quota", limit: 10, period: "month", overage: { max: 5 } } as const;
  const first = openFile(path, { tiers: { free: { limits: [month] } } });
  first.consume("k", "free", 13);
  await first.close();
  const second = openFile(path, { tiers: { free: { limits: [{ ...month, limit: 12 }] } } });
  expect(second.consume("k", "free", 3).limits).toMatchObject([{ limit: 12, remaining: 0, overage: 4 }]);
  await second.close();
  const third = openFile(path, { tiers: { free: { limits: [{ ...month, overage: undefined }] } } });
  expect(third.consume("k", "free").allowed).toBe(false);
});

it.each([0, 10])(
  "a block goes on where it was after a close, of a key that was granted %i of a quota",
  async (granted) => {
    const path = join(temporaryFolder(), "limits.redb");
    const month = { name: "month", type: "quota", limit: 100, period: "month" } as const;
    const login = (now: number) =>
      openFile(path, { tiers: { login: { limits: [ATTEMPTS, month] } }, clock: () => now });
    const first = login(NOON);
    if (granted > 0) first.grant("ada", "login", granted);
    expect(admitted(first, "ada", "login", 6)).toBe(5);
    await first.close();
    const second = login(NOON + 600_000);
    expect(second.consume("ada", "login").retryAfterMs).toBe(3_000_000);
    await second.close();
    expect(admitted(login(NOON + 3_600_000), "ada", "login", 6)).toBe(5);
  },
);

it("what is flushed survives without a close", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const first = openFile(path);
  first.consume("k", "free", 60);
  await first.flush();
  first.consume("k", "free", 1);
  copyFileSync(path, `${path}.crashed`);
  expect(remaining(openFile(`${path}.crashed`), "k", "free", "month")).toBe(49_940);
});

it("what changes is flushed without being asked", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const limiter = openFile(path, { storage: { type: "file", path, flushMs: 20 } });
  limiter.consume("k", "free", 60);
  await expect
    .poll(() => {
      copyFileSync(path, `${path}.copy`);
      const copy = createLimiter({ tiers: TIERS, clock: () => NOON, storage: { type: "file", path: `${path}.copy` } });
      const left = remaining(copy, "k", "free", "month");
      return copy.close().then(() => left);
    })
    .toBe(49_940);
});

it("reset keys and refunds are stored too", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const first = openFile(path);
  first.consume("reset", "free", 60);
  const refunded = first.consume("refunded", "free", 60);
  await first.flush();
  first.reset("reset");
  refunded.refund();
  await first.close();
  const second = openFile(path);
  expect(remaining(second, "reset", "free", "month")).toBe(50_000);
  expect(remaining(second, "refunded", "free", "month")).toBe(50_000);
  expect(second.stats().keys).toBe(1);
});

it("records are kept beside the keys", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const first = openFile(path);
  await first.records.put("key/2", "two");
  await first.records.put("key/1", "one");
  await first.records.put("gone", "gone");
  await first.records.put("gone", undefined);
  await first.close();
  const { records } = openFile(path);
  expect(records.list("key/")).toEqual([
    ["key/1", "one"],
    ["key/2", "two"],
  ]);
  expect([records.get("key/1"), records.get("gone")]).toEqual(["one", undefined]);
});

it("records in memory behave the same", async () => {
  const { records } = createLimiter({ tiers: TIERS, engine: "js" });
  await records.put("b", "2");
  await records.put("a", "1");
  await records.put("b", undefined);
  expect([records.list(""), records.get("a"), records.get("b")]).toEqual([[["a", "1"]], "1", undefined]);
});

it("one process, and one limiter of it, opens a file at a time", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const first = openFile(path);
  expect(() => openFile(path)).toThrow(expect.objectContaining({ code: "ERR_STORAGE_LOCKED" }));
  await first.close();
  openFile(path);
});

it("limiters of one name share a file, which is free when the last has closed", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const [first, second] = [openFile(path, { name: "shared" }), openFile(path, { name: "shared" })];
  first.consume("k", "free", 10);
  await first.close();
  second.consume("k", "free", 10);
  await second.close();
  expect(remaining(openFile(path), "k", "free", "month")).toBe(49_980);
});

it.each([
  ["a foreign file", "notes, and no database", "ERR_STORAGE_FOREIGN"],
  ["a damaged file", undefined, "ERR_STORAGE_CORRUPT"],
])("%s is refused, named, and left as it is", async (_, text, code) => {
  const path = join(temporaryFolder(), "limits.redb");
  let content = Buffer.from(text ?? "");
  if (text === undefined) {
    await openFile(path).close();
    content = readFileSync(path).fill(0xff, 2000, 20_000);
  }
  writeFileSync(path, content);
  expect(() => openFile(path)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(path) }));
  expect(readFileSync(path).equals(content)).toBe(true);
});

it("a folder that is not there is named", () => {
  const path = join(temporaryFolder(), "missing", "limits.redb");
  expect(() => openFile(path)).toThrow(
    expect.objectContaining({ code: "ERR_STORAGE_IO", message: expect.stringContaining(path) }),
  );
});

it("more keys than maxKeys are refused, and none is lost", async () => {
  const path = join(temporaryFolder(), "limits.redb");
  const first = openFile(path);
  for (let key = 0; key < 5; key++) first.consume(`k${key}`, "free");
  await first.close();
  expect(() => openFile(path, { maxKeys: 4 })).toThrow(expect.objectContaining({ code: "ERR_STORAGE_FULL" }));
  expect(openFile(path).stats().keys).toBe(5);
});
