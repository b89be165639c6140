/**
 * How the service bears many clients at once: 10,000 connections that are kept, each of an account of its own, for a
 * minute. A gateway names the accounts; each client calls `POST /v1/identify` every ten seconds.
 */

import { Child } from "./child.js";
import type { Load, Outcome } from "./children/clients.js";
import type { Question } from "./children/service.js";
import type { Options } from "./options.js";
import type { Result } from "./report.js";
import { rounded } from "./statistics.js";

/** What the gateway shows. */
const GATEWAY_SECRET = "a secret of the benchmark";
/** Files that a process may have open beside its connections. */
const OTHER_FILES = 1000;

export async function clients({ quick }: Options): Promise<Result> {
  const [count, seconds, pauseMs] = quick ? [1000, 3, 1000] : [10_000, 60, 10_000];
  const files = count + OTHER_FILES;
  const service = new Child<Question, string | number>("service", { args: [GATEWAY_SECRET], processor: 0, files });
  const load = new Child<Load, Outcome>("clients", { processor: 1, files });
  try {
    const url = String(await service.ask("address"));
    const before = Number(await service.ask("memory"));
    const outcome = await load.ask({ url, gatewaySecret: GATEWAY_SECRET, clients: count, seconds, pauseMs });
    const after = Number(await service.ask("memory"));
    if (outcome.failed > 0 || outcome.connected < count) {
      throw new Error(
        `of ${count} clients ${outcome.connected} connected; failed: ${JSON.stringify(outcome.failures)}`,
      );
    }
    const row = {
      clients: count,
      seconds,
      callsASecond: Math.round(outcome.answered / seconds),
      errors: outcome.failed,
      p50Ms: rounded(outcome.p50Ms),
      p99Ms: rounded(outcome.p99Ms),
      maxMs: rounded(outcome.maxMs),
      rssBeforeMiB: Math.round(before / 2 ** 20),
      rssAfterMiB: Math.round(after / 2 ** 20),
    };
    const bar = (name: string, value: number) => ({ column: "", name, value, low: value, high: value });
    return {
      title: "many clients at once, each of an account and a kept connection of its own",
      rows: [row],
      tables: [{ title: "POST /v1/identify", rows: { "fingerprint-api": row } }],
      panels: [
        { title: "time to the answer", unit: "ms", bars: [bar("p50", row.p50Ms), bar("p99", row.p99Ms)] },
        { title: "memory", unit: "MiB", bars: [bar("before", row.rssBeforeMiB), bar("after", row.rssAfterMiB)] },
      ],
    };
  } finally {
    await load.stop();
    await service.stop();
  }
}
