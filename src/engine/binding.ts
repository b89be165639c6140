// biome-ignore-all lint/correctness/noUndeclaredDependencies: scripts/build/pack.mjs declares the platform packages
import nodeModule from "node:module";
import { VERSION } from "../version.js";
import { isWhole } from "./elf.js";

/** The binding, or why there is none. */
export type LoadedBinding = { binding: unknown; reason?: undefined } | { binding?: undefined; reason: string };

let loaded: LoadedBinding | undefined;

/** Loads the binary of the platform's package; looks once. Whatever is wrong with it, or with looking, is the reason. */
export function loadBinding(): LoadedBinding {
  loaded ??= load();
  return loaded;
}

function load(): LoadedBinding {
  let platform = `${process.platform}-${process.arch}`;
  try {
    platform = platformName();
    const binding = binaryOf(platform);
    const { VERSION: version = "unknown" } = (binding ?? {}) as { VERSION?: string };
    if (version === VERSION) return { binding };
    throw new Error(`@tollkeeper/native-${platform} is of version ${version}, and tollkeeper of version ${VERSION}`);
  } catch (error) {
    return { reason: `the native binary for ${platform} can't be loaded: ${reasonOf(error, platform)}` };
  }
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
  try {
    const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
    return header.glibcVersionRuntime !== undefined;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/**
 * Loads a package by a `require` made here, and by its name in full: bundlers, which can't pack a binary and whose builds
 * would fail, leave that alone, and @vercel/nft, which collects the files of an app, follows it.
 */
function binaryOf(platform: string): unknown {
  const module = nodeModule; // nft goes by that name.
  const require = module.createRequire(here());
  if (process.platform === "linux" && !isWhole(require.resolve(`@tollkeeper/native-${platform}`))) {
    throw new Error("the file is cut short");
  }
  switch (platform) {
    case "linux-x64-gnu":
      return require("@tollkeeper/native-linux-x64-gnu");
    case "linux-x64-musl":
      return require("@tollkeeper/native-linux-x64-musl");
    case "linux-arm64-gnu":
      return require("@tollkeeper/native-linux-arm64-gnu");
    case "linux-arm64-musl":
      return require("@tollkeeper/native-linux-arm64-musl");
    case "darwin-x64":
      return require("@tollkeeper/native-darwin-x64");
    case "darwin-arm64":
      return require("@tollkeeper/native-darwin-arm64");
    case "win32-x64-msvc":
      return require("@tollkeeper/native-win32-x64-msvc");
    case "win32-arm64-msvc":
      return require("@tollkeeper/native-win32-arm64-msvc");
    default:
      throw new Error("there is none");
  }
}

/** From where packages are looked for: this file, or the bundle that it has become part of. */
function here(): string {
  try {
    return __filename; // Of CommonJS, and first, since a bundle in it has no import.meta.
  } catch {
    return import.meta.url;
  }
}

function reasonOf(error: unknown, platform: string): string {
  const { code, message = String(error) } = (error ?? {}) as { code?: unknown; message?: string };
  const name = `@tollkeeper/native-${platform}`;
  if (code === "MODULE_NOT_FOUND" && message.includes(`'${name}'`)) return `${name} is not installed`;
  return message.split("\n", 1)[0] ?? "";
}
