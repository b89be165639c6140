import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import { expect, it, onTestFinished } from "vitest";
import type { Engine } from "../../../src/engine/engine.js";
import { openNative } from "../../../src/engine/native.js";
import { createLimiter } from "../../../src/index.js";
import type { Cell, Cells, CellsOptions } from "../../../src/ledger/cells.js";
import { openLedger, type UsageReport } from "../../../src/ledger/index.js";
import { openCells } from "../../../src/ledger/open-cells.js";

const HOUR_MS = 3_600_000;
const DAY = 20_700;
const HOUR = DAY * 24;
const tiers = { free: { limits: [] } };

interface Opened {
  engine: Engine;
  cells: Cells;
}

function open(file?: string, options: Partial<CellsOptions> = {}, name = ""): Opened {
  const { engine } = openNative({ name, tiers, maxKeys: 10, file });
  if (engine === undefined) throw new Error("there is no binding");
  return { engine, cells: openCells(engine, { meters: ["identify"], ...options }) };
}

function newFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "limits.redb");
}

function count(cells: Cells, account: string, hour: number): void {
  cells.count(account, 0, cells.planId("free"), hour, 1, 1_000, 0, 0);
}

async function all(cells: Cells): Promise<Cell[]> {
  return (await cells.read({ fromHour: 0, toHour: 2 ** 22, max: 100_000 })).cells;
}

it("is written to the limiter's file with its flush, and read from there and from memory as one", async () => {
  const file = newFile();
  const first = open(file);
  expect([first.cells.isDurable, first.cells.kind]).toEqual([true, "native"]);
  count(first.cells, "a", HOUR);
  count(first.cells, "b", HOUR);
  await first.engine.flush();
  expect(first.cells.stats()).toMatchObject({ unwrittenCalls: 0, cells: 0 });
  count(first.cells, "b", HOUR);
  expect((await all(first.cells)).map(({ account, calls }) => [account, calls])).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  await first.engine.close();
  const second = open(file, { meters: ["compare"] });
  expect([second.cells.meters(), second.cells.plans()]).toEqual([["identify", "compare"], ["free"]]);
  expect((await all(second.cells)).map(({ account, calls }) => [account, calls])).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  expect(await second.cells.accounts("a", 5)).toEqual(["b"]);
  await second.engine.close();
});

it("has a ledger tell after a restart what it told before, and what is counted and not written yet", async () => {
  const storage = { type: "file" as const, path: newFile(), flushMs: 60_000 };
  const ask = { from: HOUR * HOUR_MS, to: (HOUR + 24) * HOUR_MS, by: "day" as const, group: ["plan" as const] };
  const reports: UsageReport[] = [];
  for (const units of [2.5, 1]) {
    const limiter = createLimiter({ tiers, storage });
    const ledger = openLedger({ limiter, meters: ["identify"], clock: () => (HOUR + 3) * HOUR_MS });
    ledger.record({ account: "a", meter: "identify", plan: "free", units });
    reports.push(await ledger.report(ask));
    await ledger.close();
    await limiter.close();
  }
  expect(reports).toMatchObject([
    { rows: [{ calls: 1, units: 2.5, plan: "free" }], bound: { calls: 1, units: 2.5 } },
    { rows: [{ calls: 2, units: 3.5, plan: "free" }], bound: { calls: 1, units: 1 } },
  ]);
});

it("closes a day ten minutes after it, revises it by what comes later, and merges its hours when they are old", async () => {
  const { engine, cells } = open(newFile(), { retention: { hourDays: 1 } });
  onTestFinished(() => engine.close());
  count(cells, "a", HOUR);
  const revisions = async () => (await all(cells)).map(({ hours, calls, revision }) => [hours, calls, revision]);
  await cells.flush((HOUR + 24) * HOUR_MS + 599_999);
  count(cells, "a", HOUR);
  await cells.flush((HOUR + 24) * HOUR_MS + 600_000);
  expect(await revisions()).toEqual([[1, 2, 0]]);
  count(cells, "a", HOUR);
  await cells.flush((HOUR + 24) * HOUR_MS + 600_000);
  expect(await revisions()).toEqual([[1, 3, 1]]);
  // Each flush does a part of what is due.
  for (let part = 0; part < 3; part++) await cells.flush((HOUR + 48) * HOUR_MS);
  expect(await revisions()).toEqual([[24, 3, 1]]);
});

