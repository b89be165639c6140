import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { ROOT } from "../../scripts/run.mjs";

/** The platform whose binary was built here, and what its package's binary is called. */
export const PLATFORM = String(readdirSync(join(ROOT, "npm")).find((platform) => existsSync(binaryIn(ROOT, platform))));
export const BINARY = `tollkeeper.${PLATFORM}.node`;

function binaryIn(root: string, platform: string): string {
  return join(root, "npm", platform, `tollkeeper.${platform}.node`);
}

/** Node and the system's tools, but no cargo. */
export const ENVIRONMENT = {
  ...process.env,
  PATH: [dirname(process.execPath), "/usr/bin", "/bin"].join(delimiter),
  NODE_V8_COVERAGE: undefined,
  NODE_OPTIONS: undefined,
};

/** A project in a new folder, with tollkeeper as npm would install it, and other packages as they are here. */
export class Project {
  readonly folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  /** The folder of the platform's package. */
  readonly native = join(this.folder, "node_modules", "@tollkeeper", `native-${PLATFORM}`);

  constructor() {
    const own = join(this.folder, "node_modules", "tollkeeper");
    mkdirSync(own, { recursive: true });
    mkdirSync(this.native, { recursive: true });
    cpSync(join(ROOT, "package.json"), join(own, "package.json"));
    cpSync(join(ROOT, "dist"), join(own, "dist"), { recursive: true });
    cpSync(join(ROOT, "npm", PLATFORM), this.native, { recursive: true });
    symlinkSync(join(ROOT, "node_modules", "ioredis"), join(this.folder, "node_modules", "ioredis"), "junction");
    writeFileSync(join(this.folder, "package.json"), JSON.stringify({ name: "project", private: true }));
  }

  write(file: string, content: string): void {
    writeFileSync(join(this.folder, file), content);
  }

  run(program: string, args: readonly string[]): { stdout: string; stderr: string; status: number | null } {
    const { stdout, stderr, status } = spawnSync(program, args, {
      cwd: this.folder,
      env: ENVIRONMENT,
      encoding: "utf8",
    });
    return { stdout, stderr, status };
  }

  node(...args: string[]): ReturnType<Project["run"]> {
    return this.run(process.execPath, args);
  }
}
