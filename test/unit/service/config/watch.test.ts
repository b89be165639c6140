import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { watchFile } from "../../../../src/service/config/watch.js";

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function watched(path: string) {
  const changed = vi.fn();
  onTestFinished(watchFile(path, changed));
  return changed;
}

const told = (changed: ReturnType<typeof vi.fn>, times: number) =>
  vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(times), { timeout: 4000 });

it("a file that is written anew, or replaced, is told of", async () => {
  const path = join(folderOf(), "tollkeeper.yaml");
  writeFileSync(path, "port: 1\n");
  const changed = watched(path);
  writeFileSync(path, "port: 2\n");
  await told(changed, 1);
  writeFileSync(`${path}.new`, "port: 3\n");
  renameSync(`${path}.new`, path);
  await told(changed, 2);
});

it("a ConfigMap is told of, where a link beside the file changes and not the file", async () => {
  const folder = folderOf();
  for (const [version, text] of [
    ["..1", "port: 1\n"],
    ["..2", "port: 2\n"],
  ] as const) {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, "tollkeeper.yaml"), text);
  }
  symlinkSync("..1", join(folder, "..data"));
  symlinkSync("..data/tollkeeper.yaml", join(folder, "tollkeeper.yaml"));
  const changed = watched(join(folder, "tollkeeper.yaml"));
  symlinkSync("..2", join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
  await told(changed, 1);
});

it("a neighbour of the file is nothing to tell of", async () => {
  const folder = folderOf();
  const path = join(folder, "tollkeeper.yaml");
  writeFileSync(path, "port: 1\n");
  const changed = watched(path);
  writeFileSync(join(folder, "other"), "x");
  writeFileSync(path, "port: 1\n");
  writeFileSync(path, "port: 2\n");
  await told(changed, 1);
});

it("a file that goes away and comes back is told of", async () => {
  const path = join(folderOf(), "tollkeeper.yaml");
  writeFileSync(path, "port: 1\n");
  const changed = watched(path);
  rmSync(path);
  await told(changed, 1);
  writeFileSync(path, "port: 1\n");
  await told(changed, 2);
});
