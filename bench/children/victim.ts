/** The service as `tollkeeper serve` starts it, with many keys and a file that it follows, for the benchmark `attacks`. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLimiter } from "tollkeeper";
import { serve as answer } from "../child.js";

/** What the service is asked: who it is, or what it has come to. */
export type Question = "address" | "state";

/** Where the service is, its configuration file, and keys of a caller that pays, of one that attacks, of an operator. */
export interface Address {
  url: string;
  configFile: string;
  payer: string;
  attacker: string;
  operator: string;
}

/** What the process has come to. */
export interface State {
  rssMiB: number;
  /** Bytes logged since the start, and of these what is in the audit log. */
  loggedBytes: number;
  auditBytes: number;
}

/** Modules of the service; not public. */
interface ServeModule {
  serve(options: {
    environment: Record<string, string>;
    print: (line: string) => void;
    logStream: { write(text: string): unknown };
  }): Promise<{ url: string }>;
}
interface KeysModule {
  ApiKeys: new (options: {
    records: unknown;
  }) => {
    accounts: { setTier(account: string, tier: string): Promise<unknown> };
    create(environment: string, owner: { account: string; scopes: string[] }): Promise<{ key: string }>;
  };
}

const load = <T>(path: string): Promise<T> => import(new URL(`../../service/${path}`, import.meta.url).href);

if (process.send !== undefined) {
  const [, , count = "1000"] = process.argv;
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [file, configFile] = [join(folder, "bench.redb"), join(folder, "tollkeeper.yaml")];
  writeFileSync(configFile, "{}\n");

  const limiter = createLimiter({ tiers: { any: { limits: [] } }, storage: { type: "file", path: file } });
  const { ApiKeys } = await load<KeysModule>("management/api-keys.js");
  const keys = new ApiKeys({ records: limiter.records });
  const make = async (account: string, tier: string, scopes: string[]) => {
    await keys.accounts.setTier(account, tier);
    return (await keys.create("bench", { account, scopes })).key;
  };
  const payer = await make("payer", "pro", ["fingerprint"]);
  const attacker = await make("attacker", "free", ["fingerprint"]);
  const operator = await make("operator", "enterprise", ["admin", "quota:read"]);
  for (let made = 0; made < Number(count); made += 100) {
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => make(`account-${made + index}`, "free", ["fingerprint"])),
    );
  }
  await limiter.close();

  const state = { loggedBytes: 0, auditBytes: 0 };
  const module = await load<ServeModule>("serve.js");
  const { url } = await module.serve({
    environment: {
      PORT: "0",
      RATE_LIMIT_CONFIG: configFile,
      RATE_LIMIT_FILE: file,
      RATE_LIMIT_CORS_ORIGINS: "",
      RATE_LIMIT_PRO_MINUTE_LIMIT: "100000000",
      RATE_LIMIT_PRO_MONTHLY_QUOTA: "1000000000000",
      // So that what defends is not the limit of the one who attacks.
      RATE_LIMIT_FREE_MINUTE_LIMIT: "100000000",
      RATE_LIMIT_FREE_MONTHLY_QUOTA: "1000000000000",
    },
    print: () => undefined,
    logStream: {
      write: (text) => {
        state.loggedBytes += Buffer.byteLength(text);
        if (text.includes('"audit"')) state.auditBytes += Buffer.byteLength(text);
      },
    },
  });
  answer((question: Question): Address | State => {
    if (question === "address") return { url, configFile, payer, attacker, operator };
    return { rssMiB: process.memoryUsage.rss() / 2 ** 20, ...state };
  });
}
