import { LIMIT_NAME } from "../engine/tier.js";
import { shown } from "../limiter/misuse.js";
import { type Division, type Hours, hourAt, reportInvalid } from "./hours.js";
import type { Group, Place, Shape } from "./rows.js";
import { unknownMeter } from "./usage.js";

/** From when to when; each an instant in ISO 8601, with its offset, or in ms since the epoch: whole hours of UTC. */
export interface UsageRange {
  /** The first hour. */
  from: string | number;
  /** The hour after the last. */
  to: string | number;
}

/** What a report is asked for. */
export interface ReportQuery extends UsageRange {
  /** One account; all together if left out. */
  account?: string | undefined;
  /** How long a row is: an hour, a day or a month of UTC. */
  by: Division;
  /** What rows tell apart, beside the time: nothing by default. Of one account there is no other. */
  group?: readonly Group[] | undefined;
  /** The day on which months begin, 1 to 31, clamped to the last day of the month; 1 by default. */
  anchorDay?: number | undefined;
  /** Rows at most: 1 to 10,000, 1,000 by default. */
  page?: number | undefined;
  /** `next` of the page before. */
  after?: string | null | undefined;
}

/** What the largest accounts are asked for. */
export interface TopQuery extends UsageRange {
  /** Of one meter; of all together if left out. */
  meter?: string | undefined;
  /** By what they are the largest; by `"units"` if left out. */
  by?: "units" | "calls" | undefined;
  /** How many: 1 to 1,000; 10 by default. */
  size?: number | undefined;
}

/** A report that can be made. */
export interface CheckedReport {
  readonly account: string | undefined;
  readonly shape: Shape;
  readonly page: number;
  readonly after: Place | undefined;
}

/** The most that one report goes over: hours times what it tells apart. */
const MOST = 1_000_000;
const MOST_ROWS = 10_000;
const MOST_ACCOUNTS = 1000;
const GROUPS: readonly Group[] = ["account", "meter", "plan"];

/** How many there are of what a report may tell apart. */
export interface Counted {
  readonly meters: number;
  readonly plans: number;
}

/** @throws {TollkeeperError} `ERR_REPORT_INVALID` */
export function checkedReport(query: ReportQuery, { meters, plans }: Counted): CheckedReport {
  const { account, by, group = [], anchorDay = 1, page = 1000, after } = query;
  const hours = checkedRange(query);
  if (account !== undefined && (typeof account !== "string" || account.length > 512)) {
    throw reportInvalid("account", shown(account), "a text of at most 512 UTF-16 units, or left out for all");
  }
  if (by !== "hour" && by !== "day" && by !== "month") throw reportInvalid("by", shown(by), "hour, day or month");
  if (!Array.isArray(group) || group.some((one) => !GROUPS.includes(one)) || new Set(group).size !== group.length) {
    throw reportInvalid("group", shown(group), `some of ${GROUPS.join(", ")}, each once`);
  }
  checkWhole("anchorDay", anchorDay, 31);
  if (by !== "month" && query.anchorDay !== undefined) {
    throw reportInvalid("anchorDay", shown(anchorDay), "left out unless by is month");
  }
  checkWhole("page", page, MOST_ROWS);
  const groups = new Set<Group>(group);
  const told = (groups.has("meter") ? meters : 1) * (groups.has("plan") ? Math.max(1, plans) : 1);
  const most = Math.floor(MOST / told);
  if (hours.to - hours.from > most) {
    const grouped = told === 1 ? "" : `, or grouped by less`;
    throw reportInvalid(
      "to",
      `${hours.to - hours.from} hours later than the first`,
      `at most ${most} hours after it${grouped}`,
    );
  }
  return {
    account,
    shape: { ...hours, by, anchorDay, group: groups },
    page,
    after: after === undefined || after === null ? undefined : placeOf(after),
  };
}

/** A question for the largest, checked. */
export interface CheckedTop extends Hours {
  readonly meter: string | undefined;
  readonly by: "units" | "calls";
  readonly size: number;
}

/** @throws {TollkeeperError} `ERR_REPORT_INVALID`, `ERR_METER_UNKNOWN` */
export function checkedTop(query: TopQuery, meters: readonly string[]): CheckedTop {
  const { meter, by = "units", size = 10 } = query;
  const hours = checkedRange(query);
  if (meter !== undefined && !meters.includes(meter)) throw unknownMeter(meter, meters);
  if (by !== "units" && by !== "calls") throw reportInvalid("by", shown(by), "units or calls");
  checkWhole("size", size, MOST_ACCOUNTS);
  return { ...hours, meter, by, size };
}

function checkedRange(query: UsageRange): Hours {
  if (typeof query !== "object" || query === null) throw reportInvalid("what is asked", shown(query), "{ from, to }");
  const from = hourAt("from", query.from);
  const to = hourAt("to", query.to);
  if (from < to) return { from, to };
  throw reportInvalid("to", shown(query.to), `after from, which is ${shown(query.from)}`);
}

/** @throws {TollkeeperError} `ERR_REPORT_INVALID` */
export function checkWhole(name: string, value: unknown, most: number): void {
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most) return;
  throw reportInvalid(name, shown(value), `a whole number, 1 to ${most}`);
}

/** Where a page has ended, as what to give for the next. */
export function textOf({ account, from, meter, plan }: Place): string {
  return Buffer.from(JSON.stringify([account, from, meter, plan])).toString("base64url");
}

function placeOf(text: unknown): Place {
  const place = typeof text === "string" ? parsed(Buffer.from(text, "base64url").toString()) : undefined;
  if (Array.isArray(place) && place.length === 4 && Number.isInteger(place[1])) {
    const [account, from, meter, plan] = place;
    if ([account, meter, plan].every((name) => typeof name === "string")) return { account, from, meter, plan };
  }
  throw reportInvalid("after", shown(text), "next of the page before");
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/**
 * The meters that a ledger is opened with, if they may be.
 *
 * @param invalid Makes the error.
 */
export function checkMeters(meters: unknown, most: number, invalid: (was: unknown, mayBe: string) => Error): void {
  const mayBe = `1 to ${most} names, each once: a letter, then up to 31 letters, digits, _ or -`;
  const isList = Array.isArray(meters) && meters.length >= 1 && meters.length <= most;
  const isNamed = isList && meters.every((name) => typeof name === "string" && LIMIT_NAME.test(name));
  if (!isNamed || new Set(meters).size !== meters.length) throw invalid(meters, mayBe);
}
