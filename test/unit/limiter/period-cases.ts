import type { QuotaSpec } from "../../../src/index.js";

/** Which of the calendar's periods a quota counts by. */
export type Period = Pick<QuotaSpec, "period" | "anchorDay" | "anchorMonth">;

/** A period, as Redis has it written, when one of it began, and when the next does. */
interface PeriodCase {
  readonly title: string;
  readonly written: string;
  readonly period: Period;
  readonly startMs: number;
  readonly endMs: number;
}

/** Every period, and instants that are easily taken for others. */
export const PERIODS: readonly PeriodCase[] = [
  {
    ...{ title: "an hour", written: "hour", period: { period: "hour" } },
    ...{ startMs: Date.UTC(2026, 5, 15, 11), endMs: Date.UTC(2026, 5, 15, 12) },
  },
  {
    ...{ title: "an hour over midnight", written: "hour", period: { period: "hour" } },
    ...{ startMs: Date.UTC(2026, 11, 31, 23), endMs: Date.UTC(2027, 0, 1) },
  },
  {
    ...{ title: "a day", written: "0", period: { period: "day" } },
    ...{ startMs: Date.UTC(2028, 1, 29), endMs: Date.UTC(2028, 2, 1) },
  },
  {
    ...{ title: "a week from Monday", written: "week:1", period: { period: "week" } },
    ...{ startMs: Date.UTC(2026, 5, 15), endMs: Date.UTC(2026, 5, 22) },
  },
  {
    ...{ title: "a week from Sunday", written: "week:7", period: { period: "week", anchorDay: 7 } },
    ...{ startMs: Date.UTC(2026, 5, 14), endMs: Date.UTC(2026, 5, 21) },
  },
  {
    ...{ title: "a week over new year", written: "week:4", period: { period: "week", anchorDay: 4 } },
    ...{ startMs: Date.UTC(2026, 11, 31), endMs: Date.UTC(2027, 0, 7) },
  },
  {
    ...{ title: "a month", written: "1", period: { period: "month" } },
    ...{ startMs: Date.UTC(2026, 5, 1), endMs: Date.UTC(2026, 6, 1) },
  },
  {
    ...{ title: "a month from its last day", written: "31", period: { period: "month", anchorDay: 31 } },
    ...{ startMs: Date.UTC(2028, 1, 29), endMs: Date.UTC(2028, 2, 31) },
  },
  {
    ...{ title: "a year", written: "year:1", period: { period: "year" } },
    ...{ startMs: Date.UTC(2028, 0, 1), endMs: Date.UTC(2029, 0, 1) },
  },
  {
    ...{ title: "a year from April", written: "year:4", period: { period: "year", anchorMonth: 4 } },
    ...{ startMs: Date.UTC(2026, 3, 1), endMs: Date.UTC(2027, 3, 1) },
  },
  {
    ...{ title: "a year from March, before a leap day", written: "year:3", period: { period: "year", anchorMonth: 3 } },
    ...{ startMs: Date.UTC(2027, 2, 1), endMs: Date.UTC(2028, 2, 1) },
  },
];
