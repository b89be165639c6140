// Starts the service as it was built, and reads its first lines: for checks and tests that call it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "./run.mjs";

/** The service's command line, as it was built. */
export const CLI = join(ROOT, "dist", "service", "cli", "main.js");

/**
 * @typedef {object} Service
 * @property {string} url `http://127.0.0.1:34567`
 * @property {Record<string, string>} keys The demo keys that this start has made, by tier.
 * @property {() => Promise<void>} stop Has it end in order, and waits for that.
 */

/**
 * Starts it on a free port of loopback; resolves when it serves. It ends with this process at the latest.
 *
 * @param {Readonly<Record<string, string | undefined>>} settings Environment variables, over those of this process.
 * @returns {Promise<Service>}
 */
export async function startService(settings) {
  const env = { ...process.env, HOST: "127.0.0.1", PORT: "0", ...settings };
  const child = spawn(process.execPath, [CLI, "serve"], { env, stdio: ["ignore", "pipe", "inherit"] });
  const orphan = () => child.kill("SIGKILL");
  process.once("exit", orphan);
  child.once("exit", () => process.off("exit", orphan));
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  };
  let url = "";
  /** @type {Record<string, string>} */
  const keys = {};
  for await (const line of createInterface(child.stdout)) {
    url = / on (http:\S+),/.exec(line)?.[1] ?? url;
    const [, tier, key] = /^ {2}(\w+) +(fpk_\w+)$/.exec(line) ?? [];
    if (tier !== undefined && key !== undefined) keys[tier] = key;
    if (!line.startsWith("  curl ")) continue; // The last of the first lines.
    child.stdout.resume();
    return { url, keys, stop };
  }
  throw new Error("the service ended before it served");
}
