import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What is deployed, in this repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A copy of what is deployed, to be changed; removed with `remove()`. */
export class Checkout {
  readonly root = mkdtempSync(join(tmpdir(), "tkf-"));

  constructor() {
    for (const part of ["k8s", "monitoring", "Dockerfile", ".dockerignore"])
      cpSync(join(ROOT, part), join(this.root, part), { recursive: true });
  }

  /** Replaces a text in a file, which must be there once or more. */
  edit(file: string, text: string, by: string): this {
    const path = join(this.root, file);
    const before = readFileSync(path, "utf8");
    if (!before.includes(text)) throw new Error(`${file} has no ${text}`);
    writeFileSync(path, before.replace(text, by));
    return this;
  }

  delete(file: string): this {
    rmSync(join(this.root, file));
    return this;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
