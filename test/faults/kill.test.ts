import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../src/index.js";

const KEYS = 50;
const FLUSH_MS = 1000;
const KILL_AFTER_MS = 2500;
const tiers = { t: { limits: [{ name: "month", type: "quota" as const, limit: 1e9, period: "month" as const }] } };

// Spends, and tells after each turn what it has admitted so far and when.
const PROGRAM = `
  import { createLimiter } from "tollkeeper";
  const [path, flushMs, keys, tiers] = process.argv.slice(1);
  const limiter = createLimiter({ tiers: JSON.parse(tiers), storage: { type: "file", path, flushMs: Number(flushMs) } });
  let admitted = 0;
  const turn = () => {
    for (let call = 0; call < 500; call++) if (limiter.consume("k" + (admitted % keys), "t").allowed) admitted++;
    process.stdout.write(Date.now() + " " + admitted + "\\n");
    setImmediate(turn);
  };
  turn();
`;

it("kill -9 under load forgets at most what was admitted in the last flushMs", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "limits.redb");
  const program = ["--input-type=module", "-e", PROGRAM, path, String(FLUSH_MS), String(KEYS), JSON.stringify(tiers)];
  const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
  const told: { at: number; admitted: number }[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [at, admitted] = line.split(" ").map(Number) as [number, number];
    told.push({ at, admitted });
    if (at - (told[0]?.at ?? at) >= KILL_AFTER_MS) child.kill("SIGKILL");
  });
  await once(child, "close");

  const last = told.at(-1) ?? { at: 0, admitted: 0 };
  const flushed = told.findLast(({ at }) => at <= last.at - FLUSH_MS) ?? { at: 0, admitted: 0 };
  const limiter = createLimiter({ tiers, storage: { type: "file", path } });
  onTestFinished(() => limiter.close());
  let kept = 0;
  for (let key = 0; key < KEYS; key++) kept += 1e9 - (limiter.peek(`k${key}`, "t").limits[0]?.remaining ?? 0);
  // biome-ignore lint/suspicious/noConsole: the figure is what this test is for
  console.log(
    `admitted ${last.admitted}, kept ${kept}, forgotten ${last.admitted - kept}; ` +
      `admitted in the last ${FLUSH_MS} ms: ${last.admitted - flushed.admitted}`,
  );
  expect(flushed.admitted).toBeGreaterThan(0);
  expect(kept).toBeGreaterThanOrEqual(flushed.admitted);
  expect(kept).toBeLessThanOrEqual(last.admitted + 500);
}, 30_000);
