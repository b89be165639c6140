/** What quotas count by; `once` is all of time. */
export type PeriodName = "hour" | "day" | "week" | "month" | "year" | "once";

/** A calendar period in UTC: from `startMs`, up to and without `endMs`, in ms since the epoch; infinite if it never ends. */
export interface Period {
  startMs: number;
  endMs: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** The Monday before the epoch, which was a Thursday. */
const MONDAY_MS = -3 * DAY_MS;

/**
 * The period that holds `nowMs`. `anchor` is the day of the week (1 to 7, Monday is 1) or of the month (1 to 31, clamped to
 * the month's last day) on which weeks and months begin, the month (1 to 12) with which years do, and anything else for the
 * others. For a period that began before 1970, 0 stands for its start.
 */
export function periodAt(nowMs: number, period: PeriodName, anchor: number): Period {
  switch (period) {
    case "hour":
      return spanOf(nowMs, 0, HOUR_MS);
    case "day":
      return spanOf(nowMs, 0, DAY_MS);
    case "week":
      return spanOf(nowMs, MONDAY_MS + (anchor - 1) * DAY_MS, WEEK_MS);
    case "month":
      return monthOf(nowMs, anchor);
    case "year":
      return yearOf(nowMs, anchor);
    case "once":
      return { startMs: 0, endMs: Number.POSITIVE_INFINITY };
  }
}

/** The one of equal spans that holds `nowMs`; one of them begins at `originMs`. */
function spanOf(nowMs: number, originMs: number, lengthMs: number): Period {
  const startMs = originMs + Math.floor((nowMs - originMs) / lengthMs) * lengthMs;
  return { startMs: Math.max(0, startMs), endMs: startMs + lengthMs };
}

function monthOf(nowMs: number, anchorDay: number): Period {
  const now = new Date(nowMs);
  const year = now.getUTCFullYear();
  const month = now.getUTCMonth();
  const thisMonth = monthStart(year, month, anchorDay);
  return thisMonth > nowMs
    ? { startMs: Math.max(0, monthStart(year, month - 1, anchorDay)), endMs: thisMonth }
    : { startMs: thisMonth, endMs: monthStart(year, month + 1, anchorDay) };
}

function monthStart(year: number, month: number, anchorDay: number): number {
  // Day 0 of the next month is the last day of this one; Date.UTC carries months below 0 and above 11.
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  return Date.UTC(year, month, Math.min(anchorDay, lastDay));
}

function yearOf(nowMs: number, anchorMonth: number): Period {
  const now = new Date(nowMs);
  const year = now.getUTCFullYear() - (now.getUTCMonth() + 1 < anchorMonth ? 1 : 0);
  return { startMs: Math.max(0, Date.UTC(year, anchorMonth - 1)), endMs: Date.UTC(year + 1, anchorMonth - 1) };
}