it("is one for all threads that share a table, and outlasts those that end", async () => {
  const name = `threads ${process.pid}`;
  const { engine, cells } = open(undefined, {}, name);
  onTestFinished(() => engine.close());
  const threads = Array.from(
    { length: 4 },
    () => new Worker(PROGRAM_OF_THREAD, { eval: true, workerData: { name, HOUR } }),
  );
  await Promise.all(threads.map((thread) => once(thread, "exit")));
  expect((await all(cells)).map(({ account, calls }) => [account, calls])).toEqual([
    ["a", 10_000],
    ["b", 10_000],
  ]);
});

const PROGRAM_OF_THREAD = `
  const { workerData: { name, HOUR } } = require("node:worker_threads");
  const { createRequire } = require("node:module");
  const path = require("node:path");
  const root = createRequire(path.resolve("package.json"));
  const { platform, arch } = process;
  const binding = root("@tollkeeper/native-" + platform + "-" + arch + (platform === "linux" ? "-gnu" : ""));
  const engine = binding.Engine.open(name, JSON.stringify([["free", { limits: [] }]]), 10);
  const ledger = engine.openLedger(["identify"], 1e6, { hourDays: 62, dayDays: 400, months: 36 });
  const frame = new Float64Array(new SharedArrayBuffer(64 * 8 * 8));
  const count = ledger.counter(frame);
  const plan = ledger.planId("free");
  for (let call = 0; call < 5000; call++) {
    frame.set([0, plan, HOUR, 1, 0, 1000, 0, 0]);
    count(call % 2 ? "a" : "b");
  }
`;

it("is written sooner when memory is nearly full, so that the accounts of what comes next are known", async () => {
  const { engine, cells } = open(newFile(), { maxCells: 100 });
  onTestFinished(() => engine.close());
  for (let account = 0; account < 1_000; account++) {
    count(cells, `account ${account}`, HOUR);
    if (account % 10 === 9) await engine.flush();
  }
  for (let account = 0; account < 90; account++) count(cells, `more ${account}`, HOUR);
  // What it began by itself is behind this one.
  await cells.flush(HOUR * HOUR_MS);
  expect(cells.stats()).toMatchObject({ overflow: 0, cells: 0 });
  expect(await all(cells)).toHaveLength(1_090);
});

it("kill -9 takes at most what was not flushed, and adds nothing", async () => {
  const file = newFile();
  const child = spawn(process.execPath, ["-e", PROGRAM_TO_KILL, file, String(HOUR)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let [flushed, counted] = [0, 0];
  createInterface({ input: child.stdout }).on("line", (line) => {
    [flushed, counted] = line.split(" ").map(Number) as [number, number];
    if (flushed > 20_000) child.kill("SIGKILL");
  });
  await once(child, "close");
  const { engine, cells } = open(file);
  onTestFinished(() => engine.close());
  const kept = (await all(cells)).reduce((sum, { calls }) => sum + calls, 0);
  expect(kept).toBeGreaterThanOrEqual(flushed);
  expect(kept).toBeLessThanOrEqual(counted + 1_000);
});

// Tells, after each flush, how many calls were counted before it, and how many by now.
const PROGRAM_TO_KILL = `
  const { createRequire } = require("node:module");
  const path = require("node:path");
  const [file, hour] = process.argv.slice(1);
  const root = createRequire(path.resolve("package.json"));
  const { platform, arch } = process;
  const binding = root("@tollkeeper/native-" + platform + "-" + arch + (platform === "linux" ? "-gnu" : ""));
  const engine = binding.Engine.open("", JSON.stringify([["free", { limits: [] }]]), 10, file);
  const ledger = engine.openLedger(["identify"], 1e6, { hourDays: 62, dayDays: 400, months: 36 });
  const frame = new Float64Array(new SharedArrayBuffer(64 * 8 * 8));
  const count = ledger.counter(frame);
  const plan = ledger.planId("free");
  let counted = 0;
  let flushing = false;
  const turn = () => {
    for (let call = 0; call < 1000; call++, counted++) {
      frame.set([0, plan, Number(hour), 1, 0, 1000, 0, 0]);
      count("account " + (counted % 100));
    }
    if (!flushing) {
      const before = counted;
      flushing = true;
      engine.flush().then(() => {
        flushing = false;
        process.stdout.write(before + " " + counted + "\\n");
      });
    }
    setTimeout(turn, 1);
  };
  turn();
`;
