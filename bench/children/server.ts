/** One HTTP server, for the benchmark `http`. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "../child.js";
import { appOf, type ServerName } from "../servers.js";
import { Holds } from "./holds.js";

/** Where a server listens, and whom it knows. */
export interface Address {
  url: string;
  /** A key of the service's, which the other servers don't need. */
  key: string | undefined;
}

export type Question = "address" | "cpu" | "watch" | "longest";

/** The whole of it, as `tollkeeper serve` starts it. */
const SERVICE = "fingerprint-api";

async function listen(name: ServerName): Promise<Address> {
  const app = await appOf(name);
  return { url: await app.listen({ host: "127.0.0.1", port: 0 }), key: undefined };
}

/** Where the service is started from; not public. */
interface ServeModule {
  serve(options: {
    environment: Record<string, string>;
    print: (line: string) => void;
    logStream: { write(text: string): unknown };
  }): Promise<{ url: string }>;
}

async function startService(): Promise<Address> {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const lines: string[] = [];
  const module: ServeModule = await import(new URL("../../service/serve.js", import.meta.url).href);
  const { url } = await module.serve({
    environment: {
      PORT: "0",
      RATE_LIMIT_FILE: join(folder, "bench.redb"),
      RATE_LIMIT_PRO_MINUTE_LIMIT: "100000000",
      RATE_LIMIT_PRO_MONTHLY_QUOTA: "1000000000000",
    },
    print: (line) => lines.push(line),
    logStream: process.stderr,
  });
  const key = lines.map((line) => /^ +pro +(\S+)$/.exec(line)?.[1]).find(Boolean);
  if (key === undefined) throw new Error("the service has shown no key of the tier pro");
  return { url, key };
}

if (process.send !== undefined) {
  const name = process.argv[2] as ServerName | typeof SERVICE;
  const address = name === SERVICE ? await startService() : await listen(name);
  const holds = new Holds();
  /** Asked where it is, it tells; asked for its processor time, µs so far; asked to watch, how long its loop is held. */
  serve((question: Question) => {
    if (question === "address") return address;
    if (question === "watch") {
      holds.watch();
      return "watching";
    }
    if (question === "longest") return holds.longest();
    const { user, system } = process.cpuUsage();
    return user + system;
  });
}
