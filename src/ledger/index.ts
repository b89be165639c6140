/**
 * What was served, counted by account, meter, plan and hour: for invoices, reports and alerts; and what it costs by a plan's prices.
 *
 * @module tollkeeper/ledger
 */
export type { Retention } from "./cells.js";
export { checkPrices } from "./check-prices.js";
export type { Division } from "./hours.js";
export { Ledger, openLedger } from "./ledger.js";
export type { HeldPlan, MeterUsage, MonthUsage } from "./month-usage.js";
export type { CountedLimiter, LedgerOptions } from "./options.js";
export { splitOverage, type WithOverage } from "./overage.js";
export type { HeldSince, OverageQuota, Preview, PreviewQuery } from "./preview.js";
export type {
  MeterPrice,
  PackagePrice,
  PerUnitPrice,
  PlanPrices,
  Price,
  Prices,
  PriceTier,
  TieredPrice,
} from "./price.js";
export type { ReportQuery, TopQuery, UsageRange } from "./query.js";
export { type RatedLine, type RatedTotal, type Rating, rate, type UnpricedUsage } from "./rating.js";
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
  WaitingFor,
} from "./report.js";
export type { Group } from "./rows.js";
export type { Usage } from "./usage.js";
