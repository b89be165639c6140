import { type PeriodName, periodAt } from "../engine/period.js";
import { unmistaken } from "../errors.js";
import { hourHolding, hoursOf, isoOf, reportInvalid } from "./hours.js";
import type { HeldPlan } from "./month-usage.js";
import { splitOverage } from "./overage.js";
import type { Prices } from "./price.js";
import type { ReportQuery } from "./query.js";
import { type Rating, rate } from "./rating.js";
import type { UsageKnown, UsageReport, UsageRow } from "./report.js";

/** A quota that goes on beyond its limit. */
export interface OverageQuota {
  /** What it counts by. */
  period: PeriodName;
  /** As of the quota: the day on which its weeks or months begin, or the month in which its years do; 1 by default. */
  anchor?: number | undefined;
  /** Tokens of a period before overage begins, by name of the plan; a plan that is left out has no limit. */
  limits: Readonly<Record<string, number>>;
}

/** A plan that an account was on. */
export interface HeldSince {
  /** The plan. */
  readonly plan: string;
  /** Since when, in ISO 8601 or in ms since the epoch. */
  readonly from: string | number;
}

/** What is to be previewed. */
export interface PreviewQuery {
  /** Whose month. */
  account: string;
  /** An instant of the month, in ISO 8601 with its offset, or a date of UTC, or in ms since the epoch. */
  at: string | number;
  /** The day on which the account's months begin, 1 to 31, clamped to the last day of the month; 1 by default. */
  anchorDay?: number | undefined;
  /** The plans that the account was on, each since when, in their order; the last one goes on. */
  plans: readonly HeldSince[];
  /** Prices of plans, as `checkPrices` gives them. */
  prices: Prices;
  /** The quota that all meters spend together, where one goes on beyond its limit; else nothing is overage. */
  overage?: OverageQuota | undefined;
}

/** What a month has cost so far, or did. */
export interface Preview extends UsageKnown, Rating {
  /** When the month begins, in ISO 8601. */
  from: string;
  /** When it ends. */
  to: string;
}

/** Reads what was counted. */
type Read = (query: ReportQuery) => Promise<UsageReport>;

/** Rows read at a time. */
const PAGE = 10_000;

/**
 * What an account's month costs by the prices of the plans that it was on.
 *
 * Which units are overage is told by the hours in which they were used, and within an hour in the order of the meters' names.
 */
export async function previewOf(read: Read, query: PreviewQuery): Promise<Preview> {
  const { account, anchorDay = 1, prices, overage } = query;
  if (!Number.isInteger(anchorDay) || anchorDay < 1 || anchorDay > 31) {
    throw reportInvalid("anchorDay", unmistaken(anchorDay), "a day of the month, 1 to 31");
  }
  const at = hourHolding("at", query.at);
  const month = hoursOf(at, "month", anchorDay);
  const plans = heldIn(month.from, month.to, query.plans);
  const [from, to] = [isoOf(month.from), isoOf(month.to)];
  const rows: UsageRow[] = [];
  let known: UsageKnown | undefined;
  // By hours where it matters in which of them something was used.
  const division = overage === undefined ? { by: "month" as const, anchorDay } : { by: "hour" as const };
  const asked = { account, from, to, ...division, group: ["meter", "plan"] as const, page: PAGE };
  for (let after: string | null = null; ; ) {
    const report = await read({ ...asked, after });
    const { complete, bound, waitingFor } = report;
    known ??= { complete, bound, ...(waitingFor && { waitingFor }) };
    rows.push(...report.rows);
    after = report.next;
    if (after === null) break;
  }
  const usage = overage === undefined ? rows : withOverage(rows, overage);
  // What was used under a plan that the account is not known to have been on is priced, with nothing included.
  const others = [...new Set(usage.map(({ plan = "" }) => plan))].filter(
    (plan) => !plans.some((held) => held.plan === plan),
  );
  const held = [...plans, ...others.map((plan) => ({ plan, hours: 0 }))];
  return { from, to, ...known, ...rate({ hours: month.to - month.from, plans: held, usage }, prices) };
}

/** Rows in the order of time, with how much of each lies beyond the quota in its period. */
function withOverage(rows: readonly UsageRow[], { period, anchor = 1, limits }: OverageQuota) {
  const ofPeriods = new Map<number, UsageRow[]>();
  for (const row of rows) {
    const { startMs } = periodAt(Date.parse(row.from), period, anchor);
    const ofPeriod = ofPeriods.get(startMs) ?? [];
    ofPeriod.push(row);
    ofPeriods.set(startMs, ofPeriod);
  }
  return [...ofPeriods.values()].flatMap((ofPeriod) => splitOverage(ofPeriod, limits));
}

/** For how many hours of a month each plan was held, in their order. */
function heldIn(from: number, to: number, plans: PreviewQuery["plans"]): HeldPlan[] {
  const starts = plans.map((one, index) => hourHolding(`plans[${index}].from`, one.from));
  starts.forEach((start, index) => {
    if (index > 0 && start < (starts[index - 1] ?? 0)) {
      throw reportInvalid(
        `plans[${index}].from`,
        unmistaken(plans[index]?.from),
        "an instant that is not before the one before",
      );
    }
  });
  return plans.flatMap(({ plan }, index) => {
    const begins = Math.max(from, starts[index] ?? from);
    const ends = Math.min(to, starts[index + 1] ?? to);
    return ends > begins ? [{ plan, hours: ends - begins }] : [];
  });
}
