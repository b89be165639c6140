import { periodAt } from "../engine/period.js";
import { TollkeeperError } from "../errors.js";
import { shown } from "../limiter/misuse.js";

/** Milliseconds of an hour. */
export const HOUR_MS = 3_600_000;
/** How long after its end, in ms, an hour is closed: what comes later raises the revision of what it is counted in. */
const CLOSING_MS = 10 * 60_000;
/** The last instant of which a ledger counts, as of a limiter: the year 2248. */
const LAST_MS = 2 ** 43;

/** A date, or an instant with its offset: without one, it would be another on another machine. */
const ISO =
  /^(?<date>\d{4}-(?<month>\d\d)-(?<day>\d\d))(?:T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))?$/;

/** How a report is divided: into the hours, days or months of UTC. */
export type Division = "hour" | "day" | "month";

/** Whole hours since the epoch, from the first up to and without the other. */
export interface Hours {
  readonly from: number;
  readonly to: number;
}

/**
 * The hour that begins at an instant, in whole hours since the epoch.
 *
 * @param name What messages name it.
 * @throws {TollkeeperError} `ERR_REPORT_INVALID`
 */
export function hourAt(name: string, instant: unknown): number {
  const ms = msOf(instant);
  if (ms % HOUR_MS === 0) return ms / HOUR_MS;
  throw reportInvalid(
    name,
    was(instant),
    "a whole hour of UTC, in ISO 8601 with its offset, such as 2026-11-01T00:00Z or 2026-11-01, or in ms since the epoch",
  );
}

/**
 * The hour that holds an instant, in whole hours since the epoch.
 *
 * @param name What messages name it.
 * @throws {TollkeeperError} `ERR_REPORT_INVALID`
 */
export function hourHolding(name: string, instant: unknown): number {
  const ms = msOf(instant);
  if (!Number.isNaN(ms)) return Math.floor(ms / HOUR_MS);
  throw reportInvalid(
    name,
    was(instant),
    "an instant from 1970 to 2248, in ISO 8601 with its offset, such as 2026-11-01T12:30Z or 2026-11-01, or in ms since the epoch",
  );
}

/** Not a number if there is no such instant, or a ledger does not reach it. */
function msOf(instant: unknown): number {
  const ms = typeof instant === "string" ? parsed(instant) : typeof instant === "number" ? instant : Number.NaN;
  return ms >= 0 && ms <= LAST_MS ? ms : Number.NaN;
}

function was(instant: unknown): string {
  return typeof instant === "string" ? JSON.stringify(instant) : shown(instant);
}

function parsed(text: string): number {
  const { date, month, day } = ISO.exec(text)?.groups ?? {};
  if (date === undefined) return Number.NaN;
  const lastDay = new Date(Date.UTC(Number(date.slice(0, 4)), Number(month), 0)).getUTCDate();
  const isThere = Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= lastDay;
  return isThere ? Date.parse(text) : Number.NaN;
}

/** The hours of the period that holds one. `anchorDay` is the day on which months begin. */
export function hoursOf(hour: number, by: Division, anchorDay: number): Hours {
  if (by === "hour") return { from: hour, to: hour + 1 };
  const { startMs, endMs } = periodAt(hour * HOUR_MS, by, anchorDay);
  return { from: startMs / HOUR_MS, to: endMs / HOUR_MS };
}

/** The first hour that is not closed at an instant. */
export function openHour(nowMs: number): number {
  return Math.floor((nowMs - CLOSING_MS) / HOUR_MS);
}

/** The hour as ISO 8601. */
export function isoOf(hour: number): string {
  return new Date(hour * HOUR_MS).toISOString();
}

/** What a report can't be asked for. */
export function reportInvalid(name: string, was: string, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_REPORT_INVALID", `${name} is ${was}; it may be ${mayBe}`);
}
