/** A quota's periods, as a calendar has them. */
export type Calendar =
  | { period: "hour" | "day" | "once" }
  | { period: "week"; anchorDay: number }
  | { period: "month"; anchorDay: number }
  | { period: "year"; anchorMonth: number };

/** A period: from its first instant to that of the next, in ms since the epoch; the end is infinite if it never ends. */
export interface Span {
  start: number;
  end: number;
}

/** An hour, in ms. */
export const HOUR = 3_600_000;
/** A day, in ms. */
export const DAY = 24 * HOUR;

/** The period that an instant is in; found by going through the calendar from well before it. */
export function spanOf(calendar: Calendar, now: number): Span {
  const starts = startsAround(calendar, now);
  for (let index = 1; index < starts.length; index++) {
    const [start, end] = [starts[index - 1] as number, starts[index] as number];
    if (start <= now && now < end) return { start, end };
  }
  return { start: 0, end: Number.POSITIVE_INFINITY };
}

function startsAround(calendar: Calendar, now: number): number[] {
  const around = [-2, -1, 0, 1, 2];
  const date = new Date(now);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  switch (calendar.period) {
    case "hour":
      return around.map((hours) => Math.floor(now / HOUR) * HOUR + hours * HOUR);
    case "day":
      return around.map((days) => Date.UTC(year, month, date.getUTCDate() + days));
    case "week":
      return Array.from({ length: 29 }, (_, index) => Date.UTC(year, month, date.getUTCDate() + index - 14)).filter(
        (day) => (new Date(day).getUTCDay() || 7) === calendar.anchorDay,
      );
    case "month":
      return around.map((months) => {
        const lastDay = new Date(Date.UTC(year, month + months + 1, 0)).getUTCDate();
        return Date.UTC(year, month + months, Math.min(calendar.anchorDay, lastDay));
      });
    case "year":
      return around.map((years) => Date.UTC(year + years, calendar.anchorMonth - 1, 1));
    case "once":
      return [];
  }
}
