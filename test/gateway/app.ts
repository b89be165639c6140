import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A process of the app, as the image runs it. */
export interface AppProcess {
  url: string;
  stop(): Promise<void>;
}

const CLI = join(fileURLToPath(new URL("../..", import.meta.url)), "dist/service/cli/main.js");

/** Starts the app as it was built, on a free port of loopback, with these settings. */
export async function startApp(settings: Readonly<Record<string, string>>): Promise<AppProcess> {
  const child = spawn(process.execPath, [CLI, "serve"], {
    env: {
      ...process.env,
      HOST: "127.0.0.1",
      PORT: "0",
      RATE_LIMIT_STORAGE: "memory",
      RATE_LIMIT_DEMO_KEYS: "never",
      RATE_LIMIT_LOG_LEVEL: "silent",
      ...settings,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  };
  for await (const line of createInterface(child.stdout)) {
    const url = /on (http:\S+),/.exec(line)?.[1];
    if (url !== undefined) return { url, stop };
  }
  throw new Error("the app ended before it served");
}
