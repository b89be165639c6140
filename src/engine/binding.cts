/**
 * Finds and loads the native binary. It is CommonJS because only `require` loads a `.node` file, and as such it serves
 * the ESM and the CommonJS build alike.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** The binding, or why there is none. */
export type LoadedBinding = { binding: unknown; reason?: undefined } | { binding?: undefined; reason: string };

let loaded: LoadedBinding | undefined;

/** Loads the binary built in this checkout, or else the one of the platform package; looks once. */
export function loadBinding(): LoadedBinding {
  loaded ??= load();
  return loaded;
}

function load(): LoadedBinding {
  const platform = platformName();
  const packageName = `@tollkeeper/native-${platform}`;
  const failures: string[] = [];
  for (const candidate of [builtBinary(platform), packageName]) {
    if (candidate === undefined) continue;
    try {
      return { binding: require(candidate) as unknown };
    } catch (error) {
      failures.push(
        isMissing(error, candidate) ? `${candidate} is not installed` : `${candidate}: ${messageOf(error)}`,
      );
    }
  }
  return { reason: `the native binary for ${platform} can't be loaded: ${failures.join("; ")}` };
}

/** This platform as napi names it: `linux-x64-gnu`, `linux-arm64-musl`, `darwin-arm64`, `win32-x64-msvc`. */
function platformName(): string {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isGlibc() ? "gnu" : "musl"}`;
  return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

/** Whether this very process runs on glibc: a machine may have musl too, and a binary for the other one crashes. */
function isGlibc(): boolean {
  const { report } = process as { report: NodeJS.ProcessReport & { excludeNetwork?: boolean } };
  const { excludeNetwork = false } = report;
  report.excludeNetwork = true; // Otherwise the report resolves the name of every peer, which can take seconds.
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = excludeNetwork;
  return header.glibcVersionRuntime !== undefined;
}

/** The binary that this checkout built, seen from src/engine or dist/esm/engine; published packages have none there. */
function builtBinary(platform: string): string | undefined {
  const file = join("npm", platform, `tollkeeper.${platform}.node`);
  return [join(__dirname, "../..", file), join(__dirname, "../../..", file)].find((path) => existsSync(path));
}

function isMissing(error: unknown, name: string): boolean {
  return (error as { code?: unknown }).code === "MODULE_NOT_FOUND" && messageOf(error).includes(`'${name}'`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
