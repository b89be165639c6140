import { resolve } from "node:path";
import { JsEngine } from "../engine/js.js";
import { openNative } from "../engine/native.js";
import { compileTiers } from "../engine/tier.js";
import type { Engine, EngineOptions, Tiers } from "../engine/types.js";
import { TollkeeperError } from "../errors.js";
import { Limiter } from "./limiter.js";

/** Where the state of keys is kept. */
export type StorageOptions =
  /** In this process, as long as it lives. */
  | { type: "memory" }
  /** In a file of this host, which one process at a time may open. */
  | {
      type: "file";
      path: string;
      /** How much usage, in ms, a crash may forget: 10 to 60,000, 1,000 by default. */
      flushMs?: number;
    };

/** How `createLimiter` makes a limiter. */
export interface LimiterOptions {
  tiers: Tiers;
  /** Limiters of one name share one table, in every thread of the process. Left out, the table is this limiter's own. */
  name?: string;
  /** `"auto"`, the default, is native if its binary is there, and JavaScript otherwise. */
  engine?: "auto" | "native" | "js";
  /** Memory by default. */
  storage?: StorageOptions;
  /** Keys held at once, 1 to 2^32 (native) or 16,000,000 (JavaScript); 1,000,000 by default. */
  maxKeys?: number;
  /** Milliseconds since the epoch, for tests and simulation; the system's clock by default. */
  clock?: () => number;
  /** Told of each failed write to the storage file, which is tried again; by default a process warning. */
  onStorageError?: (error: unknown) => void;
}

/**
 * Opens a limiter.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_TIERS_INVALID`, `ERR_NAME_CONFLICT`, `ERR_NATIVE_MISSING`, or
 * an `ERR_STORAGE_…` for a file that can't be used, which is then left as it was.
 */
export function createLimiter(options: LimiterOptions): Limiter {
  const { tiers, name = "", storage = { type: "memory" }, maxKeys = 1_000_000, clock } = checkOptions(options);
  compileTiers(tiers, new Map());
  const file = storage.type === "file" ? resolve(storage.path) : undefined;
  const engine = openEngine(options.engine ?? "auto", { name, tiers, maxKeys, file });
  return new Limiter({
    engine,
    clock,
    flushMs: storage.type === "file" ? (storage.flushMs ?? 1000) : undefined,
    onStorageError: options.onStorageError ?? warn,
  });
}

function openEngine(kind: "auto" | "native" | "js", options: EngineOptions): Engine {
  if (kind === "js") return JsEngine.open(options);
  const native = openNative(options);
  if (native.engine) return native.engine;
  if (kind === "native") {
    throw new TollkeeperError("ERR_NATIVE_MISSING", `engine is "native", but ${native.reason}`);
  }
  return JsEngine.open(options);
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}

const OPTIONS = ["tiers", "name", "engine", "storage", "maxKeys", "clock", "onStorageError"];

function checkOptions(options: LimiterOptions): LimiterOptions {
  if (typeof options !== "object" || options === null) throw invalid("options", options, "an object");
  for (const option of Object.keys(options)) {
    if (!OPTIONS.includes(option)) throw invalid(option, "unknown", `one of ${OPTIONS.join(", ")}`);
  }
  const { name, engine, storage, maxKeys, clock, onStorageError } = options;
  if (name !== undefined && (typeof name !== "string" || name.length === 0 || name.length > 128)) {
    throw invalid("name", name, "a string of 1 to 128 characters");
  }
  if (engine !== undefined && !["auto", "native", "js"].includes(engine)) {
    throw invalid("engine", engine, '"auto", "native" or "js"');
  }
  if (maxKeys !== undefined && !(Number.isInteger(maxKeys) && maxKeys >= 1 && maxKeys <= 2 ** 32)) {
    throw invalid("maxKeys", maxKeys, "a whole number, 1 to 4294967296");
  }
  if (clock !== undefined && typeof clock !== "function") throw invalid("clock", clock, "a function");
  if (onStorageError !== undefined && typeof onStorageError !== "function") {
    throw invalid("onStorageError", onStorageError, "a function");
  }
  if (storage !== undefined) checkStorage(storage);
  return options;
}

function checkStorage(storage: StorageOptions): void {
  if (storage?.type !== "memory" && storage?.type !== "file") {
    throw invalid("storage.type", (storage as { type?: unknown } | null)?.type, '"memory" or "file"');
  }
  if (storage.type === "memory") return;
  if (typeof storage.path !== "string" || storage.path.length === 0 || storage.path.includes("\0")) {
    throw invalid("storage.path", storage.path, "the path of a file");
  }
  const { flushMs } = storage;
  if (flushMs !== undefined && !(Number.isInteger(flushMs) && flushMs >= 10 && flushMs <= 60_000)) {
    throw invalid("storage.flushMs", flushMs, "whole milliseconds, 10 to 60000");
  }
}

function invalid(option: string, was: unknown, mayBe: string): TollkeeperError {
  const shown = typeof was === "object" ? JSON.stringify(was) : String(was);
  return new TollkeeperError("ERR_OPTION_INVALID", `${option} is ${shown}; it may be ${mayBe}`);
}
