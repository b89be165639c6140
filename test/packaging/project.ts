import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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

/**
 * A folder with packages of the registry that are too large to be installed with ours; it stays for the next run.
 *
 * @param packages By name, in exact versions.
 */
export function tools(packages: Record<string, string>): string {
  const manifest = JSON.stringify({ name: "tools", private: true, dependencies: packages });
  const folder = join(tmpdir(), `tollkeeper-tools-${createHash("sha256").update(manifest).digest("hex").slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  const making = mkdtempSync(`${folder}-`);
  writeFileSync(join(making, "package.json"), manifest);
  const options = ["--no-package-lock", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  execFileSync("npm", ["install", ...options], { cwd: making, env: ENVIRONMENT });
  renameSync(making, folder);
  return folder;
}

/** What a program printed, and how it ended. */
export interface Ran {
  stdout: string;
  stderr: string;
  status: number | null;
}

/** Runs a program, while this process goes on, so that it may be asked by it. */
export function run(cwd: string, program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { cwd, env: { ...ENVIRONMENT, ...env }, maxBuffer: 2 ** 26 };
    const child = execFile(program, args, options, (_, stdout, stderr) => {
      resolve({ stdout, stderr, status: child.exitCode });
    });
  });
}

/** Every package in a `node_modules`, by its path. */
export function packagesIn(modules: string): string[] {
  return readdirSync(modules, { recursive: true, encoding: "utf8" })
    .filter((file) => /^(.*node_modules\/)?(@[^/]+\/)?[^/]+\/package\.json$/.test(file))
    .map((file) => dirname(file))
    .sort();
}

/** A project in a new folder, with tollkeeper as npm would install it. */
export class Project {
  readonly folder: string;
  /** The folder of the platform's package. */
  readonly native: string;

  /** @param parent Whose packages the project finds too. */
  constructor(parent = tmpdir()) {
    this.folder = mkdtempSync(join(parent, "tollkeeper-"));
    this.native = join(this.folder, "node_modules", "@tollkeeper", `native-${PLATFORM}`);
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

  run(program: string, args: readonly string[]): Ran {
    const { stdout, stderr, status } = spawnSync(program, args, {
      cwd: this.folder,
      env: ENVIRONMENT,
      encoding: "utf8",
    });
    return { stdout, stderr, status };
  }

  node(...args: string[]): Ran {
    return this.run(process.execPath, args);
  }
}
