import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { LiveConfig } from "../../../../src/service/config/live.js";

/** A configuration that follows a file, and how to write that. */
function live(text: string, environment: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "tollkeeper.yaml");
  const write = (text: string) => writeFileSync(path, text);
  write(text);
  const clock = { nowMs: 1000 };
  return { write, clock, live: new LiveConfig({ RATE_LIMIT_CONFIG: path, ...environment }, () => clock.nowMs) };
}

const nothing = () => undefined;

it("a new version changes what may change, and names what waits for the next start", () => {
  const { live: followed, write, clock } = live("port: 1\nfreeMinuteLimit: 5\n");
  const { config } = followed;
  clock.nowMs = 2000;
  write("port: 2\nfreeMinuteLimit: 6\nshadow: true\n");
  const seen: unknown[] = [];
  const result = followed.reload((next) => seen.push([next.port, next.freeMinuteLimit, config.freeMinuteLimit]));
  expect(result).toEqual({ outcome: "applied", changed: ["freeMinuteLimit", "shadow"], waiting: ["port"] });
  expect(seen).toEqual([[1, 6, 5]]);
  expect(config).toMatchObject({ port: 1, freeMinuteLimit: 6, shadow: true });
  expect(followed).toMatchObject({ counts: { applied: 1, refused: 0 }, isGood: true, appliedMs: 2000 });
});

it("a version that is not good changes nothing, and the next good one is taken", () => {
  const { live: followed, write, clock } = live("freeMinuteLimit: 5\n");
  clock.nowMs = 2000;
  write("freeMinuteLimit: five\n");
  expect(followed.reload(nothing)).toMatchObject({ outcome: "refused", error: { code: "ERR_CONFIG_INVALID" } });
  expect(followed.config.freeMinuteLimit).toBe(5);
  expect(followed).toMatchObject({ counts: { applied: 0, refused: 1 }, isGood: false, appliedMs: 1000 });
  write("freeMinuteLimit: 6\n");
  expect(followed.reload(nothing)).toMatchObject({ outcome: "applied" });
  expect(followed).toMatchObject({ counts: { applied: 1, refused: 1 }, isGood: true, appliedMs: 2000 });
});

it("a version that can't be put in force changes nothing", () => {
  const { live: followed, write } = live("freeMinuteLimit: 5\n");
  write("freeMinuteLimit: 6\n");
  const failure = new Error("no");
  const result = followed.reload(() => {
    throw failure;
  });
  expect(result).toEqual({ outcome: "refused", error: failure });
  expect(followed.config.freeMinuteLimit).toBe(5);
});

it("the environment still stands above a new version", () => {
  const { live: followed, write } = live("{}\n", { RATE_LIMIT_FREE_MINUTE_LIMIT: "9" });
  write("freeMinuteLimit: 6\n");
  expect(followed.reload(nothing)).toEqual({ outcome: "applied", changed: [], waiting: [] });
  expect(followed.config.freeMinuteLimit).toBe(9);
  expect(followed.isSet("freeMinuteLimit")).toBe(true);
  expect(followed.isSet("port")).toBe(false);
});
