import type { Output } from "./output.js";
import { columns } from "./output.js";
import type { ServiceClient } from "./service.js";

/** From when to when. */
export interface RangeFlags {
  from?: string;
  to?: string;
}

/** How it is divided, and what is told apart. */
export interface UsageFlags extends RangeFlags {
  by?: string;
  group?: string;
  anchorDay?: string;
}

/** Of what the largest are wanted. */
export interface TopFlags extends RangeFlags {
  meter?: string;
  by?: string;
  size?: string;
}

/** How rows are written for other programs. */
export type Format = "csv" | "ndjson";

/** One row, as the service answers it. */
interface Row {
  from?: string;
  to?: string;
  account?: string | null;
  meter?: string;
  plan?: string;
  calls: number;
  units: number;
  denied: number;
  refunded: number;
  revision?: number;
}

/** What an answer says of all its rows. */
interface Answer {
  from: string;
  to: string;
  complete: boolean;
  bound: { calls: number; units: number };
  waitingFor?: { process: string; since: string }[];
}

type Page = Answer & { items: Row[]; next: string | null };

/** Rows of a page: as many as the service gives at a time. */
const PAGE = 1000;

/** `tollkeeper usage show`: what was served, of one account or all. */
export async function showUsage(
  service: ServiceClient,
  account: string | undefined,
  flags: UsageFlags,
  json: boolean,
  output: Output,
): Promise<void> {
  const items: Row[] = [];
  let known: Answer | undefined;
  for await (const { items: some, next: _, ...page } of pagesOf(service, account, flags)) {
    for (const row of some) items.push(row);
    known = page;
  }
  if (json) return output.print(JSON.stringify({ ...known, items }, undefined, 2));
  const names = (["account", "meter", "plan"] as const).filter((name) => items.some((row) => row[name] !== undefined));
  const rows = items.map((row) => [
    shortened(row.from),
    shortened(row.to),
    ...names.map((name) => nameOf(row[name])),
    ...amountsOf(row),
  ]);
  const titles = ["FROM", "TO", ...names.map((name) => name.toUpperCase()), ...AMOUNTS];
  for (const line of columns([titles, ...rows])) output.print(line);
  if (known !== undefined) tell(known, output);
}

/** `tollkeeper usage top`: the accounts that have used most. */
export async function topUsage(service: ServiceClient, flags: TopFlags, json: boolean, output: Output): Promise<void> {
  const { from, to, meter, by, size } = flags;
  const top = await service.call<Answer & { items: Row[] }>(
    "GET",
    `/api/v1/usage/top${queryOf({ from, to, meter, by, size })}`,
  );
  if (json) return output.print(JSON.stringify(top, undefined, 2));
  const rows = top.items.map((row) => [nameOf(row.account), ...amountsOf(row)]);
  for (const line of columns([["ACCOUNT", ...AMOUNTS], ...rows])) output.print(line);
  tell(top, output);
}

/** `tollkeeper usage export`: every row by account, meter and plan, for other programs; no more than a page is held. */
export async function exportUsage(
  service: ServiceClient,
  account: string | undefined,
  flags: UsageFlags,
  format: Format,
  output: Output,
): Promise<void> {
  const group = account === undefined ? "account,meter,plan" : "meter,plan";
  if (format === "csv") output.print(HEADER);
  let known: Answer | undefined;
  for await (const page of pagesOf(service, account, { ...flags, group })) {
    for (const row of page.items) {
      const whole = account === undefined ? row : { ...row, account };
      const ordered = Object.fromEntries(FIELDS.map((field) => [field, whole[field] ?? null]));
      output.print(format === "csv" ? FIELDS.map((field) => cellOf(whole[field])).join(",") : JSON.stringify(ordered));
    }
    known = page;
  }
  if (known !== undefined) tell(known, output);
}

const AMOUNTS = ["CALLS", "UNITS", "DENIED", "REFUNDED"];
/** The fields of a row, in the order in which they are written. */
const HEADER = "from,to,account,meter,plan,calls,units,denied,refunded,revision";
const FIELDS = HEADER.split(",") as (keyof Row)[];

async function* pagesOf(service: ServiceClient, account: string | undefined, flags: UsageFlags): AsyncGenerator<Page> {
  const path = account === undefined ? "/api/v1/usage" : `/api/v1/accounts/${encodeURIComponent(account)}/usage`;
  const { from, to, by, group, anchorDay } = flags;
  let after: string | null = "";
  while (after !== null) {
    const query = queryOf({ from, to, by, group, anchorDay, limit: String(PAGE), after: after || undefined });
    const page: Page = await service.call("GET", path + query);
    yield page;
    after = page.next;
  }
}

function queryOf(fields: Record<string, string | undefined>): string {
  const given = Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined);
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

function amountsOf({ calls, units, denied, refunded }: Row): string[] {
  return [calls, units, denied, refunded].map(String);
}

/** What people read: an hour without its seconds. */
function shortened(instant: string | undefined): string {
  return (instant ?? "").replace(/T00:00:00\.000Z$/, "").replace(/:00\.000Z$/, "Z");
}

function nameOf(name: string | null | undefined): string {
  if (name === null) return "(without an account)";
  return name === "" ? "(no room)" : (name ?? "");
}

/** A field of CSV (RFC 4180). An empty text is in quotes, which nothing at all is not. */
function cellOf(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return "";
  const text = String(value);
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** What is to be known beside the numbers. */
function tell({ complete, bound, waitingFor = [] }: Answer, output: Output): void {
  if (!complete) output.note("not complete: the last hours may still grow");
  if (bound.calls > 0) output.note(`not written yet: ${bound.calls} calls, ${bound.units} tokens`);
  for (const { process, since } of waitingFor) output.note(`${process} has not written since ${since}`);
}
