import type { Cell, CellQuery, Cells } from "./cells.js";
import { hoursOf } from "./hours.js";
import type { CheckedReport, CheckedTop } from "./query.js";
import { comparePlaces, type Row, Rows, type Shape } from "./rows.js";

/** Cells read at a time, so that a report of many accounts takes no more memory than one of few. */
const CELLS = 10_000;

/** The rows of a page. */
export interface Page {
  readonly rows: Row[];
  /** Whether there are no more. */
  readonly isLast: boolean;
}

/** Reads all cells that are wanted, some at a time. */
async function* each(cells: Cells, wanted: Omit<CellQuery, "max">): AsyncGenerator<Cell[]> {
  let { after } = wanted;
  do {
    const page = await cells.read({ ...wanted, after, max: CELLS });
    yield page.cells;
    after = page.next;
  } while (after !== undefined);
}

/** The rows of a page: one account after the other where these are told apart, and otherwise by time. */
export async function readRows(cells: Cells, report: CheckedReport): Promise<Page> {
  const { account, shape, page, after } = report;
  if (account !== undefined || !shape.group.has("account")) return readByTime(cells, report);
  // First the rest of the account in which the page before has ended.
  const rest = after && (await readByTime(cells, { ...report, account: after.account }));
  if (rest?.isLast === false) return rest;
  const rows = [...(rest?.rows ?? [])];
  const { from, to, by, anchorDay } = shape;
  const isOnePeriod = hoursOf(from, by, anchorDay).to >= to;
  const wanted = { fromHour: from, toHour: to, by: isOnePeriod ? "range" : by === "hour" ? "hour" : "day" } as const;
  for await (const some of each(cells, { ...wanted, after: after?.account })) {
    for (const row of rowsOf(some, shape)) rows.push(row);
    if (rows.length > page) break;
  }
  return cut(rows, page);
}

/**
 * The rows of one account, or of all together, in the order of time: of only as many periods at a time as a page can hold, and
 * of more where there turns out to be nothing.
 */
async function readByTime(cells: Cells, report: CheckedReport): Promise<Page> {
  const { account, shape, page, after } = report;
  const rows: Row[] = [];
  let periods = page + 1;
  let from = Math.max(shape.from, after?.from ?? 0);
  while (from < shape.to && rows.length <= page) {
    const to = Math.min(shape.to, endOf(from, periods, shape));
    // Months are added up where the cells are.
    const by = shape.by === "month" ? "range" : shape.by;
    const found = new Rows(shape);
    for await (const some of each(cells, { account, fromHour: from, toHour: to, by })) {
      for (const cell of some) found.add(cell);
    }
    for (const row of found.read()) if (after === undefined || comparePlaces(row, after) > 0) rows.push(row);
    if (found.size === 0) periods *= 4;
    from = to;
  }
  return cut(rows, page);
}

/** Where the so-manieth period from an hour on ends; of months it is one at a time. */
function endOf(from: number, periods: number, { by, anchorDay }: Shape): number {
  const { to } = hoursOf(from, by, anchorDay);
  return by === "month" ? to : to + (periods - 1) * (by === "hour" ? 1 : 24);
}

function rowsOf(cells: readonly Cell[], shape: Shape): Row[] {
  const rows = new Rows(shape);
  for (const cell of cells) rows.add(cell);
  return rows.read();
}

function cut(rows: Row[], page: number): Page {
  return { rows: rows.slice(0, page), isLast: rows.length <= page };
}

/** What one account has used in all. */
export interface Total {
  readonly account: string;
  calls: number;
  unitsMilli: number;
  denied: number;
  refundedMilli: number;
}

/** The largest accounts, the largest first; no more than these are held at a time. */
export async function readTop(cells: Cells, { from, to, meter, by, size }: CheckedTop): Promise<Total[]> {
  const amountOf = by === "calls" ? ({ calls }: Total) => calls : ({ unitsMilli }: Total) => unitsMilli;
  const top: Total[] = [];
  const enter = (total: Total): void => {
    const amount = amountOf(total);
    if (amount === 0) return;
    // Of equal ones the first stays.
    let at = top.length;
    while (at > 0 && amountOf(top[at - 1] as Total) < amount) at--;
    if (at >= size) return;
    top.splice(at, 0, total);
    if (top.length > size) top.pop();
  };
  for await (const some of each(cells, { fromHour: from, toHour: to, by: "range" })) {
    for (const total of totalsOf(some, meter)) enter(total);
  }
  return top;
}

/** What each account of a page has used; the cells of an account come together. */
function totalsOf(cells: readonly Cell[], meter: string | undefined): Total[] {
  const totals: Total[] = [];
  let last: Total | undefined;
  for (const cell of cells) {
    if (meter !== undefined && cell.meter !== meter) continue;
    if (last?.account !== cell.account) {
      last = { account: cell.account, calls: 0, unitsMilli: 0, denied: 0, refundedMilli: 0 };
      totals.push(last);
    }
    last.calls += cell.calls;
    last.unitsMilli += cell.unitsMilli;
    last.denied += cell.denied;
    last.refundedMilli += cell.refundedMilli;
  }
  return totals;
}
