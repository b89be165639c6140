/**
 * What was served, counted by account, meter, plan and hour: for invoices, reports and alerts.
 *
 * @module tollkeeper/ledger
 */
export type { Retention } from "./cells.js";
export type { Division } from "./hours.js";
export { Ledger, openLedger } from "./ledger.js";
export type { CountedLimiter, LedgerOptions } from "./options.js";
export type { ReportQuery, TopQuery, UsageRange } from "./query.js";
export type {
  AccountPage,
  AccountSum,
  CountedCalls,
  LedgerStats,
  MeterCalls,
  UsageBound,
  UsageKnown,
  UsageReport,
  UsageRow,
  UsageSum,
  UsageTop,
} from "./report.js";
export type { Group } from "./rows.js";
export type { Usage } from "./usage.js";
