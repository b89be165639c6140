import { onTestFinished } from "vitest";
import { createLimiter, type LimiterOptions } from "../../../src/index.js";
import {
  type Ledger,
  type LedgerOptions,
  openLedger,
  type ReportQuery,
  type UsageRow,
} from "../../../src/ledger/index.js";

export const HOUR_MS = 3_600_000;
export const METERS = ["identify", "compare", "batch"];

/** A ledger in memory that closes with the test, and its clock. */
export function open(
  engine: LimiterOptions["engine"],
  options: Partial<LedgerOptions> = {},
): { ledger: Ledger; clock: { now: number } } {
  const clock = { now: Date.UTC(2026, 10, 10, 12, 34) };
  const limiter = createLimiter({ tiers: { free: { limits: [] } }, engine: engine ?? "js", clock: () => clock.now });
  const ledger = openLedger({ limiter, meters: METERS, ...options });
  onTestFinished(async () => {
    await ledger.close();
    await limiter.close();
  });
  return { ledger, clock };
}

/** All rows of a report, page by page. */
export async function rowsOf(ledger: Ledger, query: ReportQuery): Promise<UsageRow[]> {
  const rows: UsageRow[] = [];
  let after: string | null = null;
  do {
    const report = await ledger.report({ ...query, after });
    rows.push(...report.rows);
    after = report.next;
  } while (after !== null);
  return rows;
}
