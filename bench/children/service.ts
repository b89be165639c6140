/** The service as `tollkeeper serve` starts it, behind a gateway that knows its callers, for the benchmark `clients`. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve as answer } from "../child.js";

/** What the service is asked: where it is, its memory, or to stop. */
export type Question = "address" | "memory" | "stop";

/** Where the service is started from; not public. */
interface ServeModule {
  serve(options: {
    environment: Record<string, string>;
    print: (line: string) => void;
    logStream: { write(text: string): unknown };
  }): Promise<{ url: string; stop(): Promise<void> }>;
}

if (process.send !== undefined) {
  const [, , gatewaySecret = ""] = process.argv;
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const module: ServeModule = await import(new URL("../../service/serve.js", import.meta.url).href);
  const service = await module.serve({
    environment: {
      PORT: "0",
      RATE_LIMIT_FILE: join(folder, "bench.redb"),
      RATE_LIMIT_GATEWAY_SECRET: gatewaySecret,
      RATE_LIMIT_MAX_CONNECTIONS: "20000",
      RATE_LIMIT_DEMO_KEYS: "never",
    },
    print: () => undefined,
    logStream: process.stderr,
  });
  answer(async (question: Question): Promise<string | number> => {
    if (question === "address") return service.url;
    if (question === "stop") {
      await service.stop();
      return 0;
    }
    return process.memoryUsage.rss();
  });
}
